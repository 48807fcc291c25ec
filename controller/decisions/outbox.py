"""Which deliveries follow from an event of a job, and what the Callback of one is called and says (requirement 6.1).

Promises: the id follows from (job uid, attempt, callback, event), so whatever is made twice is made once; entries are
in the order of the events; a full list loses what is over first, then progress, never an end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from controller.api.batchjob import BatchJob
from controller.api.callback import CallbackSpec, JobReference
from controller.api.callback_use import (
    DEFAULT_SCHEDULE,
    MAX_DELIVERIES,
    CallbackEvent,
    CallbackUse,
    DeliveryRecord,
    DeliveryState,
)

MAX_NAME = 253 - 17  # of an object, less what makes a Callback's name its own


def delivery_id(uid: str, attempt: int, name: str, event: CallbackEvent) -> str:
    """The webhook-id. No dot in it: the signature is over `id.timestamp.payload`."""
    text = "\n".join((uid, str(attempt), name, event.value))
    return f"msg_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def callback_name(job: str, id_: str) -> str:
    """Name of the Callback object of a delivery, the same whenever it is made."""
    return f"{job[:MAX_NAME].rstrip('-.')}-{id_.removeprefix('msg_')[:16]}"


def deliveries_of(uses: Sequence[CallbackUse], uid: str, attempt: int, event: CallbackEvent) -> list[DeliveryRecord]:
    """What an event of a job has to be told to whom.

    Args:
        uses: spec.callbacks of the job.
        uid: of the job.
        attempt: number of the attempt that it tells of, 0 before the first.
    """
    return [
        DeliveryRecord(name=use.name, id=delivery_id(uid, attempt, use.name, event), event=event, attempt=attempt)
        for use in uses
        if event in use.events
    ]


def with_deliveries(recorded: Sequence[DeliveryRecord], new: Sequence[DeliveryRecord]) -> tuple[DeliveryRecord, ...]:
    """status.deliveries with `new` ones behind those that are there; one that is there already is not added."""
    known = {each.id for each in recorded}
    whole = [*recorded, *(each for each in new if each.id not in known)]
    while len(whole) > MAX_DELIVERIES:
        whole.remove(min(whole, key=_worth))
    return tuple(whole)


def _worth(record: DeliveryRecord) -> tuple[bool, bool]:
    """The least one goes first: what is over, then progress."""
    return record.state is DeliveryState.PENDING, record.event.end


def settled(recorded: Sequence[DeliveryRecord], id_: str, state: DeliveryState) -> tuple[DeliveryRecord, ...]:
    """status.deliveries with the state of one of them."""
    return tuple(each.model_copy(update={"state": state}) if each.id == id_ else each for each in recorded)


def pending(recorded: Sequence[DeliveryRecord]) -> list[DeliveryRecord]:
    """Those that the job's time to live waits for."""
    return [each for each in recorded if each.state is DeliveryState.PENDING]


def previous_of(recorded: Sequence[DeliveryRecord], id_: str, job: str) -> str:
    """Name of the Callback that goes before: the same receiver's event before this one; "" for the first."""
    name = next((each.name for each in recorded if each.id == id_), None)
    before = ""
    for each in recorded:
        if each.id == id_:
            break
        if each.name == name:
            before = callback_name(job, each.id)
    return before


def callback_spec(job: BatchJob, use: CallbackUse, record: DeliveryRecord, payload: str, previous: str) -> CallbackSpec:
    """The spec of the Callback of one delivery, frozen from what the job declares now.

    Args:
        use: the entry of spec.callbacks that `record` names.
        payload: its text.
        previous: see `previous_of`.
    """
    return CallbackSpec(
        job=JobReference(name=job.metadata.name, uid=job.metadata.uid, attempt=record.attempt),
        callback=use.name,
        event=record.event,
        id=record.id,
        url=use.url,
        secret_ref=use.secret_ref,
        headers_ref=use.headers_ref,
        payload=payload,
        schedule=DEFAULT_SCHEDULE if use.schedule is None else use.schedule,
        timeout=use.timeout,
        previous=previous,
    )
