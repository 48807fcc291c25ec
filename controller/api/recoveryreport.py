"""RecoveryReport: what one start of a controller found and did (requirement 7.1).

Written by the controller only, and read by people: nothing is decided from it but that an earlier one is still open.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from controller.api.conditions import Condition, Ours
from controller.api.crd import Column
from controller.api.kind import Kind
from controller.api.model import Model, Time
from controller.api.names import Names

NAMES_LENGTH = 20  # names of each outcome that are listed
ACTIONS_LENGTH = 20
NameText = Annotated[str, Field(max_length=1024)]


class RecoveryResult(StrEnum):
    RUNNING = "Running"
    COMPLETE = "Complete"
    DEGRADED = "Degraded"
    ABORTED = "Aborted"


class PhaseState(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    DONE = "Done"
    DEGRADED = "Degraded"
    FAILED = "Failed"


class RecoveryReportSpec(Model):
    """Which start it speaks of."""

    state_id: str = Field(description="Id of the state directory that the controller works on.", max_length=64)
    start_id: str = Field(description="Id of this start, never used again.", max_length=64)


class PreviousStop(Model):
    """How the controller before this one ended, as the state directory tells."""

    clean: bool = Field(description="Whether it was stopped by SIGTERM and had time to finish what was in work.")
    at: Time | None = Field(
        default=None, description="When it stopped; of one that was killed: its last sign of life. Unset: never ran."
    )
    seconds_ago: int = Field(default=0, description="How long before this start that was.", ge=0)
    rebooted: bool = Field(default=False, description="Whether the machine was started anew since.")


class PhaseReport(Model):
    """One phase of the recovery."""

    name: str = Field(description="Name of the phase.", max_length=32)
    state: PhaseState = Field(
        description="Pending, Running, Done, Degraded (done, but something that it builds on is not) or Failed."
    )
    milliseconds: int = Field(default=0, description="How long it took, or takes so far.", ge=0)
    objects: int = Field(default=0, description="How many objects and steps belong to it.", ge=0)
    errors: int = Field(default=0, description="How many of them could not be looked at yet.", ge=0)
    message: str = Field(default="", description="What is wrong with the first of them.", max_length=1024)


class OrphanCount(Model):
    """What was left over without an owner, of one sort."""

    kind: str = Field(description="Sort of the orphans.", max_length=64)
    count: int = Field(description="How many were found.", ge=0)


class RecoveryCounts(Model):
    """How many of each."""

    recovered: int = Field(default=0, description="Jobs that are back in their place, or whose end was recorded.", ge=0)
    reattached: int = Field(default=0, description="Running attempts that were proved to be the same and go on.", ge=0)
    resumed: int = Field(default=0, description="Lost attempts that are resumed.", ge=0)
    restarted: int = Field(default=0, description="Lost attempts that are begun anew.", ge=0)
    lost: int = Field(default=0, description="Attempts that did not survive.", ge=0)
    failed: int = Field(default=0, description="Jobs that ended as Failed because their attempt was lost.", ge=0)
    corrupt: int = Field(default=0, description="Objects and files that were set aside.", ge=0)
    orphaned: int = Field(default=0, description="Leftovers without an owner, all sorts together.", ge=0)
    needing_decision: int = Field(default=0, description="Jobs that wait for a person.", ge=0)
    restored: int = Field(
        default=0, description="Jobs that `holdfast restore` brought back suspended; a person lets them go on.", ge=0
    )
    orphans: tuple[OrphanCount, ...] = Field(
        default=(),
        description="Leftovers by sort.",
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind"]},
    )
    memory_reclaimed_bytes: int = Field(default=0, description="Memory that ended orphans had used.", ge=0)
    disk_reclaimed_bytes: int = Field(default=0, description="Disk space of removed orphans.", ge=0)


class NamedOutcome(Model):
    """Who is behind a count."""

    outcome: str = Field(description="Name of the count; orphans as orphaned:<sort>.", max_length=96)
    names: tuple[NameText, ...] = Field(
        description="The first twenty.", max_length=NAMES_LENGTH, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )


class RecommendedAction(Model):
    """Something that only a person can do."""

    reason: str = Field(description="Why, in CamelCase.", max_length=128)
    message: str = Field(description="What is wrong, and what the command does.", max_length=1024)
    command: str = Field(description="The exact command.", max_length=1024)


class RecoveryReportStatus(Model):
    """What Holdfast recorded."""

    result: RecoveryResult | None = Field(
        default=None, description="Running, Complete, Degraded (something failed) or Aborted (it was interrupted)."
    )
    controller_version: str = Field(default="", description="Version of the controller.", max_length=64)
    host: str = Field(default="", description="Name of the machine.", max_length=253)
    boot_id: str = Field(default="", description="Boot of the machine, as the kernel names it.", max_length=64)
    previous_stop: PreviousStop | None = Field(default=None, description="How the controller before ended.")
    started_at: Time | None = Field(default=None, description="When the process was started.")
    finished_at: Time | None = Field(default=None, description="When the last phase ended, or was given up.")
    duration: str = Field(
        default="", description="From the start of the process to the end of the last phase.", max_length=32
    )
    phases: tuple[PhaseReport, ...] = Field(
        default=(),
        description="Phases in their order.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    counts: RecoveryCounts = Field(default_factory=RecoveryCounts, description="How many of each.")
    names: tuple[NamedOutcome, ...] = Field(
        default=(),
        description="The first twenty of each.",
        max_length=48,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["outcome"]},
    )
    recommended_actions: tuple[RecommendedAction, ...] = Field(
        default=(),
        description="What only a person can do.",
        max_length=ACTIONS_LENGTH,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    conditions: Annotated[tuple[Condition, ...], Ours("Complete Degraded")] = Field(
        default=(),
        description="Complete, Degraded.",
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


class RecoveryReport(Kind):
    """What one start of a controller found and did."""

    names: ClassVar[Names] = Names("RecoveryReport", short=("rr",))
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Result", "string", ".status.result"),
        Column("Took", "string", ".status.duration"),
        Column("Recovered", "integer", ".status.counts.recovered"),
        Column("Reattached", "integer", ".status.counts.reattached"),
        Column("Lost", "integer", ".status.counts.lost"),
        Column("Orphans", "integer", ".status.counts.orphaned"),
        Column("Corrupt", "integer", ".status.counts.corrupt"),
        Column("Decisions", "integer", ".status.counts.needingDecision"),
        Column("Clean-Stop", "boolean", ".status.previousStop.clean"),
        Column("Host", "string", ".status.host", 1),
        Column("Version", "string", ".status.controllerVersion", 1),
        Column("Age", "date", ".metadata.creationTimestamp"),
    )
    spec: RecoveryReportSpec = Field(description="Which start it speaks of.")
    status: RecoveryReportStatus = Field(default_factory=RecoveryReportStatus, description="What Holdfast recorded.")
