"""Every row of the tables has a way out: in a benign world each job ends (1.3, 2.6)."""

from __future__ import annotations

import pytest

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Phase
from controller.api.conditions import is_true
from controller.decisions import status as step
from controller.decisions.job import decide
from controller.decisions.observed import Observation
from controller.decisions.plan import Launch, Plan, Stop, Supervise, Void
from tests.unit.builders import HOST, NOW, UNKNOWN, JobBuilder, alive, at, ended, never_started, seen
from tests.unit.decide_states import ACTIVE, EVIDENCE, IDLE, WISHES


def world(plan: Plan, found: Observation | None) -> Observation | None:
    """What a benign world shows after `plan` was acted on: everything asked for works."""
    for action in plan.actions:
        match action:
            case Launch() | Supervise():
                return alive()
            case Stop():
                return ended(143, reason="Stopped")
            case Void():
                return never_started()
    return None if found is None else ended(0)


def walk_out(builder: JobBuilder, found: Observation | None) -> BatchJob:
    """Follow decide() through a benign world, with a person who answers what a condition asks."""
    declared, now = builder.build(), NOW
    for _ in range(40):
        newest = declared.status.attempt
        known = (newest.number,) if newest is not None else ()
        look = seen(found, known=known, granted=True)
        plan = decide(declared, look, HOST, now)
        asks = is_true(plan.status.conditions, "NeedsDecision")
        declared = declared.model_copy(update={"status": plan.status})
        if step.finished(plan.status):
            return declared
        if plan.status.phase is Phase.WAITING:
            assert asks
            spec = builder.decision(newest.number if newest else 1, "Restart").build().spec
            declared = declared.model_copy(update={"spec": spec})
        if plan.status.phase is Phase.SUSPENDED and not plan.actions:
            declared = declared.model_copy(update={"spec": builder.with_spec(suspend=False).build().spec})
        active = step.active(plan.status)
        found = world(plan, found if active is not None else None)
        now = at((now - at(0)).total_seconds() + (plan.wake_after or 60))
    raise AssertionError(f"no way out: {declared.status}")


@pytest.mark.parametrize("wish", ["none", "cancel", "suspend", "expired"])
def test_every_state_has_a_way_out(wish: str) -> None:
    """2.6: from every state, under every evidence, a benign world leads to an end."""
    for builder in ACTIVE.values():
        for evidence, found in EVIDENCE.items():
            assert step.finished(walk_out(WISHES[wish](builder), found).status), evidence
    for builder in IDLE.values():
        assert step.finished(walk_out(WISHES[wish](builder), None).status)


def test_what_is_not_known_asks_a_person_and_goes_on_by_itself_when_it_is() -> None:
    """1.3, 3.3: Unknown is no proof: the slot stays held, a condition asks, and evidence that returns settles it."""
    for builder in ACTIVE.values():
        plan = decide(builder.build(), seen(UNKNOWN), HOST, NOW)
        assert is_true(plan.status.conditions, "NeedsDecision")
        assert step.active(plan.status) is not None
        for found in (value for name, value in EVIDENCE.items() if name != "unknown"):
            later = builder.build().model_copy(update={"status": plan.status})
            assert not is_true(decide(later, seen(found), HOST, NOW).status.conditions, "NeedsDecision")
