"""What a job's callbacks have to be told: derived from two recorded statuses, and recorded with the second (6.1).

So the end of a job and its pending deliveries are one write, and no place in the decision has to remember them.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import BatchJobStatus, Phase
from controller.api.callback_use import CallbackEvent, DeliveryRecord, DeliveryState
from controller.api.conditions import is_true
from controller.decisions import status as step
from controller.decisions.inputs import Observed
from controller.decisions.outbox import deliveries_of, pending, settled, with_deliveries

ENDS = {
    Phase.SUCCEEDED: CallbackEvent.SUCCEEDED,
    Phase.FAILED: CallbackEvent.FAILED,
    Phase.CANCELED: CallbackEvent.CANCELED,
}


def told(job: BatchJob, status: BatchJobStatus, seen: Observed) -> BatchJobStatus:
    """`status`, which is about to be recorded for `job`, with its deliveries: new ones, and those that are over."""
    deliveries = status.deliveries
    for id_, state in seen.deliveries.items():
        deliveries = settled(deliveries, id_, state)
    if job.spec.callbacks:
        new = [record for event, number in _happened(job.status, status) for record in _records(job, number, event)]
        deliveries = with_deliveries(deliveries, new)
    return status if deliveries == status.deliveries else status.model_copy(update={"deliveries": deliveries})


def undelivered(status: BatchJobStatus) -> bool:
    """Whether the job's time to live waits for a delivery."""
    return bool(pending(status.deliveries))


def all_delivered(status: BatchJobStatus) -> bool:
    """Whether nothing can follow any more: a dead letter may have been sent again."""
    return all(record.state is DeliveryState.DELIVERED for record in status.deliveries)


def _records(job: BatchJob, number: int, event: CallbackEvent) -> list[DeliveryRecord]:
    return deliveries_of(job.spec.callbacks, job.metadata.uid, number, event)


def _happened(old: BatchJobStatus, new: BatchJobStatus) -> Iterator[tuple[CallbackEvent, int]]:
    """Events between two statuses in their order, each with the number of the attempt that it is about."""
    number = new.attempt.number if new.attempt is not None else 0
    same = old.attempt is not None and old.attempt.number == number
    if new.attempt is not None and new.attempt.started_at and not (same and old.attempt and old.attempt.started_at):
        yield CallbackEvent.STARTED, number
    if step.finished(new):
        if not step.finished(old) and new.phase in ENDS:
            yield ENDS[new.phase], number
        return
    over = new.attempt is not None and new.attempt.state.over and not (same and old.attempt and old.attempt.state.over)
    if is_true(new.conditions, "NeedsDecision") and not is_true(old.conditions, "NeedsDecision"):
        yield CallbackEvent.WAITING, number
    elif over and new.phase is Phase.QUEUED:
        yield CallbackEvent.RETRYING, number
