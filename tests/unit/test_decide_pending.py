"""A launch that others hold back: told, not timed, and given up where that is wanted (requirement 4.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.api.batchjob_status import AttemptState, Phase
from controller.api.conditions import find
from controller.decisions.job import decide
from controller.decisions.observed import Evidence, Observation
from controller.decisions.plan import Void
from tests.unit.builders import HOST, NOW, job, seen

FULL = Observation(Evidence.LAUNCHING, supervised=True, pending="Unschedulable", held=True, message="0/3 nodes fit")
PULL = replace(FULL, pending="ImagePull", held=False, message="no such image")
LATE = HOST.start_timeout + 1


def test_what_it_waits_for_is_recorded_once() -> None:
    """10.1: in the condition and the printed reason; looking again writes nothing."""
    plan = decide(job().starting().build(), seen(attempt=FULL), HOST, NOW)
    running = find(plan.status.conditions, "Running")
    assert (plan.status.phase, plan.status.reason, plan.actions) == (Phase.STARTING, "Unschedulable", ())
    assert running is not None and (running.reason, running.message) == ("Unschedulable", "0/3 nodes fit")
    after = job().starting().build().model_copy(update={"status": plan.status})
    again = decide(after, seen(attempt=replace(FULL, message="0/4 nodes fit")), HOST, NOW)
    assert again.status == plan.status and again.notes == ()


@pytest.mark.parametrize(("found", "voided"), [(FULL, False), (PULL, True)])
def test_only_a_fault_has_a_time_limit(found: Observation, voided: bool) -> None:
    """4.1: a full cluster may take days; an image that is not there ends the attempt, with its reason."""
    plan = decide(job().starting().build(), seen(attempt=found, starting_for=LATE), HOST, NOW)
    assert any(isinstance(action, Void) for action in plan.actions) is voided
    if voided:
        assert plan.actions == (Void(1, f"not started within {LATE:.0f} s: no such image"),)


def test_an_outside_queue_makes_it_wait() -> None:
    """Issue 7, item 3: Waiting with that reason, and Running once it is let go."""
    plan = decide(job().starting().build(), seen(attempt=replace(FULL, pending="Suspended")), HOST, NOW)
    assert (plan.status.phase, plan.status.reason) == (Phase.WAITING, "Suspended")
    waiting = job().starting().build().model_copy(update={"status": plan.status})
    running = Observation(Evidence.ALIVE, started_at=None, supervised=True, host="node-1")
    after = decide(waiting, seen(attempt=running), HOST, NOW).status
    assert (after.phase, after.reason) == (Phase.RUNNING, "")
    assert after.attempt is not None and (after.attempt.state, after.attempt.host) == (AttemptState.RUNNING, "node-1")
    gone_on = decide(waiting, seen(attempt=replace(FULL, pending="", message="")), HOST, NOW).status
    assert (gone_on.phase, gone_on.reason) == (Phase.STARTING, "")
