"""RepositoryLock: one claim on one repository. The claims of a repository are its waiting queue (requirement 5.6).

Claims of jobs are made by the controller and observed; claims of people are made by kubectl and renewed (design 5).
Who holds what is decided in Repository.status.lock; the status here is a projection of it.
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
from controller.api.repository_use import LockMode
from controller.api.text import DNS_SUBDOMAIN
from controller.api.units import Duration


class ClaimPhase(StrEnum):
    """FENCED: still held, its pushes are refused. RELEASED is final."""

    WAITING = "Waiting"
    HELD = "Held"
    FENCED = "Fenced"
    RELEASED = "Released"


class ClaimHolder(Model):
    """Who claims."""

    kind: str = Field(
        default="Person",
        description="BatchJob (made by Holdfast) or Person.",
        pattern="^(BatchJob|Person)$",
        max_length=16,
    )
    name: str = Field(description="Name of the BatchJob or of the person.", min_length=1, max_length=253)
    uid: str = Field(default="", description="uid of the BatchJob.", max_length=64)
    attempt: str = Field(default="", description="Attempt of the BatchJob that needs it.", max_length=64)


class RepositoryLockSpec(Model):
    """What is claimed."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *(
            Rule(
                f"self.{field} == oldSelf.{field}",
                f"spec.{field} is immutable: make another claim",
                field,
                "FieldValueForbidden",
            )
            for field in ("repository", "mode", "holder")
        ),
        Rule(
            "!has(self.leaseDuration) || duration(self.leaseDuration) >= duration('1s')",
            "spec.leaseDuration is at least 1s; leave it out to hold until the claim is deleted",
            "leaseDuration",
        ),
    )
    repository: str = Field(
        description="Name of a Repository in the same namespace.", min_length=1, max_length=63, pattern=DNS_SUBDOMAIN
    )
    mode: LockMode = Field(default=LockMode.EXCLUSIVE, description="Shared or Exclusive.")
    holder: ClaimHolder = Field(description="Who claims.")
    renew_time: Time | None = Field(
        default=None, description="When the person last said that the lock is still needed; counts with leaseDuration."
    )
    lease_duration: Duration | None = Field(
        default=None, description="The claim ends this long after renewTime (or its grant); unset: when it is deleted."
    )
    force_release: str = Field(
        default="",
        description="Set to this claim's own metadata.uid to take the lock from it; any other value does nothing.",
        max_length=64,
    )


class RepositoryLockStatus(Model):
    """What Holdfast recorded: a projection of Repository.status.lock."""

    phase: ClaimPhase | None = Field(default=None, description="Waiting, Held, Fenced or Released.")
    reason: str = Field(default="", description="Why, in CamelCase.", max_length=128)
    sequence: int | None = Field(default=None, description="Place in creation order; never changes.")
    token: int | None = Field(default=None, description="Fencing token of its grant.", ge=1)
    granted_at: Time | None = Field(default=None, description="When it was granted.")
    released_at: Time | None = Field(default=None, description="When it was released.")
    conditions: Annotated[tuple[Condition, ...], Ours("Granted")] = Field(
        default=(),
        description="Granted.",
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class RepositoryLock(Kind):
    """One claim on one repository, Shared or Exclusive."""

    names: ClassVar[Names] = Names("RepositoryLock", short=("rlock",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Repository", "string", ".spec.repository"),
        Column("Mode", "string", ".spec.mode"),
        Column("Holder", "string", ".spec.holder.name"),
        Column("Phase", "string", ".status.phase"),
        Column("Token", "integer", ".status.token"),
        Column("Age", "date", ".metadata.creationTimestamp"),
        Column("Reason", "string", ".status.reason", priority=1),
    )
    spec: RepositoryLockSpec = Field(description="What is claimed.")
    status: RepositoryLockStatus = Field(default_factory=RepositoryLockStatus, description="What Holdfast recorded.")
