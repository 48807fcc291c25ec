"""What wakes the reconcilers from outside: what the watch tells, attempts that ended, the look at all that runs."""

from __future__ import annotations

from typing import Any

from controller.api.batchjob import BatchJob
from controller.api.kind import Kind
from controller.executors.base import AttemptId
from controller.kube.store import Store
from controller.reconcile.index import attempt_key
from controller.reconcile.record import StatusWriter
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import HIGH, LOW, NORMAL, WorkQueue


class Intake:
    """Keys go into the work queue, never events."""

    def __init__(self, store: Store, queue: WorkQueue, scheduler: Scheduler, writer: StatusWriter) -> None:
        self._store = store
        self._queue = queue
        self._scheduler = scheduler
        self._writer = writer

    def told(self, kind: str, type_: str, raw: dict[str, Any]) -> None:
        """An event of the watch; `type_` as `run_watch` gives it."""
        change = self._store.delete(kind, raw) if type_ == "DELETED" else self._store.update(kind, raw)
        if change is not None and not self._writer.is_echo(change):
            self._queue.add(change.key, NORMAL)  # the pass over what is gone ends what earlier ones wished for later

    def ended(self, attempt: AttemptId) -> None:
        """Something about an attempt may have changed, as its executor says."""
        key = self._scheduler.owner(attempt.job_uid)
        self._queue.add(key if key is not None else attempt_key(attempt), HIGH)

    def recorded_late(self, read: Kind) -> None:
        """An attempt whose end was recorded by a write without an answer is let go of now, not by the next sweep."""
        newest = read.status.attempt if isinstance(read, BatchJob) else None
        if newest is not None and newest.state.over:
            self._queue.add(attempt_key(AttemptId(read.metadata.uid, newest.number)), NORMAL)

    def look_at_attempts(self) -> None:
        """Without a wake-up: also at jobs with a slot that is not recorded yet, whose backoff may outgrow an outage."""
        for key in (*(key for _, key in self._scheduler.held_keys()), *self._scheduler.granted_keys()):
            self._queue.add(key, LOW)
