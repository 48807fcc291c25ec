"""How fast jobs start at the moment: whether a wait is long enough to be worth a record (design 4).

A state that is already past is not written. The first Queued of a job costs as much as half its start, so in a burst
that drains fast it would be the records that make the jobs wait. A wait that is over within SOON_SECONDS at the pace of
the last seconds is left to the start itself; its place is in the books all the while (`holdfast queue`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

FIRST_LOOK_SECONDS = 0.5  # a job that starts within this is never recorded as Queued
SOON_SECONDS = 8.0
WINDOW_SECONDS = 2.0  # starts of this long tell the pace


class Pace:
    """Starts of the last seconds, and since when each unrecorded job waits.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._starts: deque[float] = deque()
        self._since: dict[str, float] = {}

    def started(self, uid: str) -> None:
        """The job was given a slot."""
        self._starts.append(self._clock())
        self._since.pop(uid, None)

    def forget(self, uid: str) -> None:
        """The job waits no longer, or its wait is recorded."""
        self._since.pop(uid, None)

    def per_second(self) -> float:
        """Starts per second, over the last WINDOW_SECONDS."""
        oldest = self._clock() - WINDOW_SECONDS
        while self._starts and self._starts[0] < oldest:
            self._starts.popleft()
        return len(self._starts) / WINDOW_SECONDS

    def look_again(self, uid: str, position: int) -> float | None:
        """Seconds until it is worth looking whether the job at `position` still waits; None: record its wait now."""
        since = self._since.setdefault(uid, self._clock())
        left = FIRST_LOOK_SECONDS - (self._clock() - since)
        if left > 0:
            return left
        if position < self.per_second() * SOON_SECONDS:
            return min(SOON_SECONDS, WINDOW_SECONDS)
        return None
