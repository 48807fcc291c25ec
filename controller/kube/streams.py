"""Answers that come bit by bit: watches with a label selector, logs of Pods.

Their connections are apart from those of the calls, which would otherwise wait until a stream ends.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator
from typing import Self

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from controller.kube.client import BEARER, Api
from controller.kube.errors import Unreachable, error_of
from controller.telemetry.metrics import code_class


class Streams(Api):
    """See the module; made by `beside`."""

    @classmethod
    def beside(cls, api: Api) -> Self:
        """One to the same API server, as the same user."""
        configuration = copy.copy(api._client.configuration)
        configuration.connection_pool_maxsize = 0
        client = ApiClient(configuration)
        client.user_agent = api._client.user_agent
        return cls(client, api._metrics, api._timeout.total or 10.0)

    async def stream(self, verb: str, kind: str, path: str, idle_seconds: float | None) -> AsyncGenerator[bytes, None]:
        """The bytes of an answer as they come.

        Args:
            verb: for the metrics: watch or log.
            path: with its query.
            idle_seconds: without a byte for as long, the connection counts as broken; None: no limit.

        Raises:
            HoldfastError: as the calls do; Unreachable also where it breaks off in the middle.
        """
        client, status = self._client, None
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
        finally:
            self._metrics.api_requests.labels(verb, kind, code_class(status)).inc()
