"""How a job uses a repository: what it declares, and what is recorded of it (requirements 5.3-5.5)."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from controller.api.crd import Rule
from controller.api.model import Model
from controller.api.text import COMMIT, DNS_SUBDOMAIN, REF


class LockMode(StrEnum):
    """How a repository is held."""

    SHARED = "Shared"
    EXCLUSIVE = "Exclusive"


class JobLock(StrEnum):
    """What a job claims: a mode, or no claim at all."""

    SHARED = "Shared"
    EXCLUSIVE = "Exclusive"
    NONE = "None"

    @property
    def mode(self) -> LockMode | None:
        """The mode of its claim, None where it makes none."""
        return None if self is JobLock.NONE else LockMode(self.value)


class Push(StrEnum):
    """Where a job's pushes may end up."""

    NONE = "None"
    MIRROR = "Mirror"
    UPSTREAM = "Upstream"

    @property
    def rank(self) -> int:
        """A policy allows itself and what has a lower rank."""
        return list(Push).index(self)


def ref_rules(field: str) -> tuple[Rule, ...]:
    """Rules of git check-ref-format(1) that a pattern without look-ahead cannot say."""
    return (
        Rule(
            f"!has(self.{field}) || (!self.{field}.contains('..') && !self.{field}.contains('//') && "
            f"!self.{field}.contains('@{{') && !self.{field}.contains('/.') && !self.{field}.endsWith('/') && "
            f"!self.{field}.endsWith('.') && !self.{field}.contains('.lock'))",
            f"{field} is a branch, a tag or a whole commit id, as git check-ref-format allows it",
            field,
        ),
    )


class RepositoryUse(Model):
    """The repository of a job."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *ref_rules("ref"),
        Rule(
            "self.push == 'None' || self.lock != 'None'",
            "repository.push needs a lock: without one its pushes cannot be fenced",
            "push",
        ),
    )
    name: str = Field(
        description="Name of a Repository in the same namespace.", min_length=1, max_length=63, pattern=DNS_SUBDOMAIN
    )
    ref: str | None = Field(
        default=None,
        description="Branch, tag or whole commit id to check out; unset: the repository's branch.",
        min_length=1,
        max_length=250,
        pattern=REF,
    )
    lock: JobLock = Field(default=JobLock.EXCLUSIVE, description="Exclusive, Shared, or None for no lock.")
    push: Push = Field(
        default=Push.NONE,
        description="None: its pushes are refused. Mirror: they stay in the mirror, which Pods cannot push to. "
        "Upstream: the branch is published when the command has succeeded. At most what the Repository allows.",
    )


class RepositoryUsed(Model):
    """What is recorded of the newest attempt."""

    commit: str = Field(default="", description="Commit that was checked out.", max_length=64, pattern=COMMIT)
    batch: str = Field(default="", description="JobBatch whose preparation it waits for or uses.", max_length=253)
    published: str = Field(default="", description="Commit that was published upstream.", max_length=64, pattern=COMMIT)
