"""When a callback is tried and what follows from the answer (6.1-6.3)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api.callback import MAX_SNIPPET, TRIES_LENGTH, Callback, CallbackPhase, CallbackStatus
from controller.api.callback_use import DEFAULT_SCHEDULE, DeliveryState
from controller.api.conditions import find, is_true
from controller.api.units import duration_seconds
from controller.decisions.answer import MAX_RETRY_AFTER, Answer, Blocked, Meaning, showed, wait_seconds
from controller.decisions.delivery import (
    BLOCKED_LIMIT,
    KEEP_FAILED,
    PATIENCE,
    SPREAD,
    CallbackPlan,
    decide,
    end_of,
    holds_back,
    place_of,
)
from tests.unit.builders import START, at
from tests.unit.callback_builders import answer, callback, seen

MISSING = Blocked("SecretNotFound", "spec.secretRef: there is no Secret webhook")


def after(*answers: Answer, start: float = 0.0, step: float = 10.0, one: Callback | None = None) -> Callback:
    """A Callback with these answers recorded, `step` seconds apart."""
    found = one or callback()
    for number, each in enumerate(answers):
        plan = decide(found, seen(each), at(start + number * step))
        found = found.model_copy(update={"status": plan.status})
    return found


def waits(plan: CallbackPlan, now: float) -> float:
    """Seconds until the next try as it is recorded."""
    assert plan.status.next_attempt_at is not None
    return (plan.status.next_attempt_at - at(now)).total_seconds()


@pytest.mark.parametrize(
    ("code", "phase", "host_works"),
    [
        (200, "Delivered", True),
        (204, "Delivered", True),
        (299, "Delivered", True),
        (301, "Delivering", False),
        (304, "Delivering", False),
        (400, "Delivering", True),
        (401, "Delivering", True),
        (404, "Delivering", True),
        (408, "Delivering", False),
        (410, "Failed", True),
        (429, "Delivering", False),
        (500, "Delivering", False),
        (503, "Delivering", False),
        (599, "Delivering", False),
        (101, "Delivering", False),
        (999, "Delivering", False),
        (None, "Delivering", False),
    ],
)
def test_what_an_answer_means(code: int | None, phase: str, host_works: bool) -> None:
    """6.3: 2xx is done, 410 stops, all else is tried again; a 4xx says that the host works."""
    plan = decide(callback(), seen(answer(code)), START)
    assert plan.status.phase == phase
    assert showed(code, "Word") is host_works
    assert plan.status.attempts == plan.status.tries == 1
    assert plan.status.last_attempt is not None and plan.status.last_attempt.code == code
    assert is_true(plan.status.conditions, "Finished") is (phase != "Delivering")
    assert is_true(plan.status.conditions, "Delivered") is (phase == "Delivered")
    assert is_true(plan.status.conditions, "Failed") is (phase == "Failed")
    assert (plan.status.next_attempt_at is not None) is (phase == "Delivering")
    assert not plan.send


def test_the_default_schedule_lasts_three_days() -> None:
    """6.3: 13 tries within about three days."""
    whole = sum(map(duration_seconds, DEFAULT_SCHEDULE))
    assert 3 * 86400 < whole < 3.5 * 86400 and callback(schedule=DEFAULT_SCHEDULE).spec.schedule == DEFAULT_SCHEDULE


def test_the_schedule_is_used_step_by_step_and_then_it_is_a_dead_letter() -> None:
    """6.3: each step within its jitter, Failed after the last, with the way out told."""
    one, now = callback(), 0.0
    for step in (5, 60, 3600):
        plan = decide(one, seen(answer(500), jitter=0.5), at(now))
        assert waits(plan, now) == pytest.approx(step, abs=0.01) and plan.wake_after == pytest.approx(step, abs=0.01)
        one, now = one.model_copy(update={"status": plan.status}), now + step
    last = decide(one, seen(answer(500)), at(now))
    assert last.status.phase is CallbackPhase.FAILED and last.status.attempts == 4
    (note,) = last.notes
    assert note.warning and note.reason == "CallbackFailed" and "holdfast callbacks redeliver build-1" in note.message
    assert last.wake_after == KEEP_FAILED and not last.delete


def test_an_empty_schedule_is_one_try() -> None:
    """6.3: no repeats where none are wanted."""
    assert decide(callback(schedule=()), seen(answer(500)), START).status.phase is CallbackPhase.FAILED


@pytest.mark.parametrize(("jitter", "wait"), [(0.0, 48.0), (0.5, 60.0), (0.999999, 72.0)])
def test_the_jitter_is_a_fifth(jitter: float, wait: float) -> None:
    """6.3: +-20 %, as the argument says."""
    assert wait_seconds(callback().spec, 2, None, jitter) == pytest.approx(wait, abs=0.01)


@pytest.mark.parametrize(
    ("asked", "wait"), [(None, 5.0), (0.0, 5.0), (1.0, 5.0), (120.0, 120.0), (1e9, MAX_RETRY_AFTER), (-5.0, 5.0)]
)
def test_retry_after_only_ever_waits_longer(asked: float | None, wait: float) -> None:
    """6.3: honoured within a bound, and never a way to use up the schedule in a moment."""
    assert waits(decide(callback(), seen(answer(429, retry_after=asked)), START), 0) == pytest.approx(wait, abs=0.01)


def test_a_missing_secret_waits_with_its_reason_and_costs_no_try() -> None:
    """Bad input: said once, looked for ever more seldom, gone on with when it appears."""
    plan = decide(callback(), seen(MISSING), START)
    assert plan.status.phase is CallbackPhase.PENDING and plan.status.attempts == 0 and not plan.send
    told = find(plan.status.conditions, "Delivered")
    assert told is not None and (told.status, told.reason) == ("False", "SecretNotFound")
    assert [note.reason for note in plan.notes] == ["SecretNotFound"]
    one = callback(plan.status)
    again = decide(one, seen(MISSING), at(100))
    assert again.status == plan.status and again.notes == () and again.wake_after == 100
    assert decide(one, seen(MISSING), at(1e5)).wake_after == BLOCKED_LIMIT
    assert decide(one, seen(), at(200)).send
    delivered = decide(one, seen(answer(200)), at(300))
    assert delivered.status.phase is CallbackPhase.DELIVERED and delivered.status.attempts == 1


def test_a_try_that_is_recorded_already_is_not_counted_twice() -> None:
    """6.3: the write arrived, its answer did not."""
    one = after(answer(500))
    plan = decide(one, seen(answer(500), ended_after=0), at(1))
    assert plan.status == one.status and plan.wake_after == pytest.approx(4, abs=0.01)
    wiped = callback(CallbackStatus())
    assert decide(wiped, seen(answer(200), ended_after=7), at(1)).status.phase is CallbackPhase.DELIVERED


def test_what_is_over_stays_over() -> None:
    """6.1: nothing is sent after Delivered was recorded, whatever still comes."""
    done = after(answer(200))
    for ended in (None, answer(500), answer(200), MISSING):
        plan = decide(done, seen(ended), at(1000))
        assert plan == CallbackPlan(done.status)


@pytest.mark.parametrize("owned", [True, False])
def test_a_dead_letter_is_kept_thirty_days(owned: bool) -> None:
    """6.3: then it goes, with its job or without."""
    dead = after(answer(410), one=callback(owned=owned))
    assert not decide(dead, seen(), at(KEEP_FAILED - 1)).delete
    assert decide(dead, seen(), at(KEEP_FAILED)).delete


def test_a_dead_letter_outlives_its_job() -> None:
    """6.3: it is released in the pass that records it, again until that is done, and counts for its job only then."""
    dead = decide(callback(), seen(answer(410)), START)
    assert dead.release and dead.wake_after == KEEP_FAILED
    recorded = callback(dead.status)
    assert decide(recorded, seen(), at(1)).release and end_of(recorded) is None
    free = callback(dead.status, owned=False)
    assert not decide(free, seen(), at(1)).release and end_of(free) is DeliveryState.FAILED
    assert end_of(after(answer(500))) is None


def test_what_was_sent_again_goes_thirty_days_later_where_no_job_owns_it() -> None:
    """6.3: nothing else would ever remove it."""
    dead = after(answer(410), one=callback(owned=False))
    asked = dead.model_copy(update={"spec": dead.spec.model_copy(update={"redeliver": 1})})
    begun = asked.model_copy(update={"status": decide(asked, seen(), at(100)).status})
    assert end_of(begun) is None
    done = begun.model_copy(update={"status": decide(begun, seen(answer(200)), at(200)).status})
    assert end_of(done) is DeliveryState.DELIVERED
    assert decide(done, seen(), at(300)) == CallbackPlan(done.status, wake_after=KEEP_FAILED - 100)
    assert decide(done, seen(), at(200 + KEEP_FAILED)).delete


def test_redeliver_begins_a_new_round_with_the_same_id() -> None:
    """6.3: by one kubectl command; what was tried before stays visible."""
    for before in (after(answer(410)), after(answer(200))):
        asked = before.model_copy(update={"spec": before.spec.model_copy(update={"redeliver": 1})})
        plan = decide(asked, seen(), at(1000))
        status = plan.status
        assert (status.phase, status.tries, status.attempts, status.redelivered) == (CallbackPhase.PENDING, 0, 1, 1)
        assert status.last_attempt is not None and len(status.history) == 1 and plan.wake_after == 0
        assert not is_true(status.conditions, "Finished")
        assert {each.type for each in status.conditions} == {each.type for each in before.status.conditions}
        recorded = asked.model_copy(update={"status": status})
        assert decide(recorded, seen(), at(1000)).send
        again = decide(recorded, seen(answer(200)), at(1001)).status
        assert again.phase is CallbackPhase.DELIVERED and again.attempts == 2 and is_true(again.conditions, "Finished")
        assert not is_true(again.conditions, "Failed")
        settled = asked.model_copy(update={"status": again})
        assert decide(settled, seen(), at(2000)) == CallbackPlan(again)


def test_redeliver_during_a_try_records_both() -> None:
    """6.3: the answer counts for its own round."""
    one = callback(redeliver=1)
    plan = decide(one, seen(answer(200)), START)
    assert plan.status.attempts == 1 and plan.status.phase is CallbackPhase.PENDING and plan.status.redelivered == 1


def test_a_clock_that_is_set_back_makes_no_wait_longer() -> None:
    """6.3: the wait is at most the step that it began with; it is rebased once, not for ever."""
    one = after(answer(500), answer(500))  # 1m from at(10)
    plan = decide(one, seen(), at(-86400))
    assert 48 <= waits(plan, -86400) <= 72
    kept = one.model_copy(update={"status": plan.status})
    later = decide(kept, seen(), at(-86400 + 30))
    assert later.status == plan.status and later.wake_after is not None and later.wake_after <= 42


def test_a_clock_that_is_set_forward_tries_at_once() -> None:
    """6.3: early is allowed, lost is not."""
    assert decide(after(answer(500)), seen(), at(86400 * 30)).send


def test_what_fell_due_during_an_outage_is_spread() -> None:
    """6.3: over a minute from the start, each at a place of its own; first tries go at once."""
    one = after(answer(500))  # due at(5)
    up = at(86400)
    plan = decide(one, seen(up_since=up), up)
    place = place_of(one.spec.id)
    assert not plan.send and plan.wake_after == pytest.approx(SPREAD * place, abs=0.01)
    assert decide(one, seen(up_since=up), up + timedelta(seconds=SPREAD * place)).send
    places = sorted(place_of(f"msg_{number}") for number in range(1000))
    assert all(abs(place - number / 1000) < 0.06 for number, place in enumerate(places))
    assert decide(callback(), seen(up_since=up), up).send
    short = decide(one, seen(up_since=at(6)), at(6))
    assert short.send or (short.wake_after is not None and short.wake_after <= 1)
    assert decide(one, seen(up_since=at(1e9)), at(100)).send, "a start in the future is a clock that was set back"


@pytest.mark.parametrize(
    ("now", "up", "impatient"),
    [(1, -1e6, False), (PATIENCE - 1, -1e6, False), (PATIENCE, -1e6, True), (86400, 86400, False)],
)
def test_an_open_circuit_holds_a_try_up_for_a_while_only(now: float, up: float, impatient: bool) -> None:
    """6.3: counted from when it was due and this controller ran: a restart hammers nobody."""
    plan = decide(callback(), seen(up_since=at(up)), at(now))
    assert plan.send and plan.impatient is impatient
    assert (plan.wake_after is None) is impatient


def test_patience_is_as_long_as_the_step() -> None:
    """6.3: the third repeat may be held up for its hour."""
    one = after(answer(500), answer(500), answer(500))
    due = one.status.next_attempt_at
    assert due is not None
    assert not decide(one, seen(), due + timedelta(seconds=3599)).impatient
    assert decide(one, seen(), due + timedelta(seconds=3600)).impatient


def test_one_that_goes_first_holds_the_next_one_back() -> None:
    """Order per job: until it is over, but not for days where its receiver answers and does not want it."""
    held = decide(callback(previous="build-0"), seen(held_by="build-0"), START)
    assert not held.send and held.status == CallbackStatus() and held.wake_after is not None
    assert holds_back(callback()) and holds_back(after(answer(500))) and holds_back(after(answer(None)))
    assert holds_back(after(answer(429)))
    for free in (None, after(answer(200)), after(answer(410)), after(answer(400)), callback(deleting=True)):
        assert not holds_back(free)


def test_nothing_is_done_during_a_try_or_for_what_is_being_deleted() -> None:
    """6.3: one try at a time."""
    assert decide(callback(), seen(in_flight=True), START) == CallbackPlan(CallbackStatus())
    assert decide(callback(deleting=True), seen(answer(200)), START) == CallbackPlan(CallbackStatus())


def test_what_is_kept_is_bounded() -> None:
    """6.3, 6.4: ten tries, 4 KiB of one answer, texts within the schema."""
    one = callback(schedule=("1s",) * 20)
    for number in range(15):
        each = Answer(Meaning.FAILED, "Word", "x" * 5000, 500, snippet="é" * MAX_SNIPPET)
        one = one.model_copy(update={"status": decide(one, seen(each), at(number)).status})
    assert one.status.attempts == 15 and len(one.status.history) == TRIES_LENGTH
    assert one.status.last_attempt is not None
    assert len(one.status.last_attempt.body_snippet.encode()) <= MAX_SNIPPET
    Callback.model_validate(one.to_json())


CODES = st.sampled_from([200, 301, 400, 404, 410, 429, 500, 503, None])
STEPS = st.one_of(
    st.tuples(st.just("answer"), CODES, st.floats(0, 1e6) | st.none()),
    st.tuples(st.just("look"), st.none(), st.none()),
    st.tuples(st.just("blocked"), st.none(), st.none()),
    st.tuples(st.just("clock"), st.floats(-1e6, 1e6), st.none()),
    st.tuples(st.just("redeliver"), st.none(), st.none()),
    st.tuples(st.just("wipe"), st.none(), st.none()),
)


@settings(deadline=None)
@given(st.lists(STEPS, max_size=40), st.floats(0, 0.999))
def test_a_life_with_clocks_wipes_and_restarts(
    steps: list[tuple[str, float | None, float | None]], jitter: float
) -> None:
    """6.3: never stuck, never hot, never more tries than the schedule has, whatever happens in between."""
    one, now, wiped = callback(), 0.0, False
    for kind, value, asked in steps:
        ended: Answer | Blocked | None = None
        if kind == "clock":
            now += value or 0.0
        elif kind == "redeliver":
            spec = one.spec.model_copy(update={"redeliver": one.spec.redeliver + 1})
            one = one.model_copy(update={"spec": spec})
        elif kind == "wipe":
            one = one.model_copy(update={"status": CallbackStatus()})
            wiped = True
        elif kind == "answer":
            ended = answer(value if value is None else int(value), retry_after=asked)
        elif kind == "blocked":
            ended = MISSING
        plan = decide(one, seen(ended, jitter=jitter), at(now))
        status = plan.status
        Callback.model_validate(one.model_copy(update={"status": status}).to_json())
        assert status.tries <= len(one.spec.schedule) + 1
        assert wiped or status.attempts >= one.status.attempts
        one = one.model_copy(update={"status": status})
        over = status.phase is not None and status.phase.over
        assert over == is_true(status.conditions, "Finished")
        assert not (over and plan.send)
        if not over:
            assert plan.send or plan.wake_after is not None
            longest = max(3600 * 1.2, MAX_RETRY_AFTER) + 0.01
            if status.next_attempt_at is not None:
                assert (status.next_attempt_at - at(now)).total_seconds() <= longest
        quiet = decide(one, seen(jitter=jitter), at(now))
        assert quiet.status == status, "looking again changes nothing"
