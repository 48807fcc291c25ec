"""Repository: a git remote, its managed mirror, and who holds it (requirements 5.1-5.6).

`status.lock` decides who holds a repository: it is changed only by compare-and-swap (design 5).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from controller.api.conditions import Condition, Ours
from controller.api.crd import Column, Rule
from controller.api.failures import RecentFailures
from controller.api.kind import Kind
from controller.api.model import Model, Time
from controller.api.names import Names
from controller.api.repository_use import LockMode, Push, ref_rules
from controller.api.text import COMMIT, DNS_SUBDOMAIN, REF, Argument
from controller.api.units import Duration

URL = r"^((https?|ssh|file)://[^\s\x00-\x1f\x7f]+|[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s:\x00-\x1f-][^\s\x00-\x1f]*)$"

ACTIVITIES_LENGTH = 10  # operations kept in status.activities
WAITING_LENGTH = 10  # claims listed in status.lock.waiting (requirement 5.6)
MAX_HOLDERS = 256


class WhenSilent(StrEnum):
    """What happens to a holder about whom nothing is proved."""

    KEEP = "Keep"
    GIVE_ON = "GiveOn"


class OperationType(StrEnum):
    """Work on the mirror, each an attempt of the executor."""

    CLONE = "Clone"
    FETCH = "Fetch"
    VERIFY = "Verify"


class OperationState(StrEnum):
    STARTING = "Starting"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class RepositoryPhase(StrEnum):
    """A summary for people; the conditions are the contract."""

    PENDING = "Pending"
    CLONING = "Cloning"
    FETCHING = "Fetching"
    VERIFYING = "Verifying"
    READY = "Ready"
    FAILED = "Failed"


class CredentialsReference(Model):
    """A Secret with `token` (and `username`), or `sshKey` with `knownHosts`."""

    name: str = Field(description="Name of the Secret.", min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)


class Prepare(Model):
    """A command that is run once per commit in a checkout; what it leaves there is in every workspace."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.command[0] != ''", "prepare.command[0] names the program, it cannot be empty", "command"),
        Rule("duration(self.deadline) > duration('0s')", "prepare.deadline is more than 0s", "deadline"),
    )
    command: tuple[Argument, ...] = Field(
        description="Program and arguments, executed as they are in the checkout, without a shell.",
        min_length=1,
        max_length=64,
    )
    deadline: Duration = Field(default="1h", description="Run time after which it is stopped and counts as failed.")
    retry_limit: int = Field(default=2, description="How many times a failed preparation is repeated.", ge=0, le=20)


class LockPolicy(Model):
    """What happens to a holder about whom nothing is proved: no sign of life, no proof of death."""

    lease_duration: Duration = Field(default="5m", description="Silence after which a holder is fenced.")
    when_silent: WhenSilent = Field(
        default=WhenSilent.KEEP,
        description="Keep: the lock stays held, fenced, until a person decides. GiveOn: it is given to the next.",
    )


class RepositorySpec(Model):
    """What a user declares."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.url == oldSelf.url",
            "spec.url is immutable: another remote is another Repository",
            "url",
            "FieldValueForbidden",
        ),
        Rule("!self.url.contains('/../') && !self.url.endsWith('/..')", "spec.url contains a path like ..", "url"),
        Rule(
            "!self.url.startsWith('http') || !self.url.matches('^https?://[^/]*@')",
            "spec.url carries no credentials: put them in a Secret and name it in spec.credentialsRef",
            "url",
        ),
        Rule(
            "!self.url.matches('^[a-z]+://-') && !self.url.matches('@-')", "the host of spec.url begins with -", "url"
        ),
        *ref_rules("branch"),
        Rule(
            "duration(self.refreshInterval) >= duration('1s')", "spec.refreshInterval is at least 1s", "refreshInterval"
        ),
        Rule(
            "duration(self.operationDeadline) >= duration('1s')",
            "spec.operationDeadline is at least 1s",
            "operationDeadline",
        ),
    )
    url: str = Field(
        description="Where it is fetched from: https, http, ssh, user@host:path, or file where that is allowed.",
        min_length=1,
        max_length=2048,
        pattern=URL,
    )
    branch: str = Field(
        default="main", description="Branch that jobs get which name no ref.", min_length=1, max_length=250, pattern=REF
    )
    credentials_ref: CredentialsReference | None = Field(default=None, description="Secret with the credentials.")
    refresh_interval: Duration = Field(default="5m", description="Age at which the mirror counts as stale.")
    refresh_requested_at: Time | None = Field(
        default=None, description="Set it to now to have the mirror fetched at once."
    )
    operation_deadline: Duration = Field(
        default="30m", description="Run time after which clone, fetch or push is stopped and repeated."
    )
    push: Push = Field(default=Push.NONE, description="How far pushes of jobs may go: None, Mirror, Upstream.")
    prepare: Prepare | None = Field(default=None, description="Command that is run once per commit for all jobs.")
    lock: LockPolicy = Field(default_factory=LockPolicy, description="What happens to silent holders.")


class Operation(Model):
    """The newest operation on the mirror: intent, then outcome."""

    number: int = Field(description="Counts up from 1, never reused.", ge=1)
    type: OperationType = Field(description="Clone, Fetch or Verify.")
    state: OperationState = Field(description="Starting, Succeeded or Failed.")
    started_at: Time = Field(description="When the intent was recorded.")
    finished_at: Time | None = Field(default=None, description="When it ended.")
    reason: str = Field(default="", description="Why it failed, in CamelCase.", max_length=128)
    message: str = Field(default="", description="What a person should know.", max_length=2048)
    request: Time | None = Field(default=None, description="spec.refreshRequestedAt that it answers.")


class Holder(Model):
    """One holder of the lock."""

    claim: str = Field(description="Name of the RepositoryLock.", max_length=253)
    uid: str = Field(description="uid of the RepositoryLock.", max_length=64)
    mode: LockMode = Field(description="Shared or Exclusive.")
    token: int = Field(description="Fencing token of this grant; only grows.", ge=1)
    attempt: str = Field(default="", description="Attempt that it was given to; empty for a person.", max_length=64)
    granted_at: Time | None = Field(default=None, description="When it was granted.")
    fenced_at: Time | None = Field(default=None, description="Since when its pushes are refused.")


class WaitingClaim(Model):
    """One waiting claim."""

    claim: str = Field(description="Name of the RepositoryLock.", max_length=253)
    mode: LockMode = Field(description="Shared or Exclusive.")


class Lock(Model):
    """Who holds the repository."""

    token: int = Field(default=0, description="Largest fencing token ever given.", ge=0)
    holders: tuple[Holder, ...] = Field(
        default=(),
        description="Current holders: one Exclusive, or any number of Shared ones.",
        max_length=MAX_HOLDERS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
    )
    waiting: tuple[WaitingClaim, ...] = Field(
        default=(),
        description="The first ten waiting claims in their order; all of them: holdfast locks.",
        max_length=WAITING_LENGTH,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class Statistics(Model):
    """Of all operations since the Repository was made."""

    operations: int = Field(default=0, description="Operations that ended.", ge=0)
    failed: int = Field(default=0, description="Those of them that failed.", ge=0)


class RepositoryStatus(Model):
    """What Holdfast recorded; can be deleted at any time and is rebuilt (requirement 1.3)."""

    observed_generation: int | None = Field(
        default=None, description="Generation of the spec that this was decided from.", ge=0
    )
    phase: RepositoryPhase | None = Field(default=None, description="Summary for people.")
    conditions: Annotated[tuple[Condition, ...], Ours("Ready Stale Slow Failing Diverged LockSound")] = Field(
        default=(),
        description="Ready, Stale, Slow, Failing, Diverged, LockSound.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    commit: Annotated[str, Field(pattern=COMMIT)] = Field(
        default="", description="Commit of spec.branch in the mirror.", max_length=64
    )
    size_bytes: int = Field(default=0, description="Size of the mirror.", ge=0)
    refreshed_at: Time | None = Field(default=None, description="When the mirror was last known to equal the remote.")
    operation: Operation | None = Field(default=None, description="The newest operation.")
    failures: int = Field(default=0, description="Operations that failed since one succeeded.", ge=0)
    retry_at: Time | None = Field(default=None, description="No operation before this time.")
    activities: tuple[Operation, ...] = Field(
        default=(),
        description="The last operations that ended, the newest last.",
        max_length=ACTIVITIES_LENGTH,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    statistics: Statistics = Field(default_factory=Statistics, description="Of all operations.")
    success_percent: int | None = Field(default=None, description="Share of operations that succeeded.", ge=0, le=100)
    recent_failures: RecentFailures = Field(
        default_factory=RecentFailures, description="The most frequent failures of the last jobs that used it."
    )
    lock: Lock | None = Field(default=None, description="Who holds it; absent: rebuilt before anything is granted.")


class Repository(Kind):
    """A git remote with a managed mirror, given to jobs under a shared or exclusive lock."""

    names: ClassVar[Names] = Names("Repository", short=("repo",))
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
            "metadata.name is a DNS label (at most 63 characters, no dots): it names a directory",
        ),
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Phase", "string", ".status.phase"),
        Column("Commit", "string", ".status.commit"),
        Column("Holder", "string", ".status.lock.holders[0].claim"),
        Column("Refreshed", "date", ".status.refreshedAt"),
        Column("OK%", "integer", ".status.successPercent"),
        Column("Age", "date", ".metadata.creationTimestamp"),
        Column("Size", "integer", ".status.sizeBytes", priority=1),
        Column("URL", "string", ".spec.url", priority=1),
    )
    spec: RepositorySpec = Field(description="What a user declares.")
    status: RepositoryStatus = Field(default_factory=RepositoryStatus, description="What Holdfast recorded.")
