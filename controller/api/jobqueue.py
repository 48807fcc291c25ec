"""JobQueue: how many of its jobs run at once. The queue `default` works without being made (design 3)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from controller.api.conditions import Condition, Ours
from controller.api.crd import Column, Rule
from controller.api.failures import RecentFailures
from controller.api.kind import Kind
from controller.api.model import Model
from controller.api.names import Names

HEAD_LENGTH = 10  # jobs listed in status.head (requirement 2.2)


class QueueRamp(Model):
    """How fast jobs of a queue start after a start of the controller (requirement 7.4)."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.resumedPerSecond) || has(self.newPerSecond)",
            "admission.ramp sets resumedPerSecond, newPerSecond or both; without a ramp of its own, leave it out",
        ),
    )
    resumed_per_second: float | None = Field(
        default=None,
        description="How many jobs of this queue that had begun before start per second, at first; twice as many after "
        "each 2 s, no limit after 20 s. Unset or 0: only the host's rate counts, which holds for all queues together.",
        ge=0,
        le=10000,
    )
    new_per_second: float | None = Field(
        default=None, description="The same for jobs that had not begun before.", ge=0, le=10000
    )


class QueueAdmission(Model):
    """What else limits when jobs of a queue start."""

    ramp: QueueRamp | None = Field(
        default=None, description="How fast jobs start after a start of the controller that finds attempts of before."
    )


class JobQueueSpec(Model):
    """What a user declares."""

    concurrency: int | None = Field(
        default=None,
        description="How many jobs of this queue run at once; unset: only the host's limit counts. Jobs that name an "
        "outside queue (spec.pod.labels of BatchJob) are limited by that one alone.",
        ge=0,
        le=100000,
    )
    paused: bool = Field(default=False, description="Start no further job; what runs goes on.")
    admission: QueueAdmission | None = Field(default=None, description="What else limits when jobs start.")


class QueuedJob(Model):
    """One waiting job."""

    name: str = Field(description="Name of the BatchJob.", max_length=253)
    priority: int = Field(default=0, description="Its priority.")
    sequence: int = Field(description="Its sequence.")


class JobQueueStatus(Model):
    """What Holdfast recorded."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this was decided from.", ge=0
    )
    pending: int | None = Field(default=None, description="Jobs that wait.", ge=0)
    running: int | None = Field(default=None, description="Jobs that hold a slot.", ge=0)
    outside: int | None = Field(
        default=None,
        description="Jobs that were started and hold no slot, because an outside queue limits them "
        "(kueue.x-k8s.io/queue-name).",
        ge=0,
    )
    head: tuple[QueuedJob, ...] = Field(
        default=(),
        description="The first ten in the order in which they start.",
        max_length=HEAD_LENGTH,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    recent_failures: RecentFailures = Field(
        default_factory=RecentFailures, description="The most frequent failures of its last jobs."
    )
    conditions: Annotated[tuple[Condition, ...], Ours("Paused Ramping")] = Field(
        default=(),
        description="Paused; Ramping after a start of the controller.",
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class JobQueue(Kind):
    """How many of its jobs run at once, and whether any start at all."""

    names: ClassVar[Names] = Names("JobQueue", short=("jq",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Concurrency", "integer", ".spec.concurrency"),
        Column("Paused", "boolean", ".spec.paused"),
        Column("Pending", "integer", ".status.pending"),
        Column("Running", "integer", ".status.running"),
        Column("Outside", "integer", ".status.outside", priority=1),
        Column("Age", "date", ".metadata.creationTimestamp"),
    )
    spec: JobQueueSpec = Field(default_factory=JobQueueSpec, description="What a user declares.")
    status: JobQueueStatus = Field(default_factory=JobQueueStatus, description="What Holdfast recorded.")
