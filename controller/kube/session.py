"""How kopf is logged in: by the official client's connection, with an eye on its requests.

kopf tells neither reconnects nor when a watch is open; the requests that it sends do.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf
from kubernetes.aio.client.api_client import ApiClient

from controller.kube import config
from controller.kube.kinds import SERVED
from controller.kube.opening import Opening
from controller.telemetry.metrics import Metrics, code_class

GOODBYE_SECONDS = 1.0


class Sessions:
    """See the module; arguments as `run_watch` takes them."""

    def __init__(
        self,
        kubeconfig: Path | None,
        kinds: Sequence[str],
        ready: asyncio.Event | None,
        on_list: Callable[[str], None] | None,
        on_listed: Callable[[str], None] | None,
        metrics: Metrics | None,
        version: str,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._kinds = {f"/{SERVED[kind].plural}": kind for kind in kinds}
        self._ready = ready
        self._on_list = on_list
        self._on_listed = on_listed
        self._metrics = metrics
        self._agent = f"holdfast-controller/{version}"
        self.opening = Opening(kinds)
        self._made: list[tuple[aiohttp.ClientSession, aiohttp.TCPConnector]] = []
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    async def close(self) -> None:
        """Close every session made, as kopf leaves them open when it ends with an error, and wait for their sockets.

        A watch that is cut off says goodbye in TLS first, which aiohttp does not wait for.
        """
        for session, connector in self._made:
            await session.close()
            await connector.close()  # ours, as the session does not own it
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                while any(made.fileno() >= 0 for made in self._sockets):  # noqa: ASYNC110  sockets tell nobody
                    await asyncio.sleep(0.01)

    async def login(self, **_: Any) -> kopf.AiohttpSession:
        """A fresh session; kopf asks again after a 401, so that rotated tokens are read anew."""
        configuration = await config.load(self._kubeconfig)
        config.tune(configuration, connections=0)
        trace = aiohttp.TraceConfig(lambda trace_request_ctx=None: SimpleNamespace(began=0.0))  # type: ignore[arg-type]
        trace.on_request_start.append(self._started)
        trace.on_request_end.append(self._ended)
        trace.on_request_exception.append(self._failed)
        configuration.trace_configs = [trace]
        headers = {"User-Agent": self._agent}
        client: Any = ApiClient(configuration)
        await client.update_params_for_auth(headers, [], ["BearerToken"], "", "GET", None)
        connector = aiohttp.TCPConnector(limit=0, ssl=client.rest_client.ssl_context, socket_factory=self._socket)
        more = {"headers": headers, "connector": connector}
        configuration.client_session_kwargs = (configuration.client_session_kwargs or {}) | more
        session = client.rest_client._create_pool_manager()  # its documented hook for the session it would use
        self._made.append((session, connector))
        return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        made = socket.socket(*address[:3])
        self._sockets.add(made)
        return made

    async def _started(self, _: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
        self.opening.began()
        context.began = time.perf_counter()
        kind = self._kinds.get(params.url.path[params.url.path.rfind("/") :])
        query = params.url.query
        if kind is not None and self._on_list is not None and "watch" not in query and "continue" not in query:
            self._on_list(kind)

    async def _failed(self, *_: Any) -> None:
        self.opening.ended()

    async def _ended(self, _: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
        self.opening.ended()
        kind = self._kinds.get(params.url.path[params.url.path.rfind("/") :])
        if kind is None:
            return
        watch = "watch" in params.url.query
        if self._metrics is not None:
            verb = "watch" if watch else "list"
            self._metrics.api_requests.labels(verb, kind, code_class(params.response.status)).inc()
            self._metrics.api_seconds.labels(verb).observe(time.perf_counter() - context.began)
            if params.response.status == 403:
                self._metrics.rights.refused(verb, kind, None)
        if params.response.status != 200:
            return
        if self._metrics is not None:
            self._metrics.rights.granted("watch" if watch else "list", kind)
        if not watch and self._on_listed is not None and "continue" not in params.url.query:
            self._on_listed(kind)  # all pages tell of the version of the first one
        if watch:
            all_open = self.opening.opened(kind)
            if all_open and self._ready is not None:
                self._ready.set()
