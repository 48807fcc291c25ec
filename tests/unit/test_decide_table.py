"""Every recorded state, evidence and wish has a row (1.3, 2.4, 2.6, 3.5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import BatchJobStatus
from controller.api.conditions import ours_of
from controller.decisions import status as step
from controller.decisions.inputs import Observed
from controller.decisions.job import decide
from controller.decisions.observed import Evidence
from controller.decisions.plan import Plan
from tests.unit.builders import HOST, NOW, seen
from tests.unit.decide_states import ACTIVE, EVIDENCE, IDLE, WISHES

# state / evidence [/ evidence] -> phase(attempt state, where another) +action; wish[, wish]: what is different for it
ROWS = """
Starting
    alive -> Running; cancel, suspend, expired: Stopping +stop
    alive, stop journalled -> Running; cancel, suspend, expired: Stopping
    alive, no supervisor -> Running +supervise; cancel, suspend, expired: Stopping +supervise +stop
    launching -> Starting; cancel, suspend, expired: Starting +void
    launching, no supervisor / absent -> Starting +launch; cancel, suspend, expired: Starting +void
    exit 0 -> Succeeded +release
    exit 7 -> Failed +release
    ended, processes left -> Starting +stop
    never started -> Queued(NeverStarted) +release; cancel: Canceled +release; suspend: Suspended +release; \
expired: Failed +release; fail: Failed(NeverStarted) +release
    not found -> Failed +release; cancel: Canceled +release; suspend: Suspended +release
    gone / exit 143 Stopped -> Queued(Lost) +release; fail: Failed(Lost) +release
    unknown -> Starting; restart: Queued(Lost) +void +stop; fail: Failed(Lost) +void +stop
Running
    alive -> Running; cancel, suspend, expired: Stopping +stop
    alive, stop journalled -> Running; cancel, suspend, expired: Stopping
    alive, no supervisor -> Running +supervise; cancel, suspend, expired: Stopping +supervise +stop
    launching / launching, no supervisor -> Running +void
    exit 0 -> Succeeded +release
    exit 7 -> Failed +release
    ended, processes left -> Running +stop
    never started -> Queued(NeverStarted) +release; cancel: Canceled +release; suspend: Suspended +release; \
expired: Failed +release; fail: Failed(NeverStarted) +release
    not found -> Failed +release; cancel: Canceled +release; suspend: Suspended +release
    gone / absent / exit 143 Stopped -> Queued(Lost) +release; fail: Failed(Lost) +release
    unknown -> Running; restart: Queued(Lost) +void +stop; fail: Failed(Lost) +void +stop
Canceling
    alive / ended, processes left -> Stopping +stop
    alive, stop journalled -> Stopping
    alive, no supervisor -> Stopping +supervise +stop
    launching / launching, no supervisor -> Stopping +void
    exit 0 -> Succeeded +release
    exit 7 / exit 143 Stopped / never started / not found / gone / absent -> Canceled +release
    unknown -> Stopping; restart: Queued(Lost) +void +stop; fail: Failed(Lost) +void +stop
Suspending
    alive / ended, processes left -> Stopping +stop
    alive, stop journalled -> Stopping
    alive, no supervisor -> Stopping +supervise +stop
    launching / launching, no supervisor -> Stopping +void
    exit 0 -> Succeeded +release
    exit 7 / exit 143 Stopped / never started / not found / gone / absent -> Suspended +release
    unknown -> Stopping; restart: Queued(Lost) +void +stop; fail: Failed(Lost) +void +stop
Expiring
    alive / ended, processes left -> Stopping +stop
    alive, stop journalled -> Stopping
    alive, no supervisor -> Stopping +supervise +stop
    launching / launching, no supervisor -> Stopping +void
    exit 0 -> Succeeded +release
    exit 7 / exit 143 Stopped / never started / not found / gone / absent -> Failed +release
    unknown -> Stopping; restart: Queued(Lost) +void +stop; fail: Failed(Lost) +void +stop
Evicting
    alive / ended, processes left -> Stopping +stop
    alive, stop journalled -> Stopping
    alive, no supervisor -> Stopping +supervise +stop
    launching / launching, no supervisor -> Stopping +void
    exit 0 -> Succeeded +release
    exit 7 / exit 143 Stopped / not found -> Failed +release
    never started -> Queued(NeverStarted) +release; fail: Failed(NeverStarted) +release
    gone / absent -> Queued(Lost) +release; fail: Failed(Lost) +release
    unknown -> Stopping; restart: Queued(Lost) +void +stop; fail: Failed(Lost) +void +stop
"""

# state -> without a slot | with a slot | canceled | suspended | expired
IDLE_ROWS = {
    "new": "Queued | Starting +launch | Canceled | Suspended | Failed",
    "queued": "Queued | Starting +launch | Canceled | Suspended | Failed",
    "no queue": "Queued | Starting +launch | Canceled | Suspended | Failed",
    "backing off": "Queued | Queued | Canceled | Suspended | Failed",
    "backed off": "Queued | Starting +launch | Canceled | Suspended | Failed",
    "suspended": "Queued | Starting +launch | Canceled | Suspended | Failed",
    "never ran, suspended": "Queued | Starting +launch | Canceled | Suspended | Failed",
    "asks a person": "Waiting | Waiting | Canceled | Waiting | Failed",
    "asks about nothing": "Queued | Starting +launch | Canceled | Suspended | Failed",
    "lost": "Queued | Starting +launch | Canceled | Suspended | Failed",
    "to be resumed": "Queued | Starting +launch | Canceled | Suspended | Failed",
    "conditions taken away": "Succeeded | Succeeded | Succeeded | Succeeded | Succeeded",
    "end taken away": "Canceled | Canceled | Canceled | Canceled | Canceled",
    "succeeded": "Succeeded | Succeeded | Succeeded | Succeeded | Succeeded",
    "failed": "Failed | Failed | Failed | Failed | Failed",
    "canceled": "Canceled | Canceled | Canceled | Canceled | Canceled",
}


def cell(plan: Plan, *, attempt: bool = True) -> str:
    """A plan in the words of the table."""
    phase, newest = plan.status.phase, plan.status.attempt
    text = phase.value if phase is not None else "none"
    if attempt and newest is not None and newest.state.over and newest.state.value != text:
        text += f"({newest.state.value})"
    return " ".join([text, *(f"+{type(action).__name__.lower()}" for action in plan.actions)])


def rows() -> Iterator[tuple[str, str, str, str]]:
    """(state, evidence, wish, expected) of every cell of ROWS."""
    state = ""
    for line in ROWS.strip().splitlines():
        if not line.startswith(" "):
            state = line
            continue
        evidences, _, cells = line.strip().partition(" -> ")
        usual, *others = cells.split("; ")
        by_wish = dict.fromkeys(WISHES, usual)
        for other in others:
            wishes, _, expected = other.partition(": ")
            by_wish |= dict.fromkeys(wishes.split(", "), expected)
        for evidence in evidences.split(" / "):
            yield from ((state, evidence, wish, expected) for wish, expected in by_wish.items())


def idle_seen(declared: BatchJob, *, granted: bool) -> Observed:
    newest = declared.status.attempt
    return seen(known=(newest.number,) if newest else (), granted=granted)


def test_the_table_is_whole() -> None:
    """2.6: no state of an attempt meets an evidence or a wish that nobody thought of."""
    found = [(state, evidence, wish) for state, evidence, wish, _ in rows()]
    assert len(found) == len(set(found))
    assert set(found) == {(s, e, w) for s in ACTIVE for e in EVIDENCE for w in WISHES}
    assert {observation.evidence for observation in EVIDENCE.values()} == set(Evidence)
    assert set(IDLE) == set(IDLE_ROWS)


@pytest.mark.parametrize(("state", "evidence", "wish", "expected"), list(rows()))
def test_active(state: str, evidence: str, wish: str, expected: str) -> None:
    """2.4, 2.6, 3.5, 3.6: what is decided about an attempt that is not proved over."""
    declared = WISHES[wish](ACTIVE[state]).build()
    look = seen(EVIDENCE[evidence])
    plan = decide(declared, look, HOST, NOW)
    assert cell(plan) == expected
    assert_settled(declared, look, plan)


@pytest.mark.parametrize("state", IDLE)
def test_idle(state: str) -> None:
    """2.4: what is decided about a job that holds no slot."""
    builder, expected = IDLE[state], IDLE_ROWS[state].split(" | ")
    wishes = [builder, builder, builder.cancel(), builder.suspend(), builder.active_deadline("5s")]
    for index, wished in enumerate(wishes):
        declared = wished.build()
        look = idle_seen(declared, granted=index != 0)
        plan = decide(declared, look, HOST, NOW)
        assert cell(plan, attempt=False) == expected[index], index
        if not plan.actions:
            assert_settled(declared, look, plan)


def assert_settled(declared: BatchJob, look: Observed, plan: Plan) -> None:
    """Deciding again about what was just recorded writes nothing and, while the attempt lives, does the same again."""
    assert {each.type for each in plan.status.conditions} <= ours_of(BatchJobStatus)[0]
    again = decide(declared.model_copy(update={"status": plan.status}), look, HOST, NOW)
    if plan.wake_after == 0.0 or (look.granted and step.active(plan.status) is None):
        return  # what follows is a step of its own, looked at anew
    assert again.status == plan.status
    assert set(again.actions) <= set(plan.actions)
    if step.active(plan.status) is not None:
        assert again.actions == plan.actions
