"""How long an operation that waiting can mend waits before it is begun again (5.2, 8.3)."""

from __future__ import annotations

from controller.decisions.inputs import Step, StepState
from controller.executors.base import AttemptId
from controller.reconcile.repeats import Repeats

FULL = Step(StepState.FAILED, "DiskFull", "no space left")
ONE, OTHER = AttemptId("one", 1), AttemptId("other", 1)


def test_the_pause_grows_to_a_bound_and_passes() -> None:
    """From the first look at each failure on; another operation has a pause of its own."""
    now = 0.0
    repeats = Repeats(lambda: now)
    pauses = []
    for _ in range(6):
        pauses.append(repeats.paused(ONE, FULL).pause)
        now += 2.0
        assert repeats.paused(ONE, FULL).pause == pauses[-1] - 2.0
        now += 100.0
        assert repeats.paused(ONE, FULL).pause == 0.0
        repeats.begun(ONE)
        assert repeats.paused(ONE, Step(StepState.WORKING)) == Step(StepState.WORKING)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert repeats.paused(OTHER, FULL).pause == 5.0


def test_what_ends_a_row_of_failures() -> None:
    """A success, a failure that waiting cannot mend, or that nobody needs it any more."""
    repeats = Repeats(lambda: 0.0)
    for end in (Step(StepState.DONE), Step(StepState.FAILED, "RefNotFound")):
        for _ in range(3):
            repeats.paused(ONE, FULL)
            repeats.begun(ONE)
        assert repeats.paused(ONE, end) == end
        assert repeats.paused(ONE, FULL).pause == 5.0
        repeats.begun(ONE)
        repeats.forget(ONE)
        assert repeats.paused(ONE, FULL).pause == 5.0
        repeats.forget(ONE)
