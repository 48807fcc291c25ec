"""The book of failures: what recorded statuses say of the failures of each queue and repository (requirement 7.8).

Derived from the store's changes, from the first LIST on, so losing it with the process loses nothing. Jobs that ended
well and were never taken up by recovery are not kept. Statuses and metrics follow it some seconds after a job's record
changed; what grows too old to count is noticed once a minute.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

from controller.api.batchjob import BatchJob
from controller.api.failures import RecentFailures
from controller.api.keys import Key
from controller.decisions.patterns import JobFailures, of_job, recent, recovery
from controller.kube.store import Change, ChangeType
from controller.telemetry.failure_metrics import QUEUE, REPOSITORY, FailureMetrics, Scope

TOO_OLD_SECONDS = 60.0

KINDS = {QUEUE: "JobQueue", REPOSITORY: "Repository"}


class FailureBook:
    """See the module.

    Args:
        window_seconds: how long a failure counts.
    """

    def __init__(self, metrics: FailureMetrics, window_seconds: float) -> None:
        self._metrics = metrics
        self._window = timedelta(seconds=window_seconds)
        self._jobs: dict[str, tuple[tuple[Key, ...], JobFailures]] = {}  # by uid; with the objects it is told at
        self._told: dict[Key, RecentFailures] | None = None
        self._news = True
        self._counted_at: datetime | None = None

    @property
    def counted(self) -> bool:
        """Whether `look` was called."""
        return self._told is not None

    def observe(self, change: Change) -> None:
        """Listener of the store for BatchJobs."""
        if change.type is ChangeType.CORRUPT:
            return  # the last good version stays in the store
        job, old = change.new, change.old
        before = self._jobs.pop(old.metadata.uid, None) if isinstance(old, BatchJob) else None
        found = of_job(job) if isinstance(job, BatchJob) else None
        after = (_told_at(job), found) if isinstance(job, BatchJob) and found else None
        if isinstance(job, BatchJob) and after is not None:
            self._jobs[job.metadata.uid] = after
        self._news = self._news or before != after

    def is_due(self, now: datetime) -> bool:
        """Whether `look` may find anything else than at the last time; `now` as there."""
        at = self._counted_at
        return self._news or at is None or abs((now - at).total_seconds()) >= TOO_OLD_SECONDS

    def look(self, now: datetime) -> list[Key]:
        """Count anew; returns the objects whose status may have to say something else.

        Args:
            now: wall clock, timezone-aware UTC.
        """
        since = now - self._window
        self._news, self._counted_at = False, now
        by_key: dict[Key, list[JobFailures]] = defaultdict(list)
        for keys, found in self._jobs.values():
            for key in keys:
                by_key[key].append(found)
        told = {key: recent(found, since) for key, found in by_key.items()}
        before, self._told = self._told, told
        scopes = {kind: scope for scope, kind in KINDS.items()}
        shown: dict[Scope, RecentFailures] = {
            (scopes[key.kind], f"{key.namespace}/{key.name}"): found for key, found in told.items()
        }
        self._metrics.show(shown, recovery((found for _, found in self._jobs.values()), since).percent)
        empty = RecentFailures()
        known = before or {}
        return [key for key in {**known, **told} if told.get(key, empty) != known.get(key, empty)]

    def of(self, key: Key, recorded: RecentFailures) -> RecentFailures:
        """What the status of a JobQueue or Repository says; what is recorded, before the first count."""
        return recorded if self._told is None else self._told.get(key, RecentFailures())


def _told_at(job: BatchJob) -> tuple[Key, ...]:
    namespace, use = job.metadata.namespace, job.spec.repository
    queue = Key(KINDS[QUEUE], namespace, job.spec.queue)
    return (queue,) if use is None else (queue, Key(KINDS[REPOSITORY], namespace, use.name))
