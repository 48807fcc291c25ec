"""The ramp after a start as the scheduler asks it; without one (the daily case) it costs a comparison."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from controller.decisions.order import Candidate
from controller.decisions.ramp import Ramp


class RampedStarts:
    """See the module.

    Args:
        again: called when one that was too soon may start.
        clock: monotonic seconds.
    """

    def __init__(self, again: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._again = again
        self._clock = clock
        self._ramp: Ramp | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, resumed_per_second: float, new_per_second: float) -> None:
        """Limit starts from now on, ever less; rates are those of the beginning, 0: no limit."""
        now = self._clock()
        self._ramp = Ramp(resumed_per_second, new_per_second, now, now)

    def too_soon(self, waiting: Candidate) -> bool:
        """Whether the next in line has to wait; `again` is called in time."""
        if self._ramp is None:
            return False
        self._ramp = self._ramp.at(self._clock())
        if self._ramp.over:
            self._ramp = None
            return False
        if self._ramp.allows(resumed=waiting.resumed):
            return False
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._ramp.wait(resumed=waiting.resumed), self._again)
        return True

    def started(self, waiting: Candidate) -> None:
        """It was given a slot."""
        if self._ramp is not None:
            self._ramp = self._ramp.after(resumed=waiting.resumed)
