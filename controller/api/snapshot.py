"""Snapshot: one restorable copy of all that Holdfast recorded, in one archive (requirement 7.10).

`kubectl apply` of one makes one; the schedule makes them under names that follow from the time. Deleting the object
leaves its archive where it is: a backup must outlive what it is a backup of. Only retention removes both.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from controller.api.conditions import Condition, Ours
from controller.api.crd import Column, Rule
from controller.api.kind import Kind
from controller.api.model import Model, Time
from controller.api.names import Names

SCHEDULED_FOR = "holdfast.dev/scheduled-for"  # annotation: the moment of the schedule that it was made for
SUFFIX = ".holdfast.tar.zst"


class SnapshotPhase(StrEnum):
    """The conditions are the contract. PENDING: another one is being taken, or it waits for its next try."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"

    @property
    def over(self) -> bool:
        """Whether nothing more happens to it but its removal."""
        return self in (SnapshotPhase.COMPLETE, SnapshotPhase.FAILED)


class SnapshotSpec(Model):
    """What is taken, and where it goes."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *(
            Rule(
                # The default `{}` of the whole is judged before those of its fields are there.
                f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
                "spec is immutable but for keep: make another Snapshot",
                field,
                "FieldValueForbidden",
            )
            for field in ("destination", "includeAudit")
        ),
        Rule(
            "!has(self.destination) || !self.destination.matches('^[^/]*://[^/]*@')",
            "credentials do not belong into an address but into the controller's environment (AWS_ACCESS_KEY_ID, …)",
            "destination",
            "FieldValueInvalid",
        ),
    )
    destination: str = Field(
        default="",
        description="Directory or address (as s3://bucket/path) for the archive; empty: the controller's setting "
        "HOLDFAST_SNAPSHOT_DESTINATION. HOLDFAST_SNAPSHOT_ALLOW says which others may be named.",
        max_length=2048,
        pattern=r"^[^\x00-\x20]*$",
    )
    include_audit: bool = Field(default=False, description="Put the audit journal into the archive too.")
    keep: bool = Field(default=False, description="Never removed by retention, whatever its age and their count.")


class KindCount(Model):
    """How many objects of one kind."""

    kind: str = Field(description="Kind of the objects.", max_length=64)
    count: int = Field(description="How many of them are in the archive.", ge=0)


class SnapshotStatus(Model):
    """What Holdfast recorded."""

    phase: SnapshotPhase | None = Field(default=None, description="Pending, Running, Complete or Failed.")
    conditions: Annotated[tuple[Condition, ...], Ours("Finished Complete Failed Expired Restored")] = Field(
        default=(),
        description="Finished, Complete, Failed; Expired once retention removes it; Restored.",
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    tries: int = Field(default=0, description="How often it was begun.", ge=0)
    location: str = Field(default="", description="Where the archive is, or will be.", max_length=2400)
    objects: tuple[KindCount, ...] = Field(
        default=(),
        description="Objects in the archive by kind.",
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind"]},
    )
    total: int = Field(default=0, description="Objects in the archive.", ge=0)
    bytes: int = Field(default=0, description="Size of the archive.", ge=0)
    sha256: str = Field(default="", description="Checksum of the archive.", max_length=64)
    archive_id: str = Field(default="", description="Identity of the archive's content.", max_length=64)
    resource_version: str = Field(
        default="", description="Version of the cluster that all objects were read at.", max_length=32
    )
    started_at: Time | None = Field(default=None, description="When it was last begun.")
    finished_at: Time | None = Field(default=None, description="When it ended, or its last try did.")
    message: str = Field(default="", description="What a person should know.", max_length=2048)


class Snapshot(Kind):
    """One restorable copy of all that Holdfast recorded."""

    names: ClassVar[Names] = Names("Snapshot", short=("snap",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Phase", "string", ".status.phase"),
        Column("Objects", "integer", ".status.total"),
        Column("Bytes", "integer", ".status.bytes"),
        Column("Finished", "date", ".status.finishedAt"),
        Column("Age", "date", ".metadata.creationTimestamp"),
        Column("Location", "string", ".status.location", priority=1),
        Column("Message", "string", ".status.message", priority=1),
    )
    spec: SnapshotSpec = Field(default_factory=SnapshotSpec, description="What is taken, and where it goes.")
    status: SnapshotStatus = Field(default_factory=SnapshotStatus, description="What Holdfast recorded.")
