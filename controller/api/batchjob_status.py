"""What Holdfast records of a BatchJob. Written by the controller only; every decision is here before it is acted on."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.api.callback_use import MAX_DELIVERIES, DeliveryRecord
from controller.api.conditions import Condition, Ours
from controller.api.model import Model, Time
from controller.api.repository_use import RepositoryUsed

HISTORY_LENGTH = 5  # attempts kept in status.history (design 3)


class Phase(StrEnum):
    """A summary for people; the conditions are the contract."""

    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    WAITING = "Waiting"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"


class AttemptState(StrEnum):
    """STARTING is the recorded intent; the last six are over: they hold no slot and no lock."""

    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    SUSPENDED = "Suspended"
    LOST = "Lost"
    NEVER_STARTED = "NeverStarted"

    @property
    def over(self) -> bool:
        """Whether the attempt is proved to have ended (or never to begin)."""
        return self not in (AttemptState.STARTING, AttemptState.RUNNING, AttemptState.STOPPING)


class Attempt(Model):
    """One attempt: intent, then outcome."""

    id: str = Field(description="Name of the attempt for ever: <job uid>.<number>.", max_length=64)
    number: int = Field(description="Counts up from 1, never reused.", ge=1)
    state: AttemptState = Field(description="State of the attempt.")
    executor: str = Field(default="Process", description="Where it runs.", max_length=16)
    state_id: str = Field(
        default="", description="Identity of the state directory that it was started under.", max_length=64
    )
    host: str = Field(default="", description="Host name, for people.", max_length=253)
    outside_queue: str = Field(
        default="",
        description="Queue that limits it in place of its JobQueue, of which it takes no slot: label "
        "kueue.x-k8s.io/queue-name as it was when the start was recorded.",
        max_length=63,
    )
    lock_token: int | None = Field(default=None, description="Fencing token of its repository's lock.", ge=1)
    admitted_at: Time | None = Field(default=None, description="When the start was recorded.")
    started_at: Time | None = Field(default=None, description="When the command was let go.")
    finished_at: Time | None = Field(default=None, description="When it ended.")
    exit_code: int | None = Field(default=None, description="Exit code of the command.", ge=0, le=255)
    signal: int | None = Field(default=None, description="Signal that ended it.", ge=1, le=64)
    reason: str = Field(default="", description="Why it ended, in CamelCase.", max_length=128)
    message: str = Field(default="", description="What a person should know.", max_length=2048)
    resumed_from: int | None = Field(
        default=None, description="Number of the lost attempt that it goes on from; unset: it began anew.", ge=1
    )
    origin: int | None = Field(
        default=None,
        description="Number of the attempt that began what it goes on in: workspace and checkpoints are named after "
        "that one; unset: after itself.",
        ge=1,
    )
    recovered: bool | None = Field(
        default=None, description="true: it ran while the controller was started anew, which took it up again."
    )
    stop_reason: str = Field(
        default="", description="Why Holdfast stops it; recorded before the first signal.", max_length=128
    )


class Output(Model):
    """Where the output is."""

    bytes: int = Field(default=0, description="Size of the newest attempt's output.", ge=0)
    location: str = Field(default="", description="host:path of the output file.", max_length=4608)


class BatchJobStatus(Model):
    """What Holdfast recorded; can be deleted at any time and is rebuilt (requirement 1.3)."""

    phase: Phase | None = Field(default=None, description="Summary for people; the conditions are the contract.")
    reason: str = Field(default="", description="Reason of the phase, for the printed columns.", max_length=128)
    conditions: Annotated[
        tuple[Condition, ...],
        Ours("Admitted LockGranted Running Resumed Published NeedsDecision Restored Complete Failed Finished"),
    ] = Field(
        default=(),
        description="Admitted, LockGranted, Running, Resumed, Published, NeedsDecision, Restored, "
        "Complete, Failed, Finished.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this was decided from.", ge=0
    )
    sequence: int | None = Field(default=None, description="Place in creation order; never changes.")
    queue_position: int | None = Field(
        default=None, description="Position when it was queued; exact ones: holdfast queue.", ge=0
    )
    estimated_start_time: Time | None = Field(default=None, description="Estimate when it was queued.")
    attempt: Attempt | None = Field(default=None, description="The newest attempt.")
    history: tuple[Attempt, ...] = Field(
        default=(), description="Attempts before it, the newest last.", max_length=HISTORY_LENGTH
    )
    failures: int = Field(default=0, description="Attempts that failed; counted against retry.limit.", ge=0)
    losses: int = Field(default=0, description="Attempts that were lost; counted against lossLimit.", ge=0)
    resume_from: int | None = Field(
        default=None,
        description="Number of the lost attempt that the next one goes on from; unset: the next one begins anew.",
        ge=1,
    )
    retry_at: Time | None = Field(default=None, description="Not started again before this time.")
    decided: int = Field(default=0, description="Number of the attempt whose spec.decision was carried out.", ge=0)
    finished_at: Time | None = Field(default=None, description="When the job ended.")
    repository: RepositoryUsed | None = Field(default=None, description="What is known of its repository.")
    deliveries: tuple[DeliveryRecord, ...] = Field(
        default=(),
        description="What callbacks have to be told, recorded with what it tells of.",
        max_length=MAX_DELIVERIES,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    )
    output: Output | None = Field(default=None, description="Output of the newest attempt.")
