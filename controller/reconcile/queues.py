"""The reconciler of JobQueue: its status is a projection of the books, written at most once a second (design 4)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from controller.api.conditions import with_condition
from controller.api.jobqueue import HEAD_LENGTH, JobQueue, JobQueueStatus, QueuedJob
from controller.api.keys import Key
from controller.kube.client import Api
from controller.kube.store import Store
from controller.reconcile.books import Account
from controller.reconcile.merge import difference
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workers import Result


class QueueReconciler:
    """Called by the workers with a key; the scheduler delays the key so that a second passes between two writes."""

    def __init__(self, api: Api, store: Store, scheduler: Scheduler, now: Callable[[], datetime]) -> None:
        self._api = api
        self._store = store
        self._scheduler = scheduler
        self._now = now

    async def reconcile(self, key: Key) -> Result:
        """Write the queue's status where it changed.

        Raises:
            Transient: the API server could not take it, or somebody else wrote first.
        """
        queue = self._store.find(JobQueue, key)
        if queue is None:
            return Result()
        account = self._scheduler.books.account((key.namespace, key.name))
        status = self._status(queue, account)
        patch = difference(queue.status.to_json(), status.to_json())
        if patch:
            meta = queue.metadata
            raw = await self._api.patch_status(
                "JobQueue", key.namespace, key.name, meta.uid, meta.resource_version, patch
            )
            self._store.update("JobQueue", raw)
        return Result()

    def _status(self, queue: JobQueue, account: Account) -> JobQueueStatus:
        generation, now = queue.metadata.generation, self._now()
        paused = queue.spec.paused
        reason, message = ("Paused", "spec.paused is true: nothing starts") if paused else ("Active", "jobs start")
        conditions = with_condition(
            queue.status.conditions, "Paused", "True" if paused else "False", reason, message, generation, now
        )
        head = tuple(
            QueuedJob(name=waiting.name, priority=-waiting.order[0], sequence=waiting.order[1])
            for waiting in account.waiting[:HEAD_LENGTH]
        )
        return JobQueueStatus(
            observed_generation=generation,
            pending=len(account.waiting),
            running=len(account.held),
            head=head,
            conditions=conditions,
        )
