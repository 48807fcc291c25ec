"""An operation as an attempt: reattached, launched once, ended once (5.1, 5.2, 5.7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.decisions.operation import (
    GIVE_UP,
    Result,
    Run,
    backoff_left,
    backoff_seconds,
    follow,
    superseded,
)
from controller.decisions.plan import Launch, Release, Stop, Supervise, Void
from controller.errors import Terminal, Transient
from tests.unit.builders import START, at
from tests.unit.repository_builders import ended, run

RELEASED = (Release(1, keep_record=True),)


def test_what_runs_is_reattached() -> None:
    """5.2: never a second one beside it."""
    assert follow(1, run(Observation(Evidence.ALIVE, supervised=True)), 60).actions == ()
    assert follow(1, run(Evidence.ALIVE), 60).actions == (Supervise(1),)


def test_a_recorded_intent_is_launched_until_it_is() -> None:
    """2.6, 5.2: a crash between record and launch is the same launch again."""
    for evidence in (Evidence.ABSENT, Evidence.LAUNCHING):
        assert follow(1, run(evidence), 60).actions == (Launch(1),)
    assert follow(1, run(Observation(Evidence.LAUNCHING, supervised=True)), 60).actions == ()
    told = follow(1, run(Evidence.ABSENT, error=Transient("DiskFull", "free some")), 60)
    assert told.actions == (Launch(1),) and (told.reason, told.message) == ("DiskFull", "free some")


@pytest.mark.parametrize("evidence", [Evidence.ABSENT, Evidence.LAUNCHING])
def test_one_that_cannot_start_never_will(evidence: Evidence) -> None:
    """5.2: it is voided first, its end follows from the evidence."""
    for more in ({"error": Terminal("InvalidSpec", "no")}, {"starting_for": 121.0}):
        (void,) = follow(1, run(Observation(evidence, supervised=True), **more), 60).actions
        assert isinstance(void, Void)
    record = ExitRecord(None, None, "", "", START)
    never = run(Observation(Evidence.NEVER_STARTED, exit=record), error=Terminal("InvalidSpec", "no"))
    end = follow(1, never, 60).end
    assert end is not None and (end.reason, end.message, end.lost) == ("InvalidSpec", "no", False)
    free = follow(1, replace(never, error=None), 60).end
    assert free is not None and (free.reason, free.lost) == ("NeverStarted", True)


def test_silence_is_no_end_until_long_after_the_deadline() -> None:
    """5.2: missing is not proof; afterwards what can be done against a second one is done."""
    for silent in (None, Observation(Evidence.UNKNOWN, message="EIO")):
        early = follow(1, run(silent, unknown_for=60 + GIVE_UP - 1), 60)
        assert early.end is None and early.actions == () and early.reason == "NoEvidence"
    late = follow(1, run(Evidence.UNKNOWN, unknown_for=60 + GIVE_UP), 60)
    assert late.end is not None and late.end.reason == "NoEvidence" and not late.end.ok
    assert [type(each) for each in late.actions] == [Void, Stop]


def test_what_it_left_running_is_ended_first() -> None:
    """3.6"""
    step = follow(1, run(ended(0, left=2)), 60)
    assert step.end is None and step.actions == (Stop(1, "Sweep", 0.0),)


SAID = Result("AuthenticationFailed", "look at the Secret")


@pytest.mark.parametrize(
    ("found", "said", "ok", "reason", "message", "lost"),
    [
        (ended(0), None, True, "", "", False),
        (ended(0), Result(message="cloned"), True, "", "cloned", False),
        (ended(1), SAID, False, "AuthenticationFailed", "look at the Secret", False),
        (ended(1), None, False, "Failed", "exit code 1", False),
        (ended(1), Result(), False, "Failed", "exit code 1", False),  # killed after it had done its work
        (ended(143, "DeadlineExceeded", "over 60 s"), SAID, False, "DeadlineExceeded", "over 60 s", False),
        (ended(0, "OutputLimit", "too much"), Result(), False, "OutputLimit", "too much", False),
        (Observation(Evidence.GONE), SAID, False, "Lost", "it ended without an exit record", True),
    ],
)
def test_ends(found: Observation, said: Result | None, ok: bool, reason: str, message: str, lost: bool) -> None:
    """5.1: in the program's own words, unless it was stopped."""
    step = follow(1, run(found, result=said), 60)
    assert step.end is not None and step.actions == RELEASED
    assert (step.end.ok, step.end.reason, step.end.message, step.end.lost) == (ok, reason, message, lost)


def test_backoff_doubles_to_ten_minutes() -> None:
    """5.1"""
    assert [backoff_seconds(n) for n in (0, 1, 2, 3, 8, 9, 1000)] == [0, 5, 10, 20, 600, 600, 600]


def test_no_clock_makes_it_longer() -> None:
    """5.1: a time that a clock set back would make longer than any backoff is over."""
    assert [backoff_left(at(s), START) for s in (-1, 0, 5, 600, 601, 3600)] == [0, 0, 5, 600, 0, 0]
    assert backoff_left(None, START) == 0


def test_old_run_directories_go() -> None:
    """7.6: the newest keep their output."""
    assert superseded(Run(known=(1, 2, 5, 6, 7)), 7) == (Release(1, False), Release(2, False))
    assert superseded(Run(known=None), 7) == ()
