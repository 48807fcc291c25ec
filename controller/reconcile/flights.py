"""Tries that are being made, apart from the workers: a slow receiver must not hold one up (requirement 6.3).

Promises: at most one try of a Callback at a time; its outcome is kept until the reconciler has recorded it; the place
at the host is given back in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from controller.api.keys import Key
from controller.decisions.answer import Answer, Blocked

Outcome = Answer | Blocked


@dataclass(frozen=True, slots=True)
class Landed:
    """How a try ended.

    Args:
        uid: of the Callback that it was made for.
        attempts: its status.attempts when the try began.
        outcome: what came of it; an exception is a defect, for the worker to be loud about.
    """

    uid: str
    attempts: int
    outcome: Outcome | BaseException


class Flights:
    """See the module.

    Args:
        landed: called with a key whose try has ended.
    """

    def __init__(self, landed: Callable[[Key], None]) -> None:
        self._landed = landed
        self._tasks: dict[Key, asyncio.Task[Outcome]] = {}
        self._ended: dict[Key, Landed] = {}
        self._closed = False

    def start(self, key: Key, uid: str, attempts: int, work: Callable[[], Coroutine[None, None, Outcome]]) -> bool:
        """Begin a try; False where none is begun any more, or one is being made."""
        if self._closed or key in self._tasks:
            return False
        task = asyncio.create_task(work(), name=f"try-{key.name}")
        self._tasks[key] = task
        task.add_done_callback(lambda ended: self._done(key, uid, attempts, ended))
        return True

    def _done(self, key: Key, uid: str, attempts: int, task: asyncio.Task[Outcome]) -> None:
        del self._tasks[key]
        if task.cancelled():
            return
        self._ended[key] = Landed(uid, attempts, task.exception() or task.result())
        self._landed(key)

    def flying(self, key: Key) -> bool:
        """Whether a try is being made."""
        return key in self._tasks

    def ended(self, key: Key) -> Landed | None:
        """The outcome that is not recorded yet."""
        return self._ended.get(key)

    def recorded(self, key: Key) -> None:
        """The outcome is recorded, or of no use any more."""
        self._ended.pop(key, None)

    def drop(self, key: Key) -> None:
        """The Callback is gone: end its try."""
        self._ended.pop(key, None)
        task = self._tasks.get(key)
        if task is not None:
            task.cancel()

    async def land(self, seconds: float) -> int:
        """Begin no more; wait at most `seconds`, then cancel; returns how many were cut off (they are sent again)."""
        self._closed = True
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        left = [task for task in tasks if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)

    def __len__(self) -> int:
        return len(self._tasks)
