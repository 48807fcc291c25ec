"""The keyed work queue: client-go's semantics, with priorities (design 2).

Promises: a key is in work at most once at a time; a key added while it is in work runs again afterwards; adding twice
does it once; among ready keys a lower priority number goes first, then the one that became ready first. Single event
loop, no locks: every method but `get` and `drain` is synchronous.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from controller.api.keys import Key

BACKOFF_BASE_SECONDS = 0.5
BACKOFF_LIMIT_SECONDS = 300.0
JITTER = 0.1  # of the backoff, so that keys that failed together do not return together

HIGH, NORMAL, LOW = 0, 1, 2  # somebody waits for it / an ordinary change / a resync


@dataclass(frozen=True, slots=True)
class Depth:
    """How many keys are in which state, and the age of the oldest ready one in seconds (0 without one)."""

    ready: int
    delayed: int
    in_work: int
    oldest_ready_seconds: float


class WorkQueue:
    """See the module.

    Args:
        clock: monotonic seconds; must run as the event loop's clock does, as timers are set in the loop.
        jitter: a number in [0, 1) for the spread of backoffs.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._order = 0
        self._ready: dict[Key, tuple[int, int]] = {}  # key -> (priority, order) of its one valid heap entry
        self._since: dict[Key, float] = {}  # insertion order is age order
        self._heap: list[tuple[int, int, Key]] = []
        self._in_work: dict[Key, float] = {}
        self._again: dict[Key, int] = {}  # added while in work -> priority
        self._delayed: dict[Key, tuple[float, int]] = {}  # key -> (due, priority)
        self._timers: list[tuple[float, Key]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._failures: dict[Key, int] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._idle: asyncio.Future[None] | None = None
        self._closed = False
        self.adds = 0
        self.retries = 0

    def add(self, key: Key, priority: int = NORMAL) -> None:
        """Make `key` ready. Already ready: keeps the more urgent priority. In work: runs again afterwards."""
        if self._closed:
            return
        self.adds += 1
        if key in self._in_work:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        known = self._ready.get(key)
        if known is not None and known[0] <= priority:
            return
        self._push(key, priority)

    def add_after(self, key: Key, seconds: float, priority: int = NORMAL) -> None:
        """Make `key` ready in `seconds`; of several such wishes the earliest wins. Independent of `add`."""
        if self._closed:
            return
        if seconds <= 0:
            self.add(key, priority)
            return
        due = self._clock() + seconds
        known = self._delayed.get(key)
        if known is not None and known[0] <= due:
            self._delayed[key] = (known[0], min(known[1], priority))
            return
        self._delayed[key] = (due, priority)
        heapq.heappush(self._timers, (due, key))
        if self._timers[0][0] == due:
            self._arm()

    def add_rate_limited(self, key: Key, at_least: float = 0.0, priority: int = NORMAL) -> float:
        """Make `key` ready after its backoff: 0.5 s * 2^n, at most 300 s, a little spread; n counts since `forget`.

        Args:
            at_least: seconds that the other side asked for.

        Returns:
            The wait in seconds.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.retries += 1
        wait = min(BACKOFF_BASE_SECONDS * 2.0 ** min(failures, 20), BACKOFF_LIMIT_SECONDS)
        wait = max(wait * (1 + JITTER * self._jitter()), at_least)
        self.add_after(key, wait, priority)
        return wait

    def forget(self, key: Key) -> None:
        """Reset the backoff of `key`: it was reconciled."""
        self._failures.pop(key, None)

    def unschedule(self, key: Key) -> None:
        """Drop what `add_after` was told of `key`: its object is gone, and a wish may lie 30 days ahead (6.3)."""
        if self._delayed.pop(key, None) is None:
            return
        if len(self._timers) > 2 * len(self._delayed) + 64:  # else the entries of the gone would pile up
            self._timers = [(due, each) for each, (due, _) in self._delayed.items()]
            heapq.heapify(self._timers)
            self._arm()

    def failures(self, key: Key) -> int:
        """How often `key` was added with backoff since it was last forgotten."""
        return self._failures.get(key, 0)

    async def get(self) -> Key | None:
        """Wait for the next key and mark it as in work; None once the queue is shut down. Pair it with `done`."""
        while not self._closed:
            key = self._pop()
            if key is not None:
                self._in_work[key] = self._clock()
                return key
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                else:
                    self._wake()  # the wake-up that it was given goes to another one
                raise
        return None

    def done(self, key: Key) -> None:
        """The work on `key` is over; it becomes ready again if it was added meanwhile."""
        del self._in_work[key]
        priority = self._again.pop(key, None)
        if priority is not None and not self._closed:
            self._push(key, priority)
        if not self._in_work and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def shut_down(self) -> None:
        """Give out no more keys and take none; keys in work go on."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def drain(self, seconds: float) -> bool:
        """Shut down and wait until no key is in work, at most `seconds`; returns whether that was reached."""
        self.shut_down()
        if not self._in_work:
            return True
        self._idle = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait_for(self._idle, seconds)
        except TimeoutError:
            return False
        return True

    @property
    def closed(self) -> bool:
        """Whether it was shut down."""
        return self._closed

    def depth(self) -> Depth:
        """Counts for metrics and the stall check."""
        oldest = next(iter(self._since.values()), None)
        age = 0.0 if oldest is None else max(0.0, self._clock() - oldest)
        return Depth(len(self._ready), len(self._delayed), len(self._in_work), age)

    def in_work(self) -> dict[Key, float]:
        """The keys in work and for how many seconds each."""
        now = self._clock()
        return {key: now - began for key, began in self._in_work.items()}

    def _push(self, key: Key, priority: int) -> None:
        self._order += 1
        self._ready[key] = (priority, self._order)
        self._since.setdefault(key, self._clock())
        heapq.heappush(self._heap, (priority, self._order, key))
        self._wake()

    def _pop(self) -> Key | None:
        while self._heap:
            priority, order, key = heapq.heappop(self._heap)
            if self._ready.get(key) == (priority, order):  # others were overtaken by a more urgent entry
                del self._ready[key]
                del self._since[key]
                return key
        return None

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.pop()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._timers:
            delay = max(0.0, self._timers[0][0] - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self.release_due)

    def release_due(self) -> None:
        """Move delayed keys whose time has come to the ready ones; called by a timer of the event loop."""
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            due, key = heapq.heappop(self._timers)
            known = self._delayed.get(key)
            if known is not None and known[0] == due:  # others were overtaken by an earlier wish
                del self._delayed[key]
                self.add(key, known[1])
        self._arm()
