"""JobBatch: one shared preparation of a repository at one commit, used by all jobs that wait for it (requirement 5.7).

Made by the controller under a name that follows from repository, commit and command, so that making it twice makes it
once. Which jobs belong to it is derived from their own recorded statuses.
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
from controller.api.repository import Prepare
from controller.api.text import COMMIT, DNS_SUBDOMAIN

MEMBERS_LENGTH = 20  # jobs named in status.members


class BatchPhase(StrEnum):
    PENDING = "Pending"
    PREPARING = "Preparing"
    READY = "Ready"
    FAILED = "Failed"


class JobBatchSpec(Model):
    """What is prepared; immutable."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.repository == oldSelf.repository && self.commit == oldSelf.commit && "
            "self.prepare.command == oldSelf.prepare.command",
            "spec is immutable: another commit or command is another JobBatch",
            "commit",
            "FieldValueForbidden",
        ),
    )
    repository: str = Field(
        description="Name of a Repository in the same namespace.", min_length=1, max_length=63, pattern=DNS_SUBDOMAIN
    )
    commit: str = Field(description="Commit that is checked out.", min_length=40, max_length=64, pattern=COMMIT)
    prepare: Prepare = Field(description="Command that is run in the checkout.")


class JobBatchStatus(Model):
    """What Holdfast recorded."""

    phase: BatchPhase | None = Field(default=None, description="Pending, Preparing, Ready or Failed.")
    number: int = Field(default=0, description="Number of the newest try; never reused.", ge=0)
    failures: int = Field(default=0, description="Tries that failed.", ge=0)
    retry_at: Time | None = Field(default=None, description="No further try before this time.")
    started_at: Time | None = Field(default=None, description="When the newest try was recorded.")
    finished_at: Time | None = Field(default=None, description="When it ended.")
    reason: str = Field(default="", description="Why it failed, in CamelCase.", max_length=128)
    message: str = Field(default="", description="What a person should know.", max_length=2048)
    members: tuple[str, ...] = Field(
        default=(),
        description="The first twenty jobs that use it.",
        max_length=MEMBERS_LENGTH,
        json_schema_extra={"x-kubernetes-list-type": "atomic", "items": {"type": "string", "maxLength": 253}},
    )
    member_count: int = Field(default=0, description="How many jobs use it.", ge=0)
    conditions: Annotated[tuple[Condition, ...], Ours("Ready InUse Failed")] = Field(
        default=(),
        description="Ready, InUse, Failed.",
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class JobBatch(Kind):
    """One shared preparation of a repository at one commit."""

    names: ClassVar[Names] = Names("JobBatch", short=("jbatch",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Repository", "string", ".spec.repository"),
        Column("Commit", "string", ".spec.commit"),
        Column("Phase", "string", ".status.phase"),
        Column("Jobs", "integer", ".status.memberCount"),
        Column("Reason", "string", ".status.reason"),
        Column("Age", "date", ".metadata.creationTimestamp"),
    )
    spec: JobBatchSpec = Field(description="What is prepared.")
    status: JobBatchStatus = Field(default_factory=JobBatchStatus, description="What Holdfast recorded.")
