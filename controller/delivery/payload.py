"""The body of a callback (requirement 6.2): its model is the source of `hack/schemas/callback.json`.

Promises: the body says everything that a receiver needs to act on without access to the cluster, and nothing that a
job was told in secret: no command, no environment, no output.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Attempt
from controller.api.callback_use import CallbackEvent, DeliveryRecord
from controller.api.model import Model, Time

SCHEMA_ID = "https://holdfast.dev/schemas/callback.json"
MAX_MESSAGE = 2048
MAX_LABELS = 16384  # characters; with them a body stays below the bound of spec.payload

EventType = Literal[
    "batchjob.started",
    "batchjob.waiting",
    "batchjob.retrying",
    "batchjob.succeeded",
    "batchjob.failed",
    "batchjob.canceled",
]


class PayloadJob(Model):
    """The job."""

    name: str = Field(description="metadata.name of the BatchJob.")
    namespace: str = Field(description="metadata.namespace of the BatchJob.")
    uid: str = Field(description="metadata.uid of the BatchJob: tells jobs of one name apart.")
    queue: str = Field(description="The queue that it was in.")
    labels: dict[str, str] = Field(description="metadata.labels of the BatchJob, the first ones of very many.")


class PayloadAttempt(Model):
    """The attempt that it tells of."""

    number: int = Field(description="Counts up from 1.", ge=1)
    started_at: Time | None = Field(default=None, description="When the command was let go.")
    finished_at: Time | None = Field(default=None, description="When it ended.")
    exit_code: int | None = Field(default=None, description="Exit code of the command.", ge=0, le=255)
    signal: int | None = Field(default=None, description="Signal that ended it.", ge=1, le=64)
    reason: str = Field(default="", description="Why it ended, in CamelCase; empty for success or while it runs.")
    message: str = Field(default="", description="What a person should know.", max_length=MAX_MESSAGE)
    commit: str = Field(default="", description="Commit that it worked on, where the job has a repository.")
    published: str = Field(default="", description="Commit that was published upstream.")


class PayloadData(Model):
    """What happened."""

    event: CallbackEvent = Field(description="As in spec.callbacks[].events.")
    callback: str = Field(description="Name of the callback in the job's spec.callbacks.")
    job: PayloadJob = Field(description="The job.")
    attempt: PayloadAttempt | None = Field(default=None, description="The attempt; absent before the first one.")
    reason: str = Field(default="", description="Why, in CamelCase: of the phase that the job is in with this event.")
    message: str = Field(default="", description="What a person should know.", max_length=MAX_MESSAGE)


class Payload(Model):
    """One event, as Standard Webhooks suggests it: a type, a time, data."""

    type: EventType = Field(description="What happened: batchjob. and the event in lower case.")
    timestamp: Time = Field(description="When it happened; webhook-timestamp says when it was sent.")
    data: PayloadData = Field(description="What happened.")


def payload_of(job: BatchJob, record: DeliveryRecord, at: datetime) -> str:
    """The body for one delivery, from the job as it is recorded.

    Args:
        job: with the status that `record` is part of, or a later one.
        at: when this was decided; used where the status does not say when it happened.
    """
    attempt = _attempt(job, record.attempt)
    status = job.status
    newest = status.attempt is None or status.attempt.number == record.attempt
    told = newest and (record.event.end or record.event is CallbackEvent.WAITING)
    data = PayloadData(
        event=record.event,
        callback=record.name,
        job=PayloadJob(
            name=job.metadata.name,
            namespace=job.metadata.namespace,
            uid=job.metadata.uid,
            queue=job.spec.queue,
            labels=_labels(job),
        ),
        attempt=_payload_attempt(job, attempt, record.event, newest) if attempt is not None else None,
        reason=status.reason if told else "",
        message=_message(job) if told else "",
    )
    body = Payload.model_validate(
        {"type": f"batchjob.{record.event.value.lower()}", "timestamp": _when(job, attempt, record, at), "data": data}
    )
    return json.dumps(body.to_json(), ensure_ascii=False, separators=(",", ":"))


def schema() -> str:
    """`hack/schemas/callback.json`. Only what is always there is required: later versions add fields."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, "title": "Holdfast callback"}
    return json.dumps({**head, **_without_null(Payload.model_json_schema())}, indent=2) + "\n"


def _without_null(node: Any) -> Any:
    """What is None is left out of the body, so it is absent, never null; titles that only repeat a name are dropped."""
    if isinstance(node, list):
        return [_without_null(each) for each in node]
    if not isinstance(node, dict):
        return node
    some = [branch for branch in node.get("anyOf", ()) if branch != {"type": "null"}]
    if len(some) == 1:
        node = {**some[0], **{name: each for name, each in node.items() if name not in ("anyOf", "default")}}
    return {name: _without_null(each) for name, each in node.items() if not (name == "title" and isinstance(each, str))}


def _labels(job: BatchJob) -> dict[str, str]:
    found: dict[str, str] = {}
    size = 0
    for name, value in sorted(job.metadata.labels.items()):
        size += len(name) + len(value) + 6
        if size > MAX_LABELS:
            break
        found[name] = value
    return found


def _attempt(job: BatchJob, number: int) -> Attempt | None:
    known = (job.status.attempt, *reversed(job.status.history))
    return next((each for each in known if each is not None and each.number == number), None)


def _payload_attempt(job: BatchJob, attempt: Attempt, event: CallbackEvent, newest: bool) -> PayloadAttempt:
    """What is known of it at the event: a start says nothing of the end, however late it is told."""
    used = job.status.repository if newest else None
    started = PayloadAttempt(
        number=attempt.number, started_at=attempt.started_at, commit=used.commit if used is not None else ""
    )
    if event is CallbackEvent.STARTED:
        return started
    return started.model_copy(
        update={
            "finished_at": attempt.finished_at,
            "exit_code": attempt.exit_code,
            "signal": attempt.signal,
            "reason": attempt.reason,
            "message": attempt.message,
            "published": used.published if used is not None and event.end else "",
        }
    )


def _message(job: BatchJob) -> str:
    order = ("NeedsDecision", "Finished")
    found = {each.type: each for each in job.status.conditions if each.status == "True"}
    return next((found[kind].message for kind in order if kind in found), "")[:MAX_MESSAGE]


def _when(job: BatchJob, attempt: Attempt | None, record: DeliveryRecord, at: datetime) -> datetime:
    if record.event.end:
        return job.status.finished_at or at
    if attempt is None:
        return at
    moment = attempt.started_at if record.event is CallbackEvent.STARTED else attempt.finished_at
    return moment or at
