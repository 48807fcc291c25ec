"""Which attempts have output on another machine: listed once, as everything that comes or goes later is known here.

A start waits a moment for it and no longer: the record of an attempt is its Job, what is kept elsewhere only tells of
outputs that nobody wants any more. Where the other machine does not answer it is asked until it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from controller.errors import HoldfastError
from controller.executors.base import AttemptId
from controller.executors.pod.place import OutputPlace
from controller.files.remote_calls import apart

START_SECONDS = 5.0
AGAIN_SECONDS = 60.0

_log = structlog.get_logger("controller.output")


class KeptElsewhere:
    """See the module.

    Args:
        found: called with each attempt that was listed too late for the start.
    """

    def __init__(self, place: OutputPlace, found: Callable[[AttemptId], None]) -> None:
        self._place = place
        self._found = found
        self._listed: set[AttemptId] = set()
        self._task: asyncio.Task[None] | None = None

    async def attempts(self) -> list[AttemptId]:
        """Those that were listed; the first call waits for that as long as a start may."""
        if not self._place.elsewhere:
            return []
        if self._task is None:
            self._task = asyncio.create_task(self._list(), name="list outputs")
            await asyncio.wait({self._task}, timeout=START_SECONDS)
            if not self._task.done():
                self._task.add_done_callback(self._tell)
        return list(self._listed)

    def forget(self, attempt: AttemptId) -> None:
        """Its output was removed."""
        self._listed.discard(attempt)

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _list(self) -> None:
        while True:
            try:
                self._listed.update(await apart(self._place.attempts_elsewhere))
                return
            except HoldfastError as error:
                _log.warning("kept outputs cannot be listed for now", reason=error.reason, error=error.message)
            await asyncio.sleep(AGAIN_SECONDS)

    def _tell(self, task: asyncio.Task[None]) -> None:
        for attempt in () if task.cancelled() else list(self._listed):
            self._found(attempt)
