"""Which operation on a mirror is due and what follows its end (5.1, 5.2)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.repository import Lock, Operation, OperationState, OperationType, Repository, RepositoryStatus
from controller.decisions.observed import Evidence
from controller.decisions.operation import Result, Run
from controller.decisions.plan import Launch, Release
from controller.decisions.repository import RepositoryPlan, Seen, active, decide, network
from controller.decisions.repository_health import Mirror
from tests.unit.builders import START, at
from tests.unit.repository_builders import COMMIT, ended, operation, repository, run, status

HERE = Mirror(exists=True, commit=COMMIT)
CLONED = operation(1, "Clone")


def started(plan: RepositoryPlan) -> str:
    """Type of the operation that is launched, "" where none is."""
    launches = [each for each in plan.actions if isinstance(each, Launch)]
    if not launches:
        return ""
    assert plan.status.operation is not None and launches == [Launch(plan.status.operation.number)]
    assert plan.status.operation.state is OperationState.STARTING
    return plan.status.operation.type.value


def fresh(**more: Any) -> RepositoryStatus:
    """Cloned at START, refreshed then."""
    return status(CLONED, **({"refreshed_at": START} | more))


@pytest.mark.parametrize(
    ("recorded", "spec", "mirror", "now", "due", "wake"),
    [
        (None, {}, Mirror(False), 0, "Clone", 0),
        (fresh(), {}, Mirror(False), 100, "Clone", 0),
        (fresh(), {}, Mirror(True, clean=False), 100, "Verify", 0),
        (fresh(), {}, HERE, 299, "", 1),
        (fresh(), {}, HERE, 300, "Fetch", 0),
        (fresh(), {}, HERE, -1, "Fetch", 0),  # the clock was set back
        (status(CLONED), {}, HERE, 100, "Fetch", 0),
        (fresh(), {"refreshInterval": "1h"}, HERE, 300, "", 600),  # stale after 3 intervals, due after one
        (fresh(), {"refreshRequestedAt": at(50)}, HERE, 100, "Fetch", 0),
        (
            status(operation(1, "Clone", request=at(50)), refreshed_at=at(0)),
            {"refreshRequestedAt": at(50)},
            HERE,
            60,
            "",
            240,
        ),
        (fresh(), {}, None, 1000, "", 5),
    ],
)
def test_what_is_due(
    recorded: RepositoryStatus | None, spec: dict[str, Any], mirror: Mirror | None, now: float, due: str, wake: float
) -> None:
    """5.1, 5.2: no mirror, one that may be damaged, a stale one, one that a person wants fresh."""
    plan = decide(repository(recorded, **spec), Seen(mirror, run()), at(now))
    assert started(plan) == due
    if spec.get("refreshInterval") == "1h":
        wake = 3300
    assert plan.wake_after == pytest.approx(wake, abs=0.2)


@pytest.mark.parametrize(
    ("missed", "now", "due", "wake"),
    [
        (None, 100, "", 200),
        (at(90), 100, "Fetch", 0),
        (at(101), 100, "", 1),  # the same second may hold a push that is younger than the last fetch
        (at(0), 100, "", 200),  # the last fetch began after the job was made: it has answered
        (at(-50), 100, "", 200),
    ],
)
def test_a_ref_that_is_missed(missed: datetime | None, now: float, due: str, wake: float) -> None:
    """5.1: a job is younger than the mirror and wants what is not there: it is fetched once, before it is stale."""
    plan = decide(repository(fresh()), Seen(HERE, run(), missed=missed), at(now))
    assert started(plan) == due
    assert plan.wake_after == pytest.approx(wake, abs=0.2)


def test_the_request_is_recorded_with_what_answers_it() -> None:
    """5.1: asked once, fetched once; also where the answer failed at first, or a Verify came between."""
    wanted = {"refresh_requested_at": at(50)}
    plan = decide(repository(fresh(), refreshRequestedAt=at(50)), Seen(HERE, run()), at(60))
    assert plan.status.operation is not None and plan.status.operation.request == at(50)
    failed = fresh().model_copy(update={"operation": operation(2, "Fetch", "Failed", request=at(50))})
    assert started(decide(repository(failed, refreshRequestedAt=at(50)), Seen(HERE, run()), at(60))) == "Fetch"
    verify = decide(repository(failed, refreshRequestedAt=at(50)), Seen(Mirror(True, clean=False), run()), at(60))
    assert started(verify) == "Verify" and verify.status.operation is not None
    assert verify.status.operation.request is None, wanted
    answered = fresh().model_copy(update={"operation": operation(2, "Fetch", request=at(50))})
    kept = decide(repository(answered, refreshRequestedAt=at(50)), Seen(Mirror(True, clean=False), run()), at(60))
    assert kept.status.operation is not None and kept.status.operation.request == at(50)


def test_numbers_are_never_reused() -> None:
    """1.3: also where the status was wiped after all of them had ended."""
    plan = decide(repository(fresh()), Seen(Mirror(False), Run(known=(4, 9))), at(400))
    assert Launch(10) in plan.actions
    assert Release(4, False) not in plan.actions


def test_while_numbers_or_mirror_cannot_be_read_nothing_starts() -> None:
    """5.2: missing is not proof."""
    for seen in (Seen(Mirror(False), Run(known=None)), Seen(None, run())):
        plan = decide(repository(), seen, START)
        assert plan.actions == () and plan.wake_after == 5


def test_the_network_has_a_limit() -> None:
    """5.1: it counts clones and fetches, not the verification."""
    waits = decide(repository(), Seen(Mirror(False), run(), slot_free=False), START)
    assert started(waits) == "" and waits.wake_after == 1 and not network(waits.status)
    busy = decide(repository(), Seen(Mirror(False), run()), START).status
    assert network(busy) and active(busy) is not None
    verify = decide(repository(fresh()), Seen(Mirror(True, False), run(), slot_free=False), at(9))
    assert started(verify) == "Verify" and not network(verify.status)


def test_one_that_is_blocked_says_why_and_starts_nothing() -> None:
    """1.3, 5.1"""
    plan = decide(repository(), Seen(Mirror(False), run(), blocked=("SecretNotFound", "make it")), START)
    assert started(plan) == "" and plan.wake_after is None
    assert {c.type: (c.status, c.reason) for c in plan.status.conditions} == {
        "Ready": ("False", "SecretNotFound"),
        "Failing": ("True", "SecretNotFound"),
    }


def follow_end(newest: Operation, found: Any, mirror: Mirror, now: float = 30, **more: Any) -> RepositoryPlan:
    running = status(CLONED, **({"operation": newest, "refreshed_at": at(-1000)} | more.pop("recorded", {})))
    return decide(repository(running), Seen(mirror, run(found, **more)), at(now))


def test_a_success_is_recorded() -> None:
    """5.1: what was at the remote when the fetch began is there."""
    plan = follow_end(
        operation(2, "Fetch", "Starting", start=15),
        ended(finish=25),
        HERE,
        result=Result(size_bytes=77, diverged=("main",)),
        recorded={"failures": 3, "retry_at": at(99)},
    )
    new = plan.status
    assert new.refreshed_at == at(15) and (new.failures, new.retry_at, new.size_bytes) == (0, None, 77)
    assert new.operation is not None and new.operation.state is OperationState.SUCCEEDED
    assert new.activities[-1] == new.operation and new.operation.finished_at == at(25)
    assert (new.statistics.operations, new.statistics.failed, new.success_percent) == (1, 0, 100)
    assert new.phase == "Ready" and new.commit == COMMIT and plan.wake_after == 0 and plan.notes == ()
    diverged = next(c for c in new.conditions if c.type == "Diverged")
    assert diverged.status == "True" and "main" in diverged.message


def test_a_failure_backs_off_and_a_mirror_stays_ready() -> None:
    """5.1: 5 s after the first one, doubling."""
    fetch = operation(2, "Fetch", "Starting", start=15)
    plan = follow_end(fetch, ended(1), HERE, result=Result("RemoteUnreachable", "gone"), recorded={"failures": 1})
    new = plan.status
    assert new.failures == 2 and new.retry_at == at(40) and new.refreshed_at == at(-1000)
    assert (new.statistics.failed, new.success_percent) == (1, 0) and plan.notes[0].warning
    assert [c.status for c in new.conditions if c.type == "Ready"] == ["True"]
    later = repository(new)
    assert decide(later, Seen(HERE, run()), at(39)).wake_after == pytest.approx(1)
    assert started(decide(later, Seen(HERE, run()), at(40))) == "Fetch"
    assert started(decide(later, Seen(HERE, run()), at(-700))) == "Fetch", "a clock that was set back"
    edited = repository(new, generation=2)
    assert started(decide(edited, Seen(HERE, run()), at(31))) == "Fetch", "another spec may do better"
    asked = repository(new, refreshRequestedAt=at(31))
    assert started(decide(asked, Seen(HERE, run()), at(31))) == "Fetch", "a person does not wait"


def test_one_that_was_cut_off_is_repeated_clean() -> None:
    """5.2: a fetch leaves the mirror to be verified before it is used; a clone left nothing in place."""
    fetch = follow_end(operation(2, "Fetch", "Starting"), Evidence.GONE, HERE)
    assert fetch.status.retry_at is None and [c.status for c in fetch.status.conditions if c.type == "Ready"] == [
        "False"
    ]
    again = decide(repository(fetch.status), Seen(HERE, run()), at(31))
    assert started(again) == "Verify"
    assert [c.reason for c in again.status.conditions if c.type == "Ready"] == ["Lost"]
    clone = decide(
        repository(status(operation=operation(1, "Clone", "Starting"))), Seen(Mirror(False), run(Evidence.GONE)), at(3)
    )
    assert started(decide(repository(clone.status), Seen(Mirror(False), run()), at(4))) == "Clone"
    in_place = decide(
        repository(status(operation=operation(1, "Clone", "Starting"))), Seen(HERE, run(Evidence.GONE)), at(3)
    )
    assert started(decide(repository(in_place.status), Seen(HERE, run()), at(4))) == "Fetch"


def test_losses_in_a_row_back_off() -> None:
    """5.2: what kills the host each time is not repeated without a pause."""
    plan = follow_end(operation(2, "Fetch", "Starting"), Evidence.GONE, HERE, recorded={"failures": 1})
    assert plan.status.retry_at == at(40)


def test_a_corrupt_mirror_is_cloned_anew_at_once() -> None:
    """5.2: the Verify has set it aside."""
    plan = follow_end(
        operation(2, "Verify", "Starting"), ended(1), Mirror(False), result=Result("Corrupt", "set aside as .corrupt.1")
    )
    assert plan.status.retry_at is None
    assert started(decide(repository(plan.status), Seen(Mirror(False), run()), at(31))) == "Clone"


def test_a_verification_that_failed_is_repeated() -> None:
    """5.2: the mirror is not used until one succeeds."""
    plan = follow_end(operation(2, "Verify", "Starting"), ended(1), HERE, result=Result("StateDirectoryFailed", "EIO"))
    assert started(decide(repository(plan.status), Seen(HERE, run()), at(60))) == "Verify"
    assert [c.status for c in plan.status.conditions if c.type == "Ready"] == ["False"]


def test_no_hot_loop_against_a_contradiction() -> None:
    """5.2: a clone that succeeded and is not there; a verification that does not help."""
    for kind, mirror in (("Clone", Mirror(False)), ("Verify", Mirror(True, clean=False))):
        done = repository(status(operation(1, kind, end=10), refreshed_at=START))
        plan = decide(done, Seen(mirror, run()), at(11))
        assert started(plan) == "" and plan.wake_after == 4
        assert started(decide(done, Seen(mirror, run()), at(15))) == kind


def test_a_wiped_status_goes_on_with_what_runs() -> None:
    """1.3: reattached by its run directory; nothing is started beside it."""
    seen = Seen(Mirror(False), run(Evidence.ALIVE, known=(3, 7), annotations={"type": "Clone"}))
    plan = decide(repository(), seen, at(9))
    assert plan.status.operation is not None and not started(plan)
    assert (plan.status.operation.number, plan.status.operation.type) == (7, OperationType.CLONE)
    guessed = decide(repository(), Seen(HERE, run(Evidence.ALIVE, annotations={"type": "?"})), at(9))
    assert guessed.status.operation is not None and guessed.status.operation.type is OperationType.FETCH


def test_the_lock_is_never_touched() -> None:
    """5.4: it has a writer of its own."""
    recorded = fresh(lock=Lock(token=7))
    for seen in (Seen(Mirror(False), run()), Seen(HERE, run())):
        assert decide(repository(recorded), seen, at(400)).status.lock is recorded.lock


def test_one_that_is_being_deleted_starts_nothing() -> None:
    """1.1"""
    made = repository()
    gone = made.model_copy(update={"metadata": made.metadata.model_copy(update={"deletion_timestamp": START})})
    assert decide(gone, Seen(Mirror(False), run()), START) == RepositoryPlan(gone.status)


FOUND = st.sampled_from([None, Evidence.ALIVE, Evidence.ABSENT, Evidence.GONE, Evidence.UNKNOWN, "ok", "failed"])
MIRRORS = st.sampled_from([None, Mirror(False), Mirror(True, False), HERE])


@given(st.lists(st.tuples(FOUND, MIRRORS, st.integers(-700, 700), st.booleans(), st.booleans()), max_size=25))
def test_any_course_of_events(course: list[tuple[Any, Mirror | None, int, bool, bool]]) -> None:
    """1.3, 5.2: numbers only grow, one at a time, bounds hold, and nothing is written for nothing."""
    made, now, highest, known = repository(), 0.0, 0, ()
    for found, mirror, seconds, slot, wiped in course:
        now += seconds
        seen_run = {"ok": ended(), "failed": ended(1)}.get(found, found) if isinstance(found, str) else found
        before = made.status if not wiped else RepositoryStatus()
        made = made.model_copy(update={"status": before})
        seen = Seen(mirror, run(seen_run, known=known), slot_free=slot)
        plan = decide(made, seen, at(now))
        launches = [each.number for each in plan.actions if isinstance(each, Launch)]
        assert len(launches) <= 1
        for number in launches:
            was = before.operation
            assert number > highest or (number == highest and (was is None or was.state is OperationState.STARTING))
            highest = max(highest, number)
            known = tuple(range(1, highest + 1))
        made = Repository.model_validate(made.model_copy(update={"status": plan.status}).model_dump(by_alias=True))
        assert len(plan.status.activities) <= 10
        assert plan.wake_after is not None or seen_run is Evidence.ALIVE
        still = decide(made, Seen(mirror, run(seen_run, known=known), slot_free=False), at(now))
        if active(made.status) is not None and seen_run in (Evidence.ALIVE, Evidence.ABSENT):
            assert still.status == made.status
