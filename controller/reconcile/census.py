"""What is counted of jobs (requirement 9.1): gauges follow the store, counters follow what was recorded."""

from __future__ import annotations

from datetime import datetime

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Attempt, AttemptState, BatchJobStatus
from controller.api.conditions import is_true
from controller.api.kind import Kind
from controller.kube.store import Change, ChangeType
from controller.telemetry.metrics import Metrics


class Census:
    """Losing it with the process loses nothing: gauges begin with the first LIST, counters are rates."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def observe(self, change: Change) -> None:
        """Listener of the store: jobs by phase, and those that wait for a person."""
        if change.type is ChangeType.CORRUPT:
            return  # the last good version stays in the store
        for job, step in ((change.old, -1), (change.new, +1)):
            if not isinstance(job, BatchJob):
                continue
            if job.status.phase is not None:
                self._metrics.jobs.labels(job.status.phase.value).inc(step)
        self._ask(change.old, change.new)

    def _ask(self, old: Kind | None, new: Kind | None) -> None:
        decisions = self._metrics.decisions
        if isinstance(new, BatchJob) and (asked := _asked(new)) is not None:
            decisions.asks(new.metadata.uid, asked)
        elif isinstance(old, BatchJob):
            decisions.asks_no_more(old.metadata.uid)

    def recorded(self, old: BatchJob, status: BatchJobStatus) -> None:
        """A status was written in the place of that of `old`: count the attempt's start and end."""
        before, after = old.status.attempt, status.attempt
        if after is None or (before is not None and before.number == after.number and before.state is after.state):
            return
        if after.state is AttemptState.RUNNING:
            self._started(old, after)
        elif after.state.over:
            self._ended(old, before, after)

    def _ended(self, job: BatchJob, before: Attempt | None, after: Attempt) -> None:
        self._metrics.attempts_ended.labels(after.state.value).inc()
        if after.state is AttemptState.LOST:
            self._metrics.losses.labels(job.spec.on_lost.value).inc()
        if after.started_at and after.finished_at:
            self._metrics.run_seconds.observe(max(0.0, (after.finished_at - after.started_at).total_seconds()))
            if before is None or before.started_at is None:
                self._started(job, after)

    def _started(self, job: BatchJob, attempt: Attempt) -> None:
        self._metrics.attempts_started.inc()
        created = job.metadata.creation_timestamp
        if attempt.number == 1 and created and attempt.started_at:
            waited = (attempt.started_at - created).total_seconds()
            self._metrics.enqueue_to_start_seconds.observe(max(0.0, waited))


def _asked(job: BatchJob) -> datetime | None:
    """Since when it waits for a person, None where it does not."""
    if not is_true(job.status.conditions, "NeedsDecision"):
        return None
    return next(each.last_transition_time for each in job.status.conditions if each.type == "NeedsDecision")
