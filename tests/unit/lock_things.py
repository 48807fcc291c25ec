"""What the modelled world of a lock is made of: processes, jobs, people, and what a crash takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from controller.api.batchjob_status import Attempt
from controller.api.repository_use import LockMode
from controller.decisions.lock import Claim
from controller.decisions.observed import Evidence, Observation


class Crash(Exception):
    """The controller died here; what it had in memory is gone."""


@dataclass
class Process:
    """One attempt and its run directory, which outlives it."""

    mode: LockMode
    token: int
    evidence: Evidence = Evidence.ALIVE
    silent: bool = False

    @property
    def found(self) -> Observation:
        return Observation(Evidence.UNKNOWN if self.silent else self.evidence)


@dataclass
class Job:
    name: str
    order: tuple[int, int, float, str]
    mode: LockMode
    attempt: Attempt | None = None
    force: str = ""
    deleted: bool = False
    done: bool = False


@dataclass
class Person:
    name: str
    order: tuple[int, int, float, str]
    mode: LockMode
    lease: float | None
    renewed: datetime | None = None
    force: str = ""
    deleted: bool = False
    token: int | None = None  # as its status says
    released: bool = False


@dataclass
class Memory:
    """What a crash takes."""

    granted: dict[str, Claim] = field(default_factory=dict)
    silent_since: dict[str, float] = field(default_factory=dict)
