"""The reconciler of JobQueue: its status is a projection of the books, written at most once a second (design 4)."""

from __future__ import annotations

from controller.api.conditions import ConditionStatus, find, with_condition
from controller.api.jobqueue import HEAD_LENGTH, JobQueue, JobQueueStatus, QueuedJob
from controller.api.keys import Key
from controller.reconcile.books import Account
from controller.reconcile.parts import Parts
from controller.reconcile.workers import Result


class QueueReconciler:
    """Called by the workers with a key; the scheduler delays the key so that a second passes between two writes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def reconcile(self, key: Key) -> Result:
        """Write the queue's status where it changed.

        Raises:
            Transient: the API server could not take it, or somebody else wrote first.
            Waiting: the queue was deleted.
        """
        queue = self._parts.store.find(JobQueue, key)
        if queue is not None:
            account = self._parts.scheduler.books.account((key.namespace, key.name))
            await self._parts.writer.write(queue, self._status(queue, account))
        return Result()

    def _status(self, queue: JobQueue, account: Account) -> JobQueueStatus:
        generation, now = queue.metadata.generation, self._parts.now()
        paused = queue.spec.paused
        reason, message = ("Paused", "spec.paused is true: nothing starts") if paused else ("Active", "jobs start")
        conditions = with_condition(
            queue.status.conditions, "Paused", "True" if paused else "False", reason, message, generation, now
        )
        ramping = self._ramping(queue, account)
        if ramping is not None:
            conditions = with_condition(conditions, "Ramping", *ramping, generation, now)
        head = tuple(
            QueuedJob(name=waiting.name, priority=-waiting.order[0], sequence=waiting.order[1])
            for waiting in account.waiting[:HEAD_LENGTH]
        )
        return JobQueueStatus(
            observed_generation=generation,
            pending=len(account.waiting),
            running=len(account.held),
            outside=len(account.outside) if account.outside or queue.status.outside is not None else None,
            head=head,
            recent_failures=self._parts.failures.of(queue.key, queue.status.recent_failures),
            conditions=conditions,
        )

    def _ramping(self, queue: JobQueue, account: Account) -> tuple[ConditionStatus, str, str] | None:
        """Why jobs of it wait after a start of the controller (7.4); None for a queue whose jobs never had to."""
        ramp = self._parts.scheduler.ramp
        if account.waiting and ramp.holds((queue.metadata.namespace, queue.metadata.name)):
            own = " and spec.admission.ramp" if queue.spec.admission and queue.spec.admission.ramp else ""
            text = f"the controller has started: jobs start at the rates of its settings{own}, ever faster for 20 s"
            return "True", "ControllerStarted", text
        if find(queue.status.conditions, "Ramping") is None:
            return None
        return "False", "Over", "jobs start as fast as they can"
