"""How fast work starts after a start of the controller: few at first, then ever more (requirement 7.4). Pure.

A token bucket in units of time. Credit grows with time, twice as fast after each DOUBLING_SECONDS; a start costs
1/rate seconds of it, by the rate of what is started. One bucket for both sorts, so that nobody overtakes: who is next
in line is waited for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

DOUBLING_SECONDS = 2.0
LENGTH_SECONDS = 20.0  # then starts are a thousand times as fast as at first: the ramp is over
BURST_SECONDS = 1.0  # of credit at the most, at first
ROUNDING = 1e-9  # seconds: 16 times 1/17 is not quite 16/17


@dataclass(frozen=True, slots=True)
class Ramp:
    """See the module.

    Args:
        resumed: starts per second, at first, of jobs that had begun before; 0: no limit.
        new: the same of all others.
        began: monotonic seconds.
        now: the moment that `credit` is of.
    """

    resumed: float
    new: float
    began: float
    now: float
    credit: float = BURST_SECONDS

    def at(self, now: float) -> Ramp:
        """The ramp at a later moment."""
        now = max(now, self.now)
        gained = (_factor(now - self.began) - _factor(self.now - self.began)) * DOUBLING_SECONDS / math.log(2)
        most = max(BURST_SECONDS * _factor(now - self.began), self._cost(resumed=True), self._cost(resumed=False))
        return replace(self, now=now, credit=min(most, self.credit + gained))

    def with_rates(self, resumed: float, new: float) -> Ramp:
        """The same ramp with other rates; what was started with the old ones stays counted."""
        return self if (self.resumed, self.new) == (resumed, new) else replace(self, resumed=resumed, new=new)

    @property
    def over(self) -> bool:
        """Whether starts are limited no longer."""
        return self.now - self.began >= LENGTH_SECONDS

    def allows(self, *, resumed: bool) -> bool:
        """Whether one may start now."""
        return self.over or self._missing(resumed) <= ROUNDING

    def after(self, *, resumed: bool) -> Ramp:
        """One was started."""
        return replace(self, credit=max(0.0, self.credit - self._cost(resumed)))

    def wait(self, *, resumed: bool) -> float:
        """Seconds until one may start; 0.0: now."""
        missing = self._missing(resumed)
        if self.over or missing <= ROUNDING:
            return 0.0
        grown = _factor(self.now - self.began) + missing * math.log(2) / DOUBLING_SECONDS
        return min(math.log2(grown) * DOUBLING_SECONDS, LENGTH_SECONDS) - (self.now - self.began)

    def _missing(self, resumed: bool) -> float:
        return self._cost(resumed) - self.credit

    def _cost(self, resumed: bool) -> float:
        rate = self.resumed if resumed else self.new
        return 1.0 / rate if rate > 0 else 0.0


def _factor(seconds: float) -> float:
    return float(2.0 ** min(seconds / DOUBLING_SECONDS, 64.0))
