"""Callback: one event for one receiver, its payload frozen, and every try that was made (requirements 6.1-6.3).

Made by the controller from a job's `status.deliveries`. Only `spec.redeliver` can be changed: a higher number sends
the same payload again, with the same id.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from controller.api.callback_use import (
    CALLBACK_URL,
    DEFAULT_SCHEDULE,
    MAX_SCHEDULE,
    CallbackEvent,
    CallbackTimeout,
    ScheduleStep,
    SecretKey,
    SecretName,
)
from controller.api.conditions import Condition, Ours
from controller.api.crd import Column, Rule
from controller.api.kind import Kind
from controller.api.model import Model, Time
from controller.api.names import Names

TRIES_LENGTH = 10  # tries kept in status.history
MAX_PAYLOAD = 32768
MAX_SNIPPET = 4096  # of an answer's body, in bytes


class CallbackPhase(StrEnum):
    """PENDING: not tried yet. DELIVERING: tried, will be tried again. The conditions are the contract."""

    PENDING = "Pending"
    DELIVERING = "Delivering"
    DELIVERED = "Delivered"
    FAILED = "Failed"

    @property
    def over(self) -> bool:
        """Whether nothing more is sent unless a person asks for it."""
        return self in (CallbackPhase.DELIVERED, CallbackPhase.FAILED)


class JobReference(Model):
    """The job that it tells of."""

    name: str = Field(description="Name of the BatchJob.", min_length=1, max_length=253)
    uid: str = Field(description="uid of the BatchJob.", min_length=1, max_length=64)
    attempt: int = Field(default=0, description="Number of the attempt; 0 before the first.", ge=0)


IMMUTABLE = ("job", "callback", "event", "id", "url", "secretRef", "payload", "schedule", "timeout", "previous")


class CallbackSpec(Model):
    """What is sent where."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *(
            Rule(
                f"self.{field} == oldSelf.{field}",
                f"spec.{field} is immutable: only spec.redeliver can be changed",
                field,
                "FieldValueForbidden",
            )
            for field in IMMUTABLE
        ),
        Rule(
            "has(self.headersRef) == has(oldSelf.headersRef) && "
            "(!has(self.headersRef) || self.headersRef == oldSelf.headersRef)",
            "spec.headersRef is immutable: only spec.redeliver can be changed",
            "headersRef",
            "FieldValueForbidden",
        ),
        Rule(
            "self.redeliver >= oldSelf.redeliver",
            "spec.redeliver only grows: raise it by one to send again",
            "redeliver",
        ),
    )
    job: JobReference = Field(description="The job that it tells of.")
    callback: str = Field(description="Name of the callback in the job's spec.callbacks.", min_length=1, max_length=63)
    event: CallbackEvent = Field(description="What is told.")
    id: str = Field(description="webhook-id: the same for every try.", min_length=1, max_length=64)
    url: str = Field(description="Where it is sent by POST.", min_length=8, max_length=2048, pattern=CALLBACK_URL)
    secret_ref: SecretKey = Field(description="What it is signed with.")
    headers_ref: SecretName | None = Field(default=None, description="Further headers.")
    payload: str = Field(
        description="The body, exactly as it is sent (hack/schemas/callback.json).",
        min_length=2,
        max_length=MAX_PAYLOAD,
    )
    schedule: tuple[ScheduleStep, ...] = Field(
        default=DEFAULT_SCHEDULE, description="Wait before each repeat.", max_length=MAX_SCHEDULE
    )
    timeout: CallbackTimeout = Field(default_factory=CallbackTimeout, description="Time limits of one try.")
    previous: str = Field(
        default="",
        description="Callback of the same job and receiver that goes first; empty: none.",
        max_length=253,
    )
    redeliver: int = Field(default=0, description="A higher number sends it again.", ge=0, le=1000000)


class Try(Model):
    """One try, as it is kept."""

    at: Time = Field(description="When it ended.")
    code: int | None = Field(default=None, description="HTTP status of the answer; absent without an answer.", ge=0)
    reason: str = Field(default="", description="What it means, in CamelCase.", max_length=128)
    message: str = Field(default="", description="What a person should know.", max_length=1024)
    duration_ms: int = Field(default=0, description="How long it took.", ge=0)


class LastTry(Try):
    """The newest try, with the beginning of what was answered."""

    body_snippet: str = Field(
        default="",
        description="Beginning of the answer's body, at most 4 KiB; secrets are taken out.",
        max_length=MAX_SNIPPET,
    )


class CallbackStatus(Model):
    """What Holdfast recorded; where it is deleted, it is sent again with the same id."""

    phase: CallbackPhase | None = Field(default=None, description="Pending, Delivering, Delivered or Failed.")
    attempts: int = Field(default=0, description="Tries in all.", ge=0)
    tries: int = Field(default=0, description="Tries since the beginning or the last redelivery.", ge=0)
    last_attempt: LastTry | None = Field(default=None, description="The newest try.")
    next_attempt_at: Time | None = Field(default=None, description="When it is tried again.")
    wait_ms: int = Field(
        default=0,
        description="Length of that wait when it began: a clock that is set back cannot make it longer.",
        ge=0,
    )
    delivered_at: Time | None = Field(default=None, description="When the receiver had it.")
    finished_at: Time | None = Field(default=None, description="When it was delivered or given up.")
    history: tuple[Try, ...] = Field(
        default=(),
        description="The last tries, the newest last.",
        max_length=TRIES_LENGTH,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    redelivered: int = Field(default=0, description="spec.redeliver that was carried out.", ge=0)
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this was decided from.", ge=0
    )
    conditions: Annotated[tuple[Condition, ...], Ours("Delivered Failed Finished Restored")] = Field(
        default=(),
        description="Delivered, Failed, Finished, Restored.",
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class Callback(Kind):
    """One event for one receiver, sent until the receiver has it."""

    names: ClassVar[Names] = Names("Callback", short=("cb",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Job", "string", ".spec.job.name"),
        Column("Event", "string", ".spec.event"),
        Column("Phase", "string", ".status.phase"),
        Column("Tries", "integer", ".status.attempts"),
        Column("Code", "integer", ".status.lastAttempt.code"),
        Column("Reason", "string", ".status.lastAttempt.reason"),
        Column("Age", "date", ".metadata.creationTimestamp"),
        Column("Next", "string", ".status.nextAttemptAt", priority=1),  # kubectl shows no date that is to come
        Column("Id", "string", ".spec.id", priority=1),
        Column("URL", "string", ".spec.url", priority=1),
    )
    spec: CallbackSpec = Field(description="What is sent where.")
    status: CallbackStatus = Field(default_factory=CallbackStatus, description="What Holdfast recorded.")
