"""Single decisions that the table does not show: what is wiped, foreign, refused, repeated or clocked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState, Phase
from controller.api.conditions import find, is_true
from controller.decisions import status as step
from controller.decisions.eta import wait_seconds
from controller.decisions.inputs import Observed
from controller.decisions.job import counters, decide, retry_left
from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import Owner, decide_orphan, is_over, too_many
from controller.decisions.outcome import backoff_seconds
from controller.decisions.plan import Delete, Launch, Plan, Release, Stop, Void
from controller.errors import Terminal, Transient
from tests.unit.builders import (
    ABSENT,
    GONE,
    HOST,
    NOW,
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


def after(declared: BatchJob, look: Observed, seconds: float = 10) -> tuple[BatchJob, Plan]:
    """The job once the plan is recorded, and the plan."""
    plan = decide(declared, look, HOST, at(seconds))
    return declared.model_copy(update={"status": plan.status}), plan


# --- a status that was wiped


@pytest.mark.parametrize(
    ("found", "phase", "actions"),
    [
        (alive(), Phase.RUNNING, ()),
        (launching(supervised=False), Phase.STARTING, (Launch,)),
        (launching(), Phase.STARTING, ()),
        (ended(0), Phase.SUCCEEDED, (Release,)),
        (ended(143, reason="Canceled"), Phase.CANCELED, (Release,)),
        (ended(143, reason="Suspended"), Phase.SUSPENDED, (Release,)),
        (ended(143, reason="ActiveDeadlineExceeded"), Phase.FAILED, (Release,)),
        (GONE, Phase.QUEUED, (Release,)),
        (UNKNOWN, Phase.RUNNING, ()),
        (ABSENT, Phase.QUEUED, (Release,)),
    ],
)
def test_a_wiped_status_is_rebuilt(found: object, phase: Phase, actions: tuple[type, ...]) -> None:
    """1.3: the newest attempt goes on from its run directory; nothing is launched that may have begun."""
    carried = {"sequence": "7", "failures": "1", "losses": "2", "decided": "1", "queue": "default"}
    look = replace(seen(known=(1, 3), annotations=carried), attempt=found)  # type: ignore[arg-type]
    new, plan = after(job().build(), look)
    assert new.status.attempt is not None
    assert (new.status.attempt.number, new.status.phase) == (3, phase)
    assert (new.status.sequence, new.status.decided) == (7, 1)
    assert tuple(type(action) for action in plan.actions) == actions


def test_counters_survive_the_way_through_an_attempt() -> None:
    """1.3: what is carried is what comes back, and a damaged file costs a counter, never the job."""
    status = job().running().with_status(failures=2, losses=1, decided=1).sequence(9).build().status
    look = seen(alive(), annotations=counters(status))
    rebuilt, _ = after(job().build(), look)
    kept = rebuilt.status
    assert (kept.failures, kept.losses, kept.decided, kept.sequence) == (2, 1, 1, 9)
    damaged, _ = after(job().build(), seen(alive(), annotations={"sequence": "x", "failures": "²", "losses": "-1"}))
    assert (damaged.status.sequence, damaged.status.failures, damaged.status.losses) == (10, 0, 0)


@pytest.mark.parametrize(
    "wish", [lambda j: j, JobBuilder.cancel, JobBuilder.suspend, lambda j: j.active_deadline("1s")]
)
def test_run_directories_that_cannot_be_read_end_and_start_nothing(wish: object) -> None:
    """1.3, design 1: an attempt of a wiped job may run where nobody can look."""
    plan = decide(wish(job()).build(), seen(known=None, granted=True), HOST, NOW)  # type: ignore[operator]
    assert (plan.status.phase, plan.status.reason) == (Phase.QUEUED, "StateUnreadable")
    assert not plan.actions
    assert plan.wake_after is not None


def test_a_new_attempt_never_takes_a_known_number() -> None:
    """2.6: numbers count on from the recorded one and from every run directory."""
    for builder, known in [(job(), ()), (job().over(AttemptState.FAILED, 2).queued(), (1, 2))]:
        plan = decide(builder.build(), seen(known=known, granted=True), HOST, NOW)
        assert plan.status.attempt is not None
        assert plan.status.attempt.number == max(known, default=0) + 1
    ahead = job().over(AttemptState.LOST, 2).queued().build()
    assert decide(ahead, seen(known=(1, 5), granted=True), HOST, NOW).actions == (Launch(6),)


# --- another state directory


def test_what_another_state_directory_started_is_never_absent() -> None:
    """Design 9: this directory says nothing about it: not launched, not lost, a person is asked."""
    for builder in (job().starting(), job().running(), job().stopping("Canceled")):
        declared = builder.on_state("state-0").build()
        plan = decide(declared, seen(ABSENT), HOST, NOW)
        assert not plan.actions
        assert step.active(plan.status) is not None
        asked = find(plan.status.conditions, "NeedsDecision")
        assert asked is not None and "state-0" in asked.message


# --- starts that fail


def test_a_launch_that_can_never_succeed_fails_the_job_without_a_repeat() -> None:
    """2.6: the attempt is closed first, then the job ends with the launch's own reason."""
    error = Terminal("BadAttemptName", "no such name")
    declared = job().starting().retry(5).build()
    new, plan = after(declared, replace(seen(ABSENT), error=error))
    assert plan.actions == (Void(1, "BadAttemptName: no such name"),)
    new, plan = after(new, replace(seen(never_started()), error=error))
    assert (new.status.phase, new.status.reason) == (Phase.FAILED, "BadAttemptName")


def test_a_launch_that_may_succeed_later_says_what_is_wrong() -> None:
    """2.6, 8.3: the error is in a condition, and goes when the attempt runs."""
    new, plan = after(job().starting().build(), replace(seen(ABSENT), error=Transient("DiskFull", "no space left")))
    condition = find(new.status.conditions, "Running")
    assert condition is not None and (condition.reason, condition.message) == ("DiskFull", "no space left")
    assert plan.actions == (Launch(1),)
    new, _ = after(new, seen(alive()))
    assert is_true(new.status.conditions, "Running")


def test_a_start_that_takes_too_long_is_closed_and_repeated_five_times() -> None:
    """2.6: it provably never ran, so it costs no retry; but not for ever."""
    declared = job().starting().build()
    plan = decide(declared, replace(seen(launching()), starting_for=121.0), HOST, NOW)
    assert isinstance(plan.actions[0], Void)
    waits = []
    for number in range(1, 6):
        declared, _ = after(declared, seen(never_started(), known=(number,)))
        if number < 5:
            waits.append(retry_left(declared, declared.status, NOW))
            declared, _ = after(declared, seen(known=(number,), granted=True), seconds=100 * number)
            assert declared.status.failures == declared.status.losses == 0
    assert waits == sorted(waits) and waits[0] > 0
    assert (declared.status.phase, declared.status.reason) == (Phase.FAILED, "StartFailed")


def test_a_missing_environment_does_not_make_the_status_flap() -> None:
    """2.4, 10.1: the reason stays until the next try says something else: no write at every look."""
    missing = ("EnvironmentNotFound", "ConfigMap c does not exist")
    new, _ = after(job().queued().sequence(1).build(), seen(granted=True, blocked=missing))
    assert new.status.reason == "EnvironmentNotFound"
    assert after(new, seen())[1].status is new.status
    assert after(new, seen(granted=True, blocked=missing))[0].status == new.status


def test_a_queue_that_appears_clears_the_reason() -> None:
    """2.4"""
    new, _ = after(job().build(), seen(blocked=("QueueNotFound", "there is no q")))
    assert new.status.reason == "QueueNotFound"
    assert after(new, seen())[0].status.reason == ""


# --- repeats and clocks


def test_backoff_doubles_up_to_its_limit() -> None:
    """2.4"""
    declared = job().retry(9, backoff="10s", maxBackoff="1m").build()
    assert [backoff_seconds(declared, n) for n in (1, 2, 3, 4, 40)] == [10, 20, 40, 60, 60]


def test_retries_count_failures_only_and_losses_their_own_limit() -> None:
    """2.4, 3.5"""
    declared = job().running().retry(1).on_lost("Restart", limit=1).build()
    failed, _ = after(declared, seen(ended(7)))
    assert (failed.status.phase, failed.status.failures, failed.status.losses) == (Phase.QUEUED, 1, 0)
    lost, _ = after(declared, seen(GONE))
    assert (lost.status.phase, lost.status.failures, lost.status.losses) == (Phase.QUEUED, 0, 1)
    over = job().running(2).retry(1).with_status(failures=1).build()
    assert after(over, seen(ended(7)))[0].status.phase is Phase.FAILED
    too_often = job().running(2).on_lost("Restart", limit=1).with_status(losses=1).build()
    assert after(too_often, seen(GONE))[0].status.reason == "LossLimitExceeded"


@pytest.mark.parametrize(("seconds", "left"), [(10, 50.0), (70, 0.0), (-3600, 0.0)])
def test_a_clock_that_jumps_cannot_hold_a_retry_back_for_long(seconds: float, left: float) -> None:
    """2.4: an hour back is more than any backoff, so it is a jump."""
    declared = job().backing_off(60).retry(1, maxBackoff="1m").build()
    assert retry_left(declared, declared.status, at(seconds)) == left


def test_a_clock_that_jumps_back_does_not_keep_a_live_attempt_unrecorded() -> None:
    """3.3"""
    declared = job().starting().build()
    assert decide(declared, seen(alive()), HOST, at(0.05)).status is declared.status
    assert decide(declared, seen(alive()), HOST, at(-3600)).status.phase is Phase.RUNNING


def test_the_time_to_live_is_armed_by_the_end_itself() -> None:
    """2.4: our own PATCH wakes nobody."""
    new, plan = after(job().running().ttl("30s").build(), seen(ended(0)))
    assert plan.wake_after == 30
    assert after(new, seen(), seconds=20)[1].wake_after == 20
    assert after(new, seen(), seconds=41)[1].actions == (Delete(),)


def test_an_active_deadline_wakes_whatever_waits() -> None:
    """2.4"""
    for builder in (job().queued().sequence(1), job().over(AttemptState.SUSPENDED).suspend(), job().needs_decision()):
        assert decide(builder.active_deadline("1m").build(), seen(), HOST, NOW).wake_after == 50
    running = job().running().active_deadline("1m").build()
    assert decide(running, seen(alive()), HOST, NOW).wake_after == 50


def test_a_full_disk_stops_the_largest_writer() -> None:
    """Design 4: recorded as any other stop, and counted as a failure."""
    new, plan = after(job().running().build(), replace(seen(alive()), evict="OutputLimit"))
    assert (new.status.phase, plan.actions) == (Phase.STOPPING, (Stop(1, "OutputLimit", 30.0),))
    assert after(new, seen(ended(143, reason="OutputLimit")))[0].status.reason == "OutputLimit"


def test_a_decision_is_carried_out_once() -> None:
    """3.5: it is tied to an attempt, and a second loss of the same job asks again."""
    declared = job().needs_decision().decision(1, "Restart").on_lost("Manual").build()
    new, _ = after(declared, seen(known=(1,)))
    assert (new.status.phase, new.status.decided) == (Phase.QUEUED, 1)
    new, _ = after(new, seen(known=(1,), granted=True))
    new, _ = after(new, seen(GONE, known=(1, 2)))
    assert new.status.phase is Phase.WAITING and is_true(new.status.conditions, "NeedsDecision")
    assert after(new, seen(known=(1, 2)))[1].status is new.status


@pytest.mark.parametrize("found", [GONE, never_started(), ended(7)])
@pytest.mark.parametrize(
    ("answer", "phase"), [("Fail", Phase.FAILED), ("Cleanup", Phase.FAILED), ("Restart", Phase.QUEUED)]
)
def test_an_answer_that_ended_the_job_holds_without_its_record(found: Observation, answer: str, phase: Phase) -> None:
    """1.3, 3.5: the status was wiped, and what nothing was proved of can be read again: no other attempt follows."""
    new, _ = after(job().decision(1, answer).retry(3).build(), seen(found, known=(1,)))
    assert new.status.phase is phase
    if phase is Phase.FAILED:
        assert new.status.decided == 1 and f"a person decided: {answer}" in new.status.conditions[-1].message


# --- run directories


def test_orphans() -> None:
    """7.6: nothing alive or unknown is removed, nothing is stopped while its owner may exist."""
    gone, present, unknown = Owner.GONE, Owner.PRESENT, Owner.UNKNOWN
    assert decide_orphan(1, alive(), gone, kept=False) == (Stop(1, "Deleted", 30.0),)
    assert decide_orphan(1, ended(0, left=1), gone, kept=False) == (Stop(1, "Deleted", 0.0),)
    assert decide_orphan(1, ended(0), gone, kept=False) == (Release(1, keep_record=False),)
    assert isinstance(decide_orphan(1, launching(), gone, kept=False)[0], Void)
    for found in (alive(), launching(), ended(0), GONE, UNKNOWN, never_started(), ABSENT):
        assert decide_orphan(1, found, unknown, kept=False) == ()
        assert decide_orphan(1, found, present, kept=True) == ()
        assert is_over(found) is (found.evidence not in (Evidence.ALIVE, Evidence.LAUNCHING, Evidence.UNKNOWN))
    assert decide_orphan(1, UNKNOWN, gone, kept=False) == ()
    assert decide_orphan(1, alive(), present, kept=True, over=True) == (Stop(1, "GivenUp", 30.0),)
    assert decide_orphan(1, ended(0), present, kept=False, over=True) == (Release(1, keep_record=False),)


def test_too_many_orphans_are_a_wrong_view() -> None:
    """7.6, design 9"""
    assert [too_many(*pair) for pair in ((3, 3), (4, 4), (4, 40), (5, 40), (4, 1000))] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_estimates() -> None:
    """2.2"""
    assert wait_seconds(0, 0, 10) is None
    assert [wait_seconds(position, 2, 10) for position in (0, 1, 2, 5)] == [10, 10, 20, 30]
