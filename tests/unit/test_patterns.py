"""Failure patterns, from recorded statuses alone (requirement 7.8)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from controller.api.batchjob import BatchJob
from controller.api.failures import MOST_REASONS, RecentFailures
from controller.api.keys import Key
from controller.decisions.patterns import Failed, JobFailures, of_job, patterns, recent, recovery
from controller.kube.store import Change, ChangeType
from controller.reconcile.failure_book import FailureBook
from controller.telemetry.failure_metrics import MAX_NAMES, FailureMetrics
from tests.unit.builders import START, at, job

QUEUE = Key("JobQueue", "default", "q")


def attempt(number: int, state: str, reason: str = "", **more: Any) -> dict[str, Any]:
    found = {"id": f"u.{number}", "number": number, "state": state, "reason": reason}
    return found | {"startedAt": at(number * 10), "finishedAt": at(number * 10 + 5)} | more


def made(phase: str, *attempts: dict[str, Any], name: str = "a", **status: Any) -> BatchJob:
    """A job with these attempts, the newest last."""
    newest = {"attempt": attempts[-1], "history": list(attempts[:-1])} if attempts else {}
    built = job(name).queue("q").build()
    meta = built.metadata.model_copy(update={"uid": name})
    raw = built.to_json() | {"metadata": meta.to_json(), "status": {"phase": phase, **newest, **status}}
    return BatchJob.model_validate(raw)


FAILED = attempt(1, "Failed", "NonZeroExitCode", exitCode=7)
LOST = attempt(1, "Lost", "Lost")


@pytest.mark.parametrize(
    ("one", "ways"),
    [
        (made("Succeeded", attempt(1, "Succeeded", "Succeeded", exitCode=0)), []),
        (made("Canceled", attempt(1, "Canceled", "Canceled")), []),
        (made("Suspended", attempt(1, "Suspended", "Suspended")), []),
        (made("Running", FAILED, attempt(2, "Running", finishedAt=None)), [("NonZeroExitCode", 7, None)]),
        (made("Succeeded", LOST, attempt(2, "Succeeded", exitCode=0)), [("Lost", None, None)]),
        (
            made("Failed", FAILED, attempt(2, "Failed", "Signaled", exitCode=137, signal=9)),
            [("NonZeroExitCode", 7, None), ("Signaled", 137, 9)],
        ),
        (made("Failed", reason="PreparationFailed", finishedAt=START), [("PreparationFailed", None, None)]),
        (made("Failed", FAILED, reason="NonZeroExitCode", finishedAt=START), [("NonZeroExitCode", 7, None)]),
        (made("Queued"), []),
    ],
)
def test_what_a_job_contributes(one: BatchJob, ways: list[tuple[str, int | None, int | None]]) -> None:
    """7.8: attempts that failed or were lost, and a job that failed without one; no stop that a person asked for."""
    assert [failed.way for failed in of_job(one).failed] == ways


@pytest.mark.parametrize(
    ("one", "succeeded"),
    [
        (made("Succeeded", LOST, attempt(2, "Succeeded")), True),
        (made("Failed", LOST, attempt(2, "Failed", "NonZeroExitCode", exitCode=1)), False),
        (made("Queued", LOST), None),
        (made("Canceled", LOST, attempt(2, "Canceled")), None),
        (made("Succeeded", attempt(1, "Succeeded", recovered=True)), True),
    ],
)
def test_what_recovery_took_up(one: BatchJob, succeeded: bool | None) -> None:
    """7.8: lost and reattached attempts count as taken up; how the job ended says whether it was saved."""
    found = of_job(one).taken_up
    assert found is not None
    assert found.succeeded is succeeded


def test_a_job_that_was_never_taken_up_does_not_count() -> None:
    """7.8"""
    assert of_job(made("Succeeded", FAILED, attempt(2, "Succeeded"))).taken_up is None


def test_success_rate_and_time_to_recover() -> None:
    """7.8: of those that have ended; from the loss to the next start."""
    jobs = [
        of_job(made("Succeeded", LOST, attempt(2, "Succeeded"))),
        of_job(made("Succeeded", attempt(1, "Succeeded", recovered=True))),
        of_job(made("Failed", LOST, attempt(2, "Failed", "X", exitCode=1))),
        of_job(made("Queued", LOST)),
    ]
    found = recovery(jobs, START)
    assert (found.jobs, found.succeeded, found.failed, found.percent, found.seconds) == (4, 2, 1, 66, 5.0)
    assert recovery(jobs, at(1000)).percent is None


WAYS = st.tuples(st.sampled_from("ABCDEFGH"), st.sampled_from([None, 1, 2]), st.sampled_from([None, 9]))
JOBS = st.lists(
    st.lists(st.tuples(WAYS, st.integers(0, 1000)), max_size=6).map(
        lambda found: JobFailures(tuple(Failed(way, at(seconds)) for way, seconds in found), None)
    ),
    max_size=20,
)


@given(jobs=JOBS, since=st.integers(0, 1000))
def test_patterns_count_each_failure_once(jobs: list[JobFailures], since: int) -> None:
    """7.8: nothing is lost or doubled, nothing older counts, the most frequent come first, in any order of jobs."""
    found = patterns(jobs, at(since))
    every = [failed for one in jobs for failed in one.failed if failed.at >= at(since)]
    assert sum(pattern.count for pattern in found) == len(every)
    assert [pattern.count for pattern in found] == sorted((pattern.count for pattern in found), reverse=True)
    for pattern in found:
        same = [each for each in every if each.way == (pattern.reason, pattern.exit_code, pattern.signal)]
        assert (pattern.count, pattern.last_time) == (len(same), max(each.at for each in same))
    assert patterns(list(reversed(jobs)), at(since)) == found
    told = recent(jobs, at(since))
    assert told.most == found[:MOST_REASONS]
    assert told.total == len(every)


def book() -> tuple[FailureBook, FailureMetrics]:
    metrics = FailureMetrics(CollectorRegistry())
    return FailureBook(metrics, 3600), metrics


def change(old: BatchJob | None, new: BatchJob | None) -> Change:
    kind = ChangeType.ADDED if old is None else ChangeType.DELETED if new is None else ChangeType.MODIFIED
    either = new or old
    assert either is not None
    return Change(kind, either.key, old, new)


def test_the_book_follows_the_store() -> None:
    """7.8: derived, so a restart tells the same; a job that is deleted counts no more; old failures grow out."""
    known, metrics = book()
    recorded = RecentFailures(total=3)
    assert known.of(QUEUE, recorded) == recorded
    failed = made("Failed", FAILED, attempt(2, "Failed", "NonZeroExitCode", exitCode=7))
    known.observe(change(None, made("Running")))
    known.observe(change(made("Running"), failed))
    assert known.look(at(100)) == [QUEUE]
    told = known.of(QUEUE, recorded)
    assert (told.total, told.most[0].reason, told.most[0].count) == (2, "NonZeroExitCode", 2)
    assert known.look(at(101)) == []
    again, _ = book()
    again.observe(change(None, failed))
    again.look(at(100))
    assert again.of(QUEUE, recorded) == told
    assert known.look(at(100) + timedelta(hours=2)) == [QUEUE]
    assert known.of(QUEUE, recorded) == RecentFailures()
    known.look(at(100))
    known.observe(change(failed, None))
    assert known.look(at(100)) == [QUEUE]
    text = generate_latest(metrics.registry).decode()
    assert "NonZeroExitCode" not in text


def test_the_book_is_counted_when_that_can_tell_anything_new() -> None:
    """7.8: soon after what counts has changed, and now and then for what grows too old, whatever the clock does."""
    known, _ = book()
    failed = made("Failed", FAILED)
    assert known.is_due(at(100))
    known.look(at(100))
    known.observe(change(None, made("Running")))
    assert not known.is_due(at(101))
    known.observe(change(made("Running"), failed))
    assert known.is_due(at(101))
    known.look(at(100))
    known.observe(change(failed, failed))
    assert not known.is_due(at(101))
    assert known.is_due(at(161)) and known.is_due(at(39))
    known.observe(change(failed, None))
    assert known.is_due(at(101))


def test_a_repository_is_told_too() -> None:
    """7.8: per repository and per queue."""
    known, metrics = book()
    one = made("Failed", FAILED)
    use = one.model_copy(update={"spec": one.spec.model_validate({"command": ["x"], "repository": {"name": "shop"}})})
    known.observe(change(None, use))
    assert set(known.look(at(100))) == {Key("Repository", "default", "shop"), Key("JobQueue", "default", "default")}
    labels = 'name="default/shop",reason="NonZeroExitCode",scope="repository"'
    assert f"holdfast_recent_failures{{{labels}}} 1.0" in generate_latest(metrics.registry).decode()


def test_labels_are_bounded() -> None:
    """9.1: names come from users; past a number of them they are counted together."""
    metrics = FailureMetrics(CollectorRegistry())
    (pattern,) = patterns([JobFailures((Failed(("X", 1, None), START),), None)], START)
    found = {("queue", f"ns/{n}"): RecentFailures(total=3, most=(pattern,)) for n in range(MAX_NAMES + 5)}
    metrics.show(found, 50)
    lines = [line for line in generate_latest(metrics.registry).decode().splitlines() if line.startswith("holdfast")]
    assert len([line for line in lines if 'reason="X"' in line]) == MAX_NAMES + 1
    assert 'holdfast_recent_failures{name="other",reason="X",scope="queue"} 5.0' in lines
    assert "holdfast_recovery_success_ratio 0.5" in lines
    metrics.show({}, None)
    assert 'holdfast_recent_failures{name="other",reason="other",scope="queue"} 0.0' in [
        line for line in generate_latest(metrics.registry).decode().splitlines() if line.startswith("holdfast")
    ]
