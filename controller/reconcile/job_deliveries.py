"""What the reconciler of jobs does about callbacks: Callback objects follow from the recorded deliveries (6.1).

Their names follow from the delivery's id, so making one twice makes it once. How a delivery ended is read from its
Callback and recorded in the job; the time to live waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from controller.api.batchjob import BatchJob
from controller.api.callback import Callback
from controller.api.callback_use import DeliveryRecord, DeliveryState
from controller.api.keys import Key
from controller.decisions.answer import over
from controller.decisions.delivery import end_of
from controller.decisions.outbox import callback_name, callback_spec, pending, previous_of
from controller.delivery.payload import payload_of
from controller.kube.store import Change, Store
from controller.reconcile.children import NameTaken, Object, make_child
from controller.reconcile.parts import Parts


class DroppedCallbacks:
    """Deliveries of jobs that are there, whose Callback a person deleted before it had arrived; listens to the store.

    Losing it costs a Callback that is made again: at least once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids: dict[str, set[str]] = {}  # by uid of the job

    def has(self, job: BatchJob, id_: str) -> bool:
        """Whether this delivery of the job was dropped."""
        return id_ in self._ids.get(job.metadata.uid, ())

    def observe(self, change: Change) -> None:
        """Take one change of a Callback or of a job."""
        old = change.old
        if change.new is not None or old is None:
            return
        if isinstance(old, BatchJob):
            self._ids.pop(old.metadata.uid, None)
        elif isinstance(old, Callback) and not over(old.status):
            job = self._store.job(Key(BatchJob.names.kind, change.key.namespace, old.spec.job.name))
            if job is not None and job.metadata.uid == old.spec.job.uid:
                self._ids.setdefault(old.spec.job.uid, set()).add(old.spec.id)


class JobDeliveries:
    """Called by the reconciler of jobs, with the job's key held."""

    def __init__(self, parts: Parts, dropped: DroppedCallbacks) -> None:
        self._parts = parts
        self._dropped = dropped

    def seen(self, job: BatchJob) -> tuple[Mapping[str, DeliveryState], datetime | None]:
        """How deliveries ended that are not recorded so yet, and when the last of all that are known did."""
        ended: dict[str, DeliveryState] = {}
        moments = []
        for record in job.status.deliveries:
            callback = self._callback(job, record)
            if callback is not None and callback.status.finished_at is not None:
                moments.append(callback.status.finished_at)
            state = self._state(job, record, callback)
            if state not in (None, record.state) and record.state is not DeliveryState.DELIVERED:
                ended[record.id] = state  # what had failed may have been sent again by a person
        return ended, max(moments, default=None)

    def _state(self, job: BatchJob, record: DeliveryRecord, callback: Callback | None) -> DeliveryState | None:
        if callback is not None:
            return end_of(callback)
        undeclared = all(use.name != record.name for use in job.spec.callbacks)
        return DeliveryState.FAILED if undeclared or self._dropped.has(job, record.id) else None

    def _callback(self, job: BatchJob, record: DeliveryRecord) -> Callback | None:
        found = self._parts.store.find(Callback, self._key(job, record))
        return found if found is not None and found.spec.id == record.id else None

    def _key(self, job: BatchJob, record: DeliveryRecord) -> Key:
        return Key("Callback", job.metadata.namespace, callback_name(job.metadata.name, record.id))

    async def make(self, job: BatchJob) -> None:
        """Make the Callback objects of pending deliveries that have none.

        Raises:
            NameTaken: of one that could not be made; the others were.
            HoldfastError: the API server could not take one; the next pass makes it.
        """
        taken: NameTaken | None = None
        for record in pending(job.status.deliveries):
            use = next((use for use in job.spec.callbacks if use.name == record.name), None)
            known = self._callback(job, record)
            if self._state(job, record, known) is not None:
                self._parts.queue.add(job.key)  # of a status that was wiped: nobody will tell its end again
            if known is not None or use is None or self._dropped.has(job, record.id):
                continue
            previous = previous_of(job.status.deliveries, record.id, job.metadata.name)
            payload = payload_of(job, record, self._parts.now())
            spec = callback_spec(job, use, record, payload, previous)
            try:
                await make_child(self._parts, job, self._key(job, record), spec.to_json(), partial(_is, record))
            except NameTaken as error:
                taken = error
        if taken is not None:
            raise taken


def _is(record: DeliveryRecord, spec: Object) -> bool:
    """Whether it is the Callback of this delivery: a dead letter has no owner, but its id."""
    return bool(spec["id"] == record.id)
