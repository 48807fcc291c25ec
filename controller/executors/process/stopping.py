"""Stopping a tree: TERM to the command's group, grace, KILL to each process but the recorder until none is left.

Each signal goes to a process whose start time was compared (requirement 3.6, design 6 "Stop"). Standard library only.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from controller.executors.process import cgroup
from controller.executors.process.identity import Identity, Stat, Verdict, compare
from controller.executors.process.records import Stop
from controller.executors.process.story import Story
from controller.executors.process.tree import Scope, members, signal_each

_KILL_INTERVAL_SECONDS = (0.05, 5.0)  # a process in an uninterruptible wait may take long to end
_READY_LIMIT_SECONDS = 5.0  # from the first sight of a command to its own process group
_READY_INTERVAL_SECONDS = 0.02
_LEFT_OVER_GRACE_SECONDS = 5.0
_PASSES = 20  # a tree that forks while it is killed is scanned again at once, this often, before the next interval


class Stopping:
    """One stop under way. `step` does what is due and can be called at any time.

    Args:
        stop: why, and how long it has between TERM and KILL.
        scope, command: what to look for; asked at each look, since the command may only just be starting.
        awaited: whether the command may still be on its way to its own process group.
    """

    def __init__(
        self,
        stop: Stop,
        scope: Callable[[], Scope],
        command: Callable[[], Identity | None],
        story: Story,
        *,
        awaited: bool,
    ):
        self._scope, self._command, self._story = scope, command, story
        self._stop, self._awaited = stop, awaited
        self._kill_at = time.monotonic() + stop.grace_seconds
        self._ready_until = time.monotonic() + (_READY_LIMIT_SECONDS if awaited else 0.0)
        self._next_kill = 0.0
        self._interval = _KILL_INTERVAL_SECONDS[0]
        self._termed = self._killed = False

    def due_in(self) -> float:
        """Seconds until `step` has something to do."""
        now = time.monotonic()
        if not self._termed:
            return _READY_INTERVAL_SECONDS
        return max(0.0, (self._next_kill if self._killed else self._kill_at) - now)

    def step(self) -> None:
        """TERM the first time; KILL once the grace period is over, again and again."""
        if not self._termed:
            self._terminate()
        now = time.monotonic()
        if now >= self._kill_at and now >= self._next_kill:
            if not self._killed:
                self._killed = True
                self._story.tell("Killing", reason=self._stop.reason)
            kill_all(self._scope())
            self._next_kill = time.monotonic() + self._interval
            self._interval = min(self._interval * 1.5, _KILL_INTERVAL_SECONDS[1])

    def hurry(self, grace_seconds: float) -> None:
        """A later request may only shorten the grace period."""
        self._kill_at = min(self._kill_at, time.monotonic() + grace_seconds)

    def _terminate(self) -> None:
        now = time.monotonic()
        found = members(self._scope())
        command = self._command()
        group = [stat for stat in found if command is not None and stat.pgrp == command.pid]
        # Until the command has its own group it is a fork of the recorder's shell, on which a TERM may be lost.
        if self._awaited and command is None and not found:  # not even that, on a machine that is slow
            self._ready_until = now + _READY_LIMIT_SECONDS
        on_its_way = command is None or compare(command) is Verdict.SAME
        if not group and on_its_way and now < min(self._ready_until, self._kill_at):
            return
        targets = group or found
        self._termed = True
        self._story.tell("TermSent", reason=self._stop.reason, graceSeconds=self._stop.grace_seconds)
        signal_each(targets, signal.SIGTERM)
        signal_each(targets, signal.SIGCONT)  # a stopped process acts on TERM only once it is continued


def kill_all(scope: Scope) -> list[Stat]:
    """KILL every process of the scope; returns those that were still found by the last look."""
    cgroup.kill(scope.cgroup)
    before: set[tuple[int, int]] = set()
    for _ in range(_PASSES):
        found = members(scope)
        now = {(stat.pid, stat.start_ticks) for stat in found}
        if not found or now == before:
            return found
        signal_each([stat for stat in found if (stat.pid, stat.start_ticks) not in before], signal.SIGKILL)
        before = now
    return members(scope)


def sweep(scope: Callable[[], Scope], grace_seconds: float, story: Story) -> Stopping | None:
    """Begin to stop what the ended command left behind; None where nothing is left."""
    left = members(scope())
    if not left:
        return None
    story.tell("LeftOver", pids=[stat.pid for stat in left])
    return Stopping(
        Stop("LeftOver", min(grace_seconds, _LEFT_OVER_GRACE_SECONDS)), scope, lambda: None, story, awaited=False
    )
