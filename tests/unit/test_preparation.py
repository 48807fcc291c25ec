"""One shared preparation: made once, reattached, repeated once for free, its failure told in one place (5.7)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.conditions import find
from controller.api.jobbatch import BatchPhase, JobBatch, JobBatchStatus
from controller.decisions.observed import Evidence, Observation
from controller.decisions.operation import Result, Run
from controller.decisions.plan import Delete, Launch, Release
from controller.decisions.preparation import PreparationPlan, Seen, batch_name, decide
from tests.unit.builders import START, at
from tests.unit.repository_builders import COMMIT, batch, ended, run

DAY = 24 * 3600
JOBS = ("a", "b")


def see(batch_: JobBatch, found: Any = None, now: float = 0, base: bool | None = False, **more: Any) -> PreparationPlan:
    """One decision with two members."""
    known = more.pop("known", tuple(range(1, batch_.status.number + 1)))
    result = more.pop("result", None)
    return decide(batch_, Seen(base, run(found, known=known, result=result), **({"members": JOBS} | more)), at(now))


def after(plan: PreparationPlan, **prepare: Any) -> JobBatch:
    return batch(plan.status, **prepare)


def launched(plan: PreparationPlan) -> list[int]:
    return [each.number for each in plan.actions if isinstance(each, Launch)]


def condition(plan: PreparationPlan, kind: str) -> str:
    found = find(plan.status.conditions, kind)
    return f"{found.status} {found.reason}" if found is not None else ""


PREPARING = see(batch())


@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True), st.lists(st.text(), max_size=3))
def test_the_name_is_a_label_that_follows_from_what_is_prepared(repository: str, command: list[str]) -> None:
    """5.7: the same for all jobs, at any time; another one for anything else."""
    command = [word.encode("utf-8", "replace").decode() for word in command]
    name = batch_name(repository, COMMIT, command)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) and len(name) <= 63
    assert name == batch_name(repository, COMMIT, tuple(command))
    others = {batch_name(repository, "b" * 40, command), batch_name(f"{repository}x", COMMIT, command)}
    others |= {batch_name(repository, COMMIT, [*command, ""]), batch_name(repository, f"{COMMIT[:-1]}b", command)}
    assert name not in others and len(others) == 4


def test_it_starts_when_jobs_wait_for_it() -> None:
    """5.7"""
    assert launched(PREPARING) == [1] and PREPARING.status.phase is BatchPhase.PREPARING
    assert (PREPARING.status.members, PREPARING.status.member_count) == (JOBS, 2)
    idle = see(batch(), members=())
    assert idle.actions == () and idle.status.phase is BatchPhase.PENDING
    blocked = see(batch(), blocked=("RepositoryNotReady", "cloning"))
    assert blocked.actions == () and condition(blocked, "Ready") == "False RepositoryNotReady"


def test_a_base_that_is_there_is_used() -> None:
    """5.7, 1.3: also with a wiped status."""
    plan = see(batch(), base=True, known=())
    assert plan.status.phase is BatchPhase.READY and plan.actions == () and condition(plan, "Ready") == "True Prepared"
    assert see(after(plan), base=True).status == plan.status


@pytest.mark.parametrize("seen", [{"base": None}, {"known": None}])
def test_while_something_cannot_be_read_nothing_starts(seen: dict[str, Any]) -> None:
    """5.7: missing is not proof."""
    plan = see(batch(), **seen)
    assert plan.actions == () and plan.wake_after == 5


def test_success_and_failure() -> None:
    """5.7: repeated within prepare.retryLimit, then failed for all, with the reason here."""
    done = see(after(PREPARING), ended(), 30, base=True)
    assert done.status.phase is BatchPhase.READY and done.actions == (Release(1, True),)
    assert done.status.finished_at == at(20)
    plan, now = PREPARING, 30.0
    for number, delay in ((1, 5), (2, 10)):
        plan = see(after(plan), ended(2), now, result=Result("PreparationFailed", "exit code 2"))
        assert (plan.status.phase, plan.status.failures) == (BatchPhase.PENDING, number)
        assert plan.status.retry_at == at(now + delay) and not launched(see(after(plan), now=now + delay - 1))
        now += delay
        plan = see(after(plan), now=now)
        assert launched(plan) == [number + 1]
    failed = see(after(plan), ended(2), now, result=Result("PreparationFailed", "exit code 2"))
    assert failed.status.phase is BatchPhase.FAILED and failed.status.reason == "PreparationFailed"
    assert "exit code 2" in failed.status.message and condition(failed, "Failed") == "True PreparationFailed"
    assert see(after(failed), now=10**6).actions == ()


@pytest.mark.parametrize("reason", ["Busy", "DiskFull", "StateDirectoryFailed"])
def test_what_waiting_can_mend_is_no_failure(reason: str) -> None:
    """5.2, 5.7, 8.3: repeated after a pause as often as it takes; the command's own failures count as before."""
    plan, now = PREPARING, 30.0
    for number in range(2, 6):
        plan = see(after(plan, retryLimit=0), ended(1), now, result=Result(reason, "it waits"))
        assert (plan.status.phase, plan.status.failures, plan.status.reason) == (BatchPhase.PENDING, 0, reason)
        assert condition(plan, "Ready") == f"False {reason}" and plan.status.retry_at == at(now + 60)
        assert not launched(see(after(plan, retryLimit=0), now=now + 59))
        now += 60
        plan = see(after(plan, retryLimit=0), now=now)
        assert launched(plan) == [number]
    failed = see(after(plan, retryLimit=0), ended(2), now, result=Result("PreparationFailed", "exit code 2"))
    assert failed.status.phase is BatchPhase.FAILED


def test_one_that_succeeded_without_a_base_has_failed() -> None:
    """5.7"""
    assert see(after(PREPARING), ended(), 30).status.reason == "BaseMissing"
    unread = see(after(PREPARING), ended(), 30, base=None)
    assert unread.status.phase is BatchPhase.PREPARING and unread.wake_after == 5


def test_a_crash_in_mid_preparation_reattaches_or_repeats_it_once() -> None:
    """5.7: a second loss in a row counts as a failure."""
    assert see(after(PREPARING), Evidence.ALIVE, 30).status == PREPARING.status
    assert launched(see(after(PREPARING), Evidence.ABSENT, 30)) == [1]
    lost = see(after(PREPARING, retryLimit=0), Evidence.GONE, 30)
    assert (lost.status.phase, lost.status.failures, lost.wake_after) == (BatchPhase.PENDING, 0, 0)
    again = see(after(lost, retryLimit=0), now=30)
    assert launched(again) == [2]
    assert see(after(again, retryLimit=0), Evidence.GONE, 60).status.phase is BatchPhase.FAILED
    renamed = see(after(PREPARING), Evidence.GONE, 30, base=True)
    assert renamed.status.phase is BatchPhase.READY


def test_a_wiped_status_goes_on_with_what_runs() -> None:
    """1.3, 5.7: by its run directory; never a second one."""
    plan = see(batch(), Evidence.ALIVE, 30, known=(1, 4))
    assert (plan.status.number, plan.status.phase, launched(plan)) == (4, BatchPhase.PREPARING, [])


def test_numbers_are_never_reused() -> None:
    """1.3: also those that only a run directory knows."""
    assert launched(see(after(failed_batch()), now=40, wanted_at=at(35), known=(1, 6))) == [7]


def failed_batch() -> PreparationPlan:
    return see(after(PREPARING, retryLimit=0), ended(2), 30)


def test_a_job_that_comes_later_starts_a_new_round() -> None:
    """5.7: a failed preparation lasts for the jobs that met it, retried by their own policy."""
    failed = failed_batch()
    assert see(after(failed), now=40, wanted_at=at(10)).actions == ()
    anew = see(after(failed), now=40, wanted_at=at(35))
    assert launched(anew) == [2] and anew.status.failures == 0 and condition(anew, "Failed") == "False WantedAnew"
    assert launched(see(batch(failed.status, generation=2), now=40)) == [2], "another spec.prepare"
    assert see(after(failed), now=40, wanted_at=at(35), members=()).actions == ()


def test_a_base_that_vanished_is_made_again() -> None:
    """5.2, 5.7: where jobs want it."""
    ready = see(after(PREPARING), ended(), 30, base=True)
    gone = see(after(ready), now=40)
    assert launched(gone) == [2]
    assert see(after(ready), now=40, members=()).actions == ()


def test_one_that_nobody_uses_goes_after_a_day() -> None:
    """5.7, 7.6: counted from the last job's end; a clock that was set back costs time, never a base in use."""
    ready = see(after(PREPARING), ended(), 30, base=True)
    unused = see(after(ready), now=100, base=True, members=())
    assert unused.actions == () and unused.wake_after == DAY and condition(unused, "InUse") == "False NoJobUsesIt"
    assert see(after(unused), now=99 + DAY, base=True, members=()).actions == ()
    assert see(after(unused), now=100 + DAY, base=True, members=()).actions == (Delete(),)
    assert see(after(unused), now=-5 * DAY, base=True, members=()).actions == ()
    used = see(after(unused), now=99 + DAY, base=True)
    assert see(after(used), now=100 + DAY, base=True, members=()).actions == ()
    running = see(after(PREPARING), Evidence.ALIVE, 9 * DAY, members=())
    assert Delete() not in see(after(running), Evidence.ALIVE, 99 * DAY, members=()).actions


FOUND = st.sampled_from([None, Evidence.ALIVE, Evidence.ABSENT, Evidence.GONE, Evidence.UNKNOWN, "ok", "failed"])


@given(
    st.lists(st.tuples(FOUND, st.sampled_from([None, True, False]), st.integers(-700, 700), st.booleans()), max_size=25)
)
def test_any_course_of_events(course: list[tuple[Any, bool | None, int, bool]]) -> None:
    """5.7, 1.3: numbers only grow, and while one runs none is started."""
    made, now, highest = batch(), 0.0, 0
    for found, base, seconds, wiped in course:
        now += seconds
        seen_run = {"ok": ended(), "failed": ended(1)}.get(found, found) if isinstance(found, str) else found
        made = batch(JobBatchStatus()) if wiped else made
        before = made.status
        observed = Observation(seen_run) if isinstance(seen_run, Evidence) else seen_run
        seen = Seen(base, Run(found=observed, known=tuple(range(1, highest + 1))), members=JOBS)
        plan = decide(made, seen, at(now))
        for number in launched(plan):
            assert number > highest or (number == highest and before.phase in (BatchPhase.PREPARING, None))
            assert seen_run is not Evidence.ALIVE or number > before.number
            highest = max(highest, number)
        assert base is not True or not launched(plan) or before.phase is BatchPhase.PREPARING or wiped
        made = JobBatch.model_validate(made.model_copy(update={"status": plan.status}).model_dump(by_alias=True))


def test_one_that_is_being_deleted_starts_nothing() -> None:
    """1.1"""
    made = batch()
    gone = made.model_copy(update={"metadata": made.metadata.model_copy(update={"deletion_timestamp": START})})
    assert see(gone) == PreparationPlan(gone.status)
