"""Notices watches that will never open.

kopf looks once, when it begins, which kinds are served. An API server that has just started may not know all of ours
yet; then kopf says so in its log, watches nothing and goes on: the controller would be deaf. From outside this looks
like a watch that is not open while nobody sends a request any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from controller.errors import Transient

SILENT_SECONDS = 10.0  # longer than kopf waits between two tries
LOOK_SECONDS = 1.0


class Opening:
    """Counts requests until the watch of every kind is open."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self._not_open = set(kinds)
        self._under_way = 0
        self._last = time.monotonic()

    def began(self) -> None:
        """A request is sent."""
        self._under_way += 1

    def ended(self) -> None:
        """It was answered or failed."""
        self._under_way -= 1
        self._last = time.monotonic()

    def opened(self, kind: str) -> bool:
        """The watch of a kind is open; returns whether all are."""
        self._not_open.discard(kind)
        return not self._not_open

    async def guard(self) -> None:
        """Wait for ever, unless a watch will not open.

        Raises:
            Transient: nobody tries to open the watches that are missing: begin anew.
        """
        while self._not_open:
            await asyncio.sleep(LOOK_SECONDS)
            if self._under_way == 0 and time.monotonic() - self._last > SILENT_SECONDS:
                missing = ", ".join(sorted(self._not_open))
                text = (
                    f"the API server did not serve {missing} when the watch began; the controller has to be restarted"
                )
                raise Transient("WatchNotOpened", text)
        await asyncio.Event().wait()
