"""Wake-ups: pidfds of supervisors in the event loop, and supervisors that stand still.

Losing any of this costs time, not correctness: the periodic sweep of the caller finds the same facts.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from controller.executors.process.identity import open_pidfd
from controller.executors.process.records import RecordError
from controller.executors.process.rundir import RunDir, is_locked

STALE_AFTER_SECONDS = 10.0
_Key = TypeVar("_Key", bound=Hashable)


class PidfdWatch(Generic[_Key]):
    """Calls back when a process ended. Several processes may have the same key.

    Args:
        ended: called in the event loop's thread with the key.
    """

    def __init__(self, ended: Callable[[_Key], None]) -> None:
        self._ended = ended
        self._watched: dict[int, _Key] = {}

    def add(self, key: _Key, pidfd: int, reap: Callable[[], None]) -> None:
        """Watch `pidfd`, which is owned by us from now on; `reap` is called first when the process ended."""
        self._watched[pidfd] = key
        asyncio.get_running_loop().add_reader(pidfd, self._readable, pidfd, reap)

    def keys(self) -> set[_Key]:
        """Of the processes that are watched now."""
        return set(self._watched.values())

    def close(self) -> None:
        """Forget all of them; the processes go on."""
        for pidfd in list(self._watched):
            self._forget(pidfd)

    def _readable(self, pidfd: int, reap: Callable[[], None]) -> None:
        key = self._forget(pidfd)
        reap()
        self._ended(key)

    def _forget(self, pidfd: int) -> _Key:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        return self._watched.pop(pidfd)


@dataclass(frozen=True, slots=True)
class _Look:
    mtime_ns: int
    at: float


class Heartbeats(Generic[_Key]):
    """Tells a supervisor that stands still (SIGSTOP) from a slow one: two looks 10 s apart with the same mtime.

    Only the monotonic clock and the equality of mtimes count, so steps of the wall clock and a suspended machine do
    not make a supervisor look dead.
    """

    def __init__(self) -> None:
        self._looks: dict[_Key, _Look] = {}

    def stands_still(self, key: _Key, run: RunDir) -> bool:
        """Look once more at the heartbeat of an attempt whose `lock` is held; raises OSError."""
        try:
            mtime = os.stat(run.heartbeat).st_mtime_ns
        except FileNotFoundError:
            mtime = 0
        now = time.monotonic()
        before = self._looks.get(key)
        if before is None or before.mtime_ns != mtime:
            self._looks[key] = _Look(mtime, now)
            return False
        return now - before.at >= STALE_AFTER_SECONDS

    def forget(self, key: _Key) -> None:
        """The supervisor ended."""
        self._looks.pop(key, None)


def holder(run: RunDir) -> int | None:
    """A pidfd of the supervisor that holds `lock`, proved to be it; None where nobody does or it cannot be proved.

    Raises:
        OSError: the file cannot be read.
    """
    if not is_locked(run.file("lock")):
        return None
    try:
        identity = run.read_supervisor()
    except RecordError:
        return None
    return None if identity is None else open_pidfd(identity)
