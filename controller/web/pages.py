"""Pages that want the token: GET /health and GET /startup-log; they answer before the cluster is joined, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from controller.telemetry.components import Components, State, as_json
from controller.web.server import Page


class Pages:
    """What they show is registered by who knows it.

    Attributes:
        components: of /health.
        startup_log: the RecoveryReports of this and earlier starts, newest first.
    """

    def __init__(self) -> None:
        self.components = Components()
        self.startup_log: Callable[[], Sequence[Mapping[str, Any]]] = list

    def all(self) -> dict[str, Page]:
        """By path."""
        return {"/health": self._health, "/startup-log": self._startup_log}

    async def _health(self) -> tuple[int, Any]:
        """503 only where a component has failed: one that is degraded works."""
        state, found = await self.components.look()
        status = HTTPStatus.SERVICE_UNAVAILABLE if state is State.FAILED else HTTPStatus.OK
        return status, as_json(state, found)

    async def _startup_log(self) -> tuple[int, Any]:
        return HTTPStatus.OK, {"items": list(self.startup_log())}
