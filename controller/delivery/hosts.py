"""Who may send now: limits per host and in all, and a circuit breaker per host (requirement 6.3).

Promises: at most `per_host` tries to one host and `total` in all are made at once; who does not get a place stands in
its host's line and is woken in order, hosts taking turns; a host that fails time after time gets one try at a time,
ever more seldom, until one gets through. One event loop, no locks; every method is synchronous.

The record of a host follows from the last tries of its Callbacks, which `learn` is told at a start: a restart does not
forget that a host is down.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller.api.keys import Key

FAILURES_TO_OPEN = 5  # in a row
OPEN_SECONDS, OPEN_LIMIT_SECONDS = 10.0, 300.0  # doubles with every try that fails after it
MAX_HOSTS = 4096  # whose record is kept while nobody wants them


@dataclass(slots=True)
class _Host:
    """What is known of one host."""

    failures: int = 0  # in a row; those at one moment count until the circuit is open, no further
    failed_at: datetime | None = None
    busy: set[Key] = field(default_factory=set)  # keys that hold one of its places
    hurried: OrderedDict[Key, None] = field(default_factory=OrderedDict)  # waited long enough for an open circuit
    line: OrderedDict[Key, None] = field(default_factory=OrderedDict)
    timer: asyncio.TimerHandle | None = None

    @property
    def wanted(self) -> bool:
        return bool(self.busy or self.hurried or self.line or self.timer)

    @property
    def open(self) -> bool:
        return self.failures >= FAILURES_TO_OPEN

    def told(self, works: bool | None, at: datetime) -> None:
        """Take in what one try showed."""
        if works:
            self.failures, self.failed_at = 0, None
        elif works is False and self.open_for(at) <= 0:
            self.failures += 1
            self.failed_at = at

    def open_for(self, now: datetime) -> float:
        """Seconds until one try may be made; a clock that is set back begins the wait anew, once."""
        if not self.open or self.failed_at is None:
            return 0.0
        self.failed_at = min(self.failed_at, now)
        cooling = min(OPEN_SECONDS * 2.0 ** min(self.failures - FAILURES_TO_OPEN, 10), OPEN_LIMIT_SECONDS)
        return max(0.0, (self.failed_at + timedelta(seconds=cooling) - now).total_seconds())


@dataclass(frozen=True, slots=True)
class HostFigures:
    """For metrics and people."""

    in_flight: int
    waiting: int
    open: int


class Hosts:
    """See the module.

    Args:
        wake: called with a key that has a place now and must use or leave it; it calls back later, not at once.
        now: wall clock, timezone-aware UTC.
        per_host: places at one host.
        total: places in all.
    """

    def __init__(self, wake: Callable[[Key], None], now: Callable[[], datetime], per_host: int, total: int) -> None:
        self._wake = wake
        self._now = now
        self._per_host = per_host
        self._total = total
        self._hosts: dict[str, _Host] = {}
        self._lines: OrderedDict[str, None] = OrderedDict()  # hosts with a line; whose turn it is comes first
        self._where: dict[Key, str] = {}
        self._in_flight = 0

    def learn(self, host: str, at: datetime, works: bool | None) -> None:
        """Take in one recorded try; to be told in the order of their times.

        Args:
            works: whether the try showed that the host works; None: it showed nothing.
        """
        self._known(host).told(works, at)
        self._forget(host)

    def ask(self, key: Key, host: str, *, impatient: bool = False) -> bool:
        """Whether `key` has a place at `host` now; otherwise it stands in the line. Asking twice changes nothing.

        Args:
            impatient: it has waited long enough for an open circuit.
        """
        if self._where.get(key, host) != host:
            self.leave(key)
        known = self._known(host)
        if key in known.busy:
            return True
        self._where[key] = host
        line = known.hurried if impatient or key in known.hurried else known.line
        if next(iter(line), key) == key and self._room(known, line is known.hurried):
            self._take(known, key)
            return True
        known.line.pop(key, None)
        line.setdefault(key)
        self._lines.setdefault(host)
        self._arm(host, known)
        return False

    def leave(self, key: Key, works: bool | None = None) -> None:
        """Give back the place, or leave the line; nothing where it has neither.

        Args:
            works: what the try showed of the host; None: nothing, or there was none.
        """
        host = self._where.pop(key, None)
        if host is None:
            return
        known = self._hosts[host]
        known.line.pop(key, None)
        known.hurried.pop(key, None)
        if key in known.busy:
            known.busy.remove(key)
            self._in_flight -= 1
            known.told(works, self._now())
        self._give_out()
        self._forget(host)

    def open_for(self, host: str) -> float:
        """Seconds until the next try of a host whose circuit is open, 0 where it is not."""
        known = self._hosts.get(host)
        return known.open_for(self._now()) if known is not None else 0.0

    def figures(self) -> HostFigures:
        """Counts at this moment."""
        waiting = sum(len(each.line) + len(each.hurried) for each in self._hosts.values())
        return HostFigures(self._in_flight, waiting, sum(each.open for each in self._hosts.values()))

    def _known(self, host: str) -> _Host:
        known = self._hosts.get(host)
        if known is None:
            if len(self._hosts) >= MAX_HOSTS:
                self._hosts = {name: each for name, each in self._hosts.items() if each.wanted}
            known = self._hosts[host] = _Host()
        return known

    def _forget(self, host: str) -> None:
        known = self._hosts.get(host)
        if known is not None and not known.wanted and not known.failures:
            del self._hosts[host]
            self._lines.pop(host, None)

    def _room(self, known: _Host, hurried: bool) -> bool:
        if self._in_flight >= self._total or len(known.busy) >= self._per_host:
            return False
        return hurried or not known.open or (not known.busy and known.open_for(self._now()) <= 0)

    def _take(self, known: _Host, key: Key) -> None:
        known.line.pop(key, None)
        known.hurried.pop(key, None)
        known.busy.add(key)
        self._in_flight += 1

    def _give_out(self) -> None:
        """Fill free places from the lines, one for each host in turn."""
        given = True
        while given and self._in_flight < self._total:
            given = False
            for host in list(self._lines):
                given |= self._give_one(host)

    def _give_one(self, host: str) -> bool:
        known = self._hosts[host]
        line = known.hurried if known.hurried and self._room(known, True) else known.line
        if not (known.hurried or known.line):
            del self._lines[host]
        elif line and self._room(known, line is known.hurried):
            key = next(iter(line))
            self._take(known, key)
            self._lines.move_to_end(host)
            self._wake(key)
            return True
        else:
            self._arm(host, known)
        return False

    def _arm(self, host: str, known: _Host) -> None:
        """Look again when an open circuit lets one try through."""
        seconds = known.open_for(self._now())
        if known.timer is None and seconds > 0:
            known.timer = asyncio.get_running_loop().call_later(seconds, self._cooled, host)

    def _cooled(self, host: str) -> None:
        known = self._hosts[host]
        known.timer = None
        self._give_out()
        self._forget(host)
