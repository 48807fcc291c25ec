"""The pace of starts decides which waits are recorded."""

from __future__ import annotations

from controller.reconcile.pace import FIRST_LOOK_SECONDS, SOON_SECONDS, WINDOW_SECONDS, Pace
from tests.unit.clock import Clock


def test_a_job_just_seen_is_looked_at_again_before_its_wait_is_recorded() -> None:
    """Design 4: a job admitted in its first cycle is never Queued."""
    clock = Clock()
    pace = Pace(clock)
    assert pace.look_again("a", 0) == FIRST_LOOK_SECONDS
    clock.now += FIRST_LOOK_SECONDS
    assert pace.look_again("a", 0) is None


def test_a_wait_that_is_over_soon_is_not_recorded() -> None:
    """2.2: positions are written at queueing, for jobs that really queue."""
    clock = Clock()
    pace = Pace(clock)
    pace.look_again("near", 0)
    pace.look_again("far", 0)
    clock.now += FIRST_LOOK_SECONDS
    for number in range(20):
        pace.started(str(number))
    assert pace.per_second() == 20 / WINDOW_SECONDS
    soon = int(pace.per_second() * SOON_SECONDS)
    assert pace.look_again("near", soon - 1) is not None
    assert pace.look_again("far", soon) is None


def test_when_nothing_starts_any_more_every_wait_is_recorded() -> None:
    """2.2: the pace is that of the last seconds, not of the best ones."""
    clock = Clock()
    pace = Pace(clock)
    pace.started("x")
    pace.look_again("a", 0)
    clock.now += WINDOW_SECONDS + 0.1
    assert pace.per_second() == 0
    assert pace.look_again("a", 0) is None


def test_a_job_that_waits_again_is_looked_at_anew() -> None:
    """Design 4: what was forgotten has its first look again."""
    clock = Clock()
    pace = Pace(clock)
    pace.look_again("a", 0)
    clock.now += FIRST_LOOK_SECONDS
    pace.forget("a")
    assert pace.look_again("a", 0) == FIRST_LOOK_SECONDS
