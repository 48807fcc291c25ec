"""The ramp after a start as the scheduler asks it; without one (the daily case) it costs a comparison.

The host's ramp holds for all queues together; a queue may have a slower one of its own (spec.admission.ramp).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from controller.api.jobqueue import JobQueue
from controller.decisions.admission import QueueName
from controller.decisions.order import Candidate
from controller.decisions.ramp import LENGTH_SECONDS, Ramp

LATE_SECONDS = 0.05  # a timer must not come before the end
HOST = ("", "")  # in the place of a queue's name: the ramp of all


class RampedStarts:
    """See the module.

    Args:
        again: called when one that was too soon may start.
        changed: called with a queue, or HOST, when jobs of it begin or cease to wait for a ramp.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        again: Callable[[], None],
        changed: Callable[[QueueName], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._again = again
        self._changed = changed
        self._clock = clock
        self._began: float | None = None
        self._ramps: dict[QueueName, Ramp] = {}
        self._timers: dict[QueueName, asyncio.TimerHandle] = {}
        self._held: set[QueueName] = set()  # whose jobs had to wait

    def begin(self, resumed_per_second: float, new_per_second: float) -> None:
        """Limit starts from now on, ever less; rates are those of the beginning, 0: no limit."""
        now = self._clock()
        self._began, self._ramps = now, {HOST: Ramp(resumed_per_second, new_per_second, now, now)}

    def too_soon(self, waiting: Candidate) -> bool:
        """Whether the next in line of all queues has to wait; `again` is called in time."""
        return self._on() and self._wait(HOST, waiting)

    def too_soon_in(self, waiting: Candidate, name: QueueName, queue: JobQueue | None) -> bool:
        """Whether the next in line of one queue has to wait for what the queue declares; `again` is called in time."""
        ramp = queue.spec.admission.ramp if queue is not None and queue.spec.admission is not None else None
        if not self._on() or ramp is None or self._began is None:
            self._ramps.pop(name, None)
            return False
        rates = ramp.resumed_per_second or 0.0, ramp.new_per_second or 0.0
        known = self._ramps.get(name) or Ramp(*rates, self._began, self._began)
        self._ramps[name] = known.with_rates(*rates)
        return self._wait(name, waiting)

    def started(self, waiting: Candidate, name: QueueName | None) -> None:
        """It was given a slot."""
        for each in {HOST, name or HOST} & self._ramps.keys():
            self._ramps[each] = self._ramps[each].after(resumed=waiting.resumed)

    def holds(self, name: QueueName) -> bool:
        """Whether jobs of a queue had to wait since the start, and may have to again."""
        return not self._held.isdisjoint({HOST, name})

    def _on(self) -> bool:
        if self._began is not None and self._clock() - self._began >= LENGTH_SECONDS:
            self._end()
        return self._began is not None

    def _wait(self, name: QueueName, waiting: Candidate) -> bool:
        ramp = self._ramps[name] = self._ramps[name].at(self._clock())
        if ramp.allows(resumed=waiting.resumed):
            return False
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[name] = loop.call_later(ramp.wait(resumed=waiting.resumed), self._again)
        if not self._held:
            loop.call_later(LENGTH_SECONDS + LATE_SECONDS - (ramp.now - ramp.began), self._on)  # nobody may ask by then
        if name not in self._held:
            self._held.add(name)
            self._changed(name)
        return True

    def _end(self) -> None:
        held = self._held
        self._began, self._ramps, self._held = None, {}, set()
        for name in held:
            self._changed(name)
