"""Every recorded state, evidence and wish has a row, and every row has a way out (1.3, 2.4, 2.6, 3.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState, Phase
from controller.api.conditions import is_true
from controller.decisions import status as step
from controller.decisions.inputs import Observed
from controller.decisions.job import decide
from controller.decisions.observed import Evidence, Observation
from controller.decisions.plan import Launch, Plan, Stop, Supervise, Void
from tests.unit.builders import (
    ABSENT,
    GONE,
    HOST,
    UNKNOWN,
    JobBuilder,
    alive,
    at,
    ended,
    job,
    launching,
    never_started,
    seen,
)

NOW = at(10)

ACTIVE = {
    "Starting": job().starting(),
    "Running": job().running(),
    "Canceling": job().stopping("Canceled"),
    "Suspending": job().stopping("Suspended"),
    "Expiring": job().stopping("ActiveDeadlineExceeded"),
    "Evicting": job().stopping("OutputLimit"),
}
EVIDENCE = {
    "alive": alive(),
    "alive, stop journalled": alive(stop_requested=True),
    "alive, no supervisor": alive(supervised=False),
    "launching": launching(),
    "launching, no supervisor": launching(supervised=False),
    "exit 0": ended(0),
    "exit 7": ended(7),
    "exit 143 Stopped": ended(143, reason="Stopped"),
    "ended, processes left": ended(0, left=2),
    "never started": never_started(),
    "not found": never_started("CommandNotFound"),
    "gone": GONE,
    "absent": ABSENT,
    "unknown": UNKNOWN,
}
WISHES: dict[str, Callable[[JobBuilder], JobBuilder]] = {
    "none": lambda declared: declared,
    "cancel": JobBuilder.cancel,
    "suspend": JobBuilder.suspend,
    "expired": lambda declared: declared.active_deadline("5s"),
    "restart": lambda declared: declared.decision(1, "Restart"),
    "fail": lambda declared: declared.decision(1, "Fail"),
}

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
expired: Failed +release
    not found -> Failed +release; cancel: Canceled +release; suspend: Suspended +release
    gone / exit 143 Stopped -> Queued(Lost) +release
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
expired: Failed +release
    not found -> Failed +release; cancel: Canceled +release; suspend: Suspended +release
    gone / absent / exit 143 Stopped -> Queued(Lost) +release
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
    never started -> Queued(NeverStarted) +release
    gone / absent -> Queued(Lost) +release
    unknown -> Stopping; restart: Queued(Lost) +void +stop; fail: Failed(Lost) +void +stop
"""

IDLE = {
    "new": job(),
    "queued": job().queued().sequence(10),
    "no queue": job().queued("QueueNotFound").sequence(10),
    "backing off": job().backing_off(60),
    "backed off": job().backing_off(5),
    "suspended": job().over(AttemptState.SUSPENDED),
    "never ran, suspended": job().with_status(phase="Suspended"),
    "asks a person": job().needs_decision(),
    "asks about nothing": job().with_status(phase="Waiting"),
    "lost": job().over(AttemptState.LOST).queued("Lost"),
    "conditions taken away": job().over(AttemptState.SUCCEEDED),
    "end taken away": job().over(AttemptState.CANCELED),
    "succeeded": job().over(AttemptState.SUCCEEDED).finished(),
    "failed": job().over(AttemptState.FAILED).finished(Phase.FAILED),
    "canceled": job().finished(Phase.CANCELED),
}
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
    again = decide(declared.model_copy(update={"status": plan.status}), look, HOST, NOW)
    if plan.wake_after == 0.0 or (look.granted and step.active(plan.status) is None):
        return  # what follows is a step of its own, looked at anew
    assert again.status == plan.status
    assert set(again.actions) <= set(plan.actions)
    if step.active(plan.status) is not None:
        assert again.actions == plan.actions


# --- a way out of everything


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
