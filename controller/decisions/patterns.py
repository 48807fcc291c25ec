"""Failure patterns: which ends are the most frequent, and what became of what recovery took up (requirement 7.8).

Promises: derived from recorded statuses alone (the newest attempt, the history of five, the end of the job), so it
survives every restart; what was deleted, or fell out of a history, is not counted any more. Stops that a person asked
for (Canceled, Suspended) are no failures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Attempt, AttemptState, Phase
from controller.api.failures import MOST_REASONS, FailurePattern, RecentFailures

FAILURES = frozenset({AttemptState.FAILED, AttemptState.LOST, AttemptState.NEVER_STARTED})

Way = tuple[str, int | None, int | None]  # reason, exit code, signal


@dataclass(frozen=True, slots=True)
class Failed:
    """One attempt that failed, or a job that failed without one."""

    way: Way
    at: datetime


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A job that recovery took up: an attempt of it was lost, or ran while the controller was started anew.

    Args:
        at: when the newest such attempt ended.
        succeeded: None: the job has not ended, or a person ended it.
        recovery_seconds: from each loss to the start of the next attempt.
    """

    at: datetime
    succeeded: bool | None
    recovery_seconds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class JobFailures:
    """What one job contributes; most contribute nothing."""

    failed: tuple[Failed, ...]
    taken_up: TakenUp | None

    def __bool__(self) -> bool:
        return bool(self.failed) or self.taken_up is not None


def of_job(job: BatchJob) -> JobFailures:
    """What the recorded status of a job says."""
    status = job.status
    attempts = (*status.history, *((status.attempt,) if status.attempt is not None else ()))
    failed = tuple(
        Failed((attempt.reason or attempt.state.value, attempt.exit_code, attempt.signal), attempt.finished_at)
        for attempt in attempts
        if attempt.state in FAILURES and attempt.finished_at is not None
    )
    newest = status.attempt.state if status.attempt is not None else None
    if status.phase is Phase.FAILED and newest not in FAILURES and status.finished_at is not None:
        failed = (*failed, Failed((status.reason or "Failed", None, None), status.finished_at))
    return JobFailures(failed, _taken_up(job, attempts))


def _taken_up(job: BatchJob, attempts: tuple[Attempt, ...]) -> TakenUp | None:
    taken = [each for each in attempts if each.state is AttemptState.LOST or each.recovered]
    ended = [each.finished_at for each in taken if each.finished_at is not None]
    if not ended:
        return None
    succeeded = {Phase.SUCCEEDED: True, Phase.FAILED: False}.get(job.status.phase) if job.status.phase else None
    gaps = tuple(
        max(0.0, (after.started_at - lost.finished_at).total_seconds())
        for lost, after in pairwise(attempts)
        if lost.state is AttemptState.LOST and lost.finished_at is not None and after.started_at is not None
    )
    return TakenUp(max(ended), succeeded, gaps)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of the jobs that recovery took up.

    Args:
        jobs: all of them; `succeeded` and `failed` have ended, the others go on or were ended by a person.
        seconds: median time from a loss to the start of the next attempt; None without any.
    """

    jobs: int = 0
    succeeded: int = 0
    failed: int = 0
    seconds: float | None = None

    @property
    def percent(self) -> int | None:
        """Share that succeeded of those that have ended; None where none has."""
        ended = self.succeeded + self.failed
        return None if ended == 0 else self.succeeded * 100 // ended


def recovery(jobs: Iterable[JobFailures], since: datetime) -> Recovery:
    """Of jobs whose newest attempt that was taken up ended at `since` or later."""
    taken = [job.taken_up for job in jobs if job.taken_up is not None and job.taken_up.at >= since]
    gaps = [seconds for each in taken for seconds in each.recovery_seconds]
    return Recovery(
        len(taken),
        sum(each.succeeded is True for each in taken),
        sum(each.succeeded is False for each in taken),
        median(gaps) if gaps else None,
    )


def patterns(jobs: Iterable[JobFailures], since: datetime) -> tuple[FailurePattern, ...]:
    """All ways of failing since `since`, the most frequent first, of equally frequent ones the newest."""
    counts: Counter[Way] = Counter()
    newest: dict[Way, datetime] = {}
    for job in jobs:
        for failed in job.failed:
            if failed.at >= since:
                counts[failed.way] += 1
                newest[failed.way] = max(failed.at, newest.get(failed.way, failed.at))
    found = [
        FailurePattern(reason=way[0][:128], exit_code=way[1], signal=way[2], count=count, last_time=newest[way])
        for way, count in counts.items()
    ]
    return tuple(sorted(found, key=_rank))


def _rank(pattern: FailurePattern) -> tuple[object, ...]:
    code, signal = pattern.exit_code, pattern.signal
    newest = -pattern.last_time.timestamp()
    return -pattern.count, newest, pattern.reason, -1 if code is None else code, -1 if signal is None else signal


def recent(jobs: Iterable[JobFailures], since: datetime) -> RecentFailures:
    """What a status says of them."""
    known = list(jobs)
    found = patterns(known, since)
    return RecentFailures(
        total=sum(pattern.count for pattern in found),
        most=found[:MOST_REASONS],
        recovery_percent=recovery(known, since).percent,
    )
