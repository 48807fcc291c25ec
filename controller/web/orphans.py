"""`/orphans`: GET lists, POST sweeps now, POST /orphans/<attempt>/settle takes a person's word."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from controller.errors import HoldfastError, Terminal, Waiting
from controller.recovery.orphan_desk import OrphanDesk


class OrphanPages:
    """See the module. An error of ours is 409, or 503 where waiting helps, with its message as text."""

    def __init__(self, desk: OrphanDesk) -> None:
        self._desk = desk

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/orphans", self._look)
        router.add_post("/orphans", self._sweep)
        router.add_post("/orphans/{attempt}/settle", self._settle)

    async def _look(self, _: web.Request) -> web.Response:
        return await _answer(self._desk.look())

    async def _sweep(self, _: web.Request) -> web.Response:
        return await _answer(self._desk.sweep())

    async def _settle(self, request: web.Request) -> web.Response:
        return await _answer(self._desk.settle(request.match_info["attempt"]))


async def _answer(work: Awaitable[Any]) -> web.Response:
    try:
        found = await work
    except HoldfastError as error:
        status = 503 if isinstance(error, Waiting) else 409 if isinstance(error, Terminal) else 500
        return web.Response(text=f"{error.message}\n", status=status)
    return web.json_response(found if isinstance(found, dict) else {"message": found})
