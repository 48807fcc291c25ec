"""JobQueue: how many of its jobs run at once. The queue `default` works without being made (design 3)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from controller.api.conditions import Condition
from controller.api.crd import Column
from controller.api.failures import RecentFailures
from controller.api.kind import Kind
from controller.api.model import Model
from controller.api.names import Names

HEAD_LENGTH = 10  # jobs listed in status.head (requirement 2.2)


class JobQueueSpec(Model):
    """What a user declares."""

    concurrency: int | None = Field(
        default=None,
        description="How many jobs of this queue run at once; unset: only the host's limit counts.",
        ge=0,
        le=100000,
    )
    paused: bool = Field(default=False, description="Start no further job; what runs goes on.")


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
    head: tuple[QueuedJob, ...] = Field(
        default=(),
        description="The first ten in the order in which they start.",
        max_length=HEAD_LENGTH,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    recent_failures: RecentFailures = Field(
        default_factory=RecentFailures, description="The most frequent failures of its last jobs."
    )
    conditions: tuple[Condition, ...] = Field(
        default=(),
        description="Active, Paused.",
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
        Column("Age", "date", ".metadata.creationTimestamp"),
    )
    spec: JobQueueSpec = Field(default_factory=JobQueueSpec, description="What a user declares.")
    status: JobQueueStatus = Field(default_factory=JobQueueStatus, description="What Holdfast recorded.")
