"""Answers that come bit by bit: watches with a label selector, logs of Pods.

Their connections are apart from those of the calls, which would otherwise wait until a stream ends. A peer that is gone
without a word is noticed, as the kernel asks for it (tcp(7), keepalive): a stream sends nothing that it had to answer.
"""

from __future__ import annotations

import asyncio
import copy
import socket
from collections.abc import AsyncGenerator
from typing import Any, Self

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from controller.kube.client import BEARER, Api
from controller.kube.errors import Unreachable, error_of
from controller.telemetry.metrics import code_class

KEEPALIVE = {socket.TCP_KEEPIDLE: 20, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}  # seconds, seconds, probes


class Streams(Api):
    """See the module; made by `beside`."""

    _connector: aiohttp.TCPConnector

    @classmethod
    def beside(cls, api: Api) -> Self:
        """One to the same API server, as the same user."""
        configuration = copy.copy(api._client.configuration)
        client: Any = ApiClient(configuration)
        client.user_agent = api._client.user_agent
        connector = aiohttp.TCPConnector(limit=0, ssl=client.rest_client.ssl_context, socket_factory=_kept_alive)
        configuration.client_session_kwargs = {**(configuration.client_session_kwargs or {}), "connector": connector}
        made = cls(client, api._metrics, api._timeout.total or 10.0)
        made._connector = connector
        return made

    async def close(self) -> None:
        """Close the connections."""
        await super().close()
        await self._connector.close()  # ours, as the session does not own it

    async def stream(self, verb: str, kind: str, path: str, idle_seconds: float | None) -> AsyncGenerator[bytes, None]:
        """The bytes of an answer as they come.

        Args:
            verb: for the metrics: watch or log.
            path: with its query.
            idle_seconds: without a byte for as long, the connection counts as broken; None: no limit.

        Raises:
            HoldfastError: as the calls do; Unreachable also where it breaks off in the middle.
        """
        client, status, given_up = self._client, None, False
        headers = {**client.default_headers, "Accept": "*/*"}
        limit = aiohttp.ClientTimeout(sock_connect=self._timeout.total, sock_read=idle_seconds)
        try:
            await client.update_params_for_auth(headers, [], BEARER, path, "GET", None)
            answer = await client.call_api("GET", self._host + path, headers, None, _request_timeout=limit)
            async with answer.response as response:
                status = response.status
                if status >= 300:
                    refusal = error_of(f"{verb} {kind} {path}", status, response.headers, await response.read())
                    if status == 403:
                        self._metrics.rights.refused(verb, kind, refusal.message)
                    raise refusal
                self._metrics.rights.granted(verb, kind)
                async for data in response.content.iter_any():
                    yield data
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = f"{verb} {kind} {path}: {error or type(error).__name__}"
            raise Unreachable("Unreachable", message) from error
        except asyncio.CancelledError:
            given_up = status is None  # a kubelet answers with the first byte of a log: nobody failed
            raise
        finally:
            if not given_up:
                self._metrics.api_requests.labels(verb, kind, code_class(status)).inc()


def _kept_alive(address: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE.items():
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
