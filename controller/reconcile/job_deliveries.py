"""What the reconciler of jobs does about callbacks: Callback objects follow from the recorded deliveries (6.1).

Their names follow from the delivery's id, so making one twice makes it once. How a delivery ended is read from its
Callback and recorded in the job; the time to live waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from controller.api.batchjob import BatchJob
from controller.api.callback import Callback, CallbackPhase
from controller.api.callback_use import DeliveryRecord, DeliveryState
from controller.api.keys import Key
from controller.decisions.answer import over
from controller.decisions.outbox import callback_name, callback_spec, pending, previous_of
from controller.delivery.payload import payload_of
from controller.kube.store import Change
from controller.reconcile.children import make_child
from controller.reconcile.parts import Parts

STATES = {CallbackPhase.DELIVERED: DeliveryState.DELIVERED, CallbackPhase.FAILED: DeliveryState.FAILED}


class DroppedCallbacks:
    """Ids of deliveries whose Callback a person deleted before it had arrived; listens to the store.

    Losing it costs a Callback that is made again: at least once.
    """

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def observe(self, change: Change) -> None:
        """Take one change of a Callback."""
        if isinstance(change.old, Callback) and change.new is None and not over(change.old.status):
            self.ids.add(change.old.spec.id)


class JobDeliveries:
    """Called by the reconciler of jobs, with the job's key held."""

    def __init__(self, parts: Parts, dropped: DroppedCallbacks) -> None:
        self._parts = parts
        self._dropped = dropped

    def seen(self, job: BatchJob) -> tuple[Mapping[str, DeliveryState], datetime | None]:
        """How pending deliveries ended, and when the last of all that are known did."""
        ended: dict[str, DeliveryState] = {}
        moments = []
        for record in job.status.deliveries:
            callback = self._callback(job, record)
            if callback is not None and callback.status.finished_at is not None:
                moments.append(callback.status.finished_at)
            if record.state is DeliveryState.PENDING and (state := self._state(job, record, callback)) is not None:
                ended[record.id] = state
        return ended, max(moments, default=None)

    def _state(self, job: BatchJob, record: DeliveryRecord, callback: Callback | None) -> DeliveryState | None:
        if callback is not None:
            return STATES.get(callback.status.phase) if callback.status.phase is not None else None
        undeclared = all(use.name != record.name for use in job.spec.callbacks)
        return DeliveryState.FAILED if undeclared or record.id in self._dropped.ids else None

    def _callback(self, job: BatchJob, record: DeliveryRecord) -> Callback | None:
        found = self._parts.store.find(Callback, self._key(job, record))
        return found if found is not None and found.spec.id == record.id else None

    def _key(self, job: BatchJob, record: DeliveryRecord) -> Key:
        return Key("Callback", job.metadata.namespace, callback_name(job.metadata.name, record.id))

    async def make(self, job: BatchJob) -> None:
        """Make the Callback objects of pending deliveries that have none.

        Raises:
            HoldfastError: the API server could not take one; the next pass makes it.
        """
        for record in pending(job.status.deliveries):
            use = next((use for use in job.spec.callbacks if use.name == record.name), None)
            if use is None or record.id in self._dropped.ids or self._callback(job, record) is not None:
                continue
            previous = previous_of(job.status.deliveries, record.id, job.metadata.name)
            payload = payload_of(job, record, self._parts.now())
            spec = callback_spec(job, use, record, payload, previous)
            await make_child(self._parts, job, self._key(job, record), spec.to_json())
