"""BatchJob: a command to run, once for sure, and what became of it (requirements 1, 2, 3).

What a user declares is here; what Holdfast records is in `batchjob_status`. The CEL rules and printer columns stand
beside the model they speak of; `crd` turns all of it into `crds/batchjobs.yaml`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from controller.api.batchjob_status import BatchJobStatus
from controller.api.callback_use import MAX_CALLBACKS, CallbackUse
from controller.api.crd import Column, Rule
from controller.api.environment import EnvFrom, EnvVar
from controller.api.kind import Kind
from controller.api.model import Model
from controller.api.names import Names
from controller.api.pod_use import PodUse
from controller.api.repository_use import RepositoryUse
from controller.api.text import DNS_SUBDOMAIN, Argument
from controller.api.units import Duration, Quantity


class ExecutorName(StrEnum):
    PROCESS = "Process"
    POD = "Pod"


class OnLost(StrEnum):
    RESUME = "Resume"
    RESTART = "Restart"
    FAIL = "Fail"
    MANUAL = "Manual"


class DecisionAction(StrEnum):
    RESUME = "Resume"
    RESTART = "Restart"
    FAIL = "Fail"
    CLEANUP = "Cleanup"


def _at_least(field: str, quantity: str) -> Rule:
    """int-or-string: a number counts bytes (or cores), a string is a quantity."""
    return Rule(
        f"!has(self.{field}) || quantity(string(self.{field})).compareTo(quantity('{quantity}')) >= 0",
        f"limits.{field} is at least {quantity}",
        field,
    )


class JobLimits(Model):
    """What one attempt may use."""

    rules: ClassVar[tuple[Rule, ...]] = (
        _at_least("memory", "1Mi"),
        _at_least("cpu", "10m"),
        _at_least("outputBytes", "1Ki"),
    )
    memory: Quantity | None = Field(
        default=None, description="Resident memory of all its processes together; above it the attempt is stopped."
    )
    cpu: Quantity | None = Field(
        default=None, description="Cores; enforced where a cgroup with the cpu controller is delegated to Holdfast."
    )
    open_files: int | None = Field(default=None, description="Open files per process.", ge=16, le=1048576)
    output_bytes: Quantity = Field(
        default="1Gi", description="Size of the output at which the attempt ends with OutputLimit."
    )


class Retry(Model):
    """What happens when an attempt fails."""

    limit: int = Field(default=0, description="How many times a failed attempt is repeated.", ge=0, le=100)
    backoff: Duration = Field(default="10s", description="Wait before the first repeat; doubled for each further one.")
    max_backoff: Duration = Field(default="10m", description="Upper bound of the wait.")


class Decision(Model):
    """A person's answer to NeedsDecision, tied to the attempt that it answers for (numbers are never reused)."""

    attempt: int = Field(description="Number of the attempt that was lost.", ge=1)
    action: DecisionAction = Field(
        description="Resume: one more attempt, which goes on in the workspace and with the checkpoints of this one. "
        "Restart: one more attempt, in a clean workspace. Fail: the job ends as Failed. Cleanup: the same, and its "
        "workspace and checkpoints are removed at once."
    )


class BatchJobSpec(Model):
    """What a user declares."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)",
            "spec.cancel cannot be unset",
            "cancel",
            "FieldValueForbidden",
        ),
        Rule(
            "!has(self.executor) || self.executor != 'Pod' || has(self.pod)",
            "spec.pod.image is required for the executor Pod",
            "pod",
            "FieldValueRequired",
        ),
        Rule("self.command[0] != ''", "spec.command[0] names the program, it cannot be empty", "command"),
        Rule(
            "!has(self.resumeCommand) || self.resumeCommand[0] != ''",
            "spec.resumeCommand[0] names the program, it cannot be empty",
            "resumeCommand",
        ),
        Rule(
            "!has(self.resumeCommand) || (has(self.onLost) && self.onLost in ['Resume', 'Manual'])",
            "spec.resumeCommand is what a resumed attempt runs: set spec.onLost to Resume or Manual, or leave it out",
            "resumeCommand",
        ),
        *(
            Rule(
                f"!has(self.{field}) || duration(self.{field}) > duration('0s')",
                f"spec.{field} is more than 0s; leave it out for none",
                field,
            )
            for field in ("deadline", "activeDeadline")
        ),
    )
    command: tuple[Argument, ...] = Field(
        description="Program and its first arguments, executed as they are, without a shell.",
        min_length=1,
        max_length=256,
    )
    args: tuple[Argument, ...] = Field(default=(), description="Further arguments.", max_length=1024)
    resume_command: tuple[Argument, ...] | None = Field(
        default=None,
        description="What an attempt runs that resumes a lost one, instead of command and args; unset: those again. "
        "HOLDFAST_RESUMED_FROM tells such an attempt from others. Read when it is launched.",
        min_length=1,
        max_length=1280,
    )
    env: tuple[EnvVar, ...] = Field(
        default=(),
        description="Environment variables.",
        max_length=256,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    env_from: tuple[EnvFrom, ...] = Field(
        default=(),
        description="Objects whose keys become variables; later ones win, `env` wins over all.",
        max_length=32,
    )
    working_dir: str | None = Field(
        default=None,
        description="Absolute path of the directory to run in; unset: an empty one that is private to the attempt.",
        max_length=4096,
        pattern=r"^/[^\x00]*$",
    )
    queue: str = Field(
        default="default",
        description="Name of a JobQueue in the same namespace.",
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
    )
    priority: int = Field(default=0, description="Higher ones start first.", ge=-1000000, le=1000000)
    executor: ExecutorName | None = Field(
        default=None,
        description="Where attempts run: Process, on the host of the controller, or Pod. Which are enabled, and which "
        "is taken where this is unset, are settings of the controller.",
    )
    pod: PodUse | None = Field(default=None, description="The Pod of an attempt, for the executor Pod.")
    repository: RepositoryUse | None = Field(
        default=None, description="Repository that the job works on, in a checkout of its own."
    )
    limits: JobLimits = Field(default_factory=JobLimits, description="What one attempt may use.")
    deadline: Duration | None = Field(
        default=None, description="Run time of one attempt, after which it is stopped and counts as failed."
    )
    active_deadline: Duration | None = Field(
        default=None,
        description="Time from creation after which the job as a whole is stopped and fails, queued or running.",
    )
    grace_period: Duration = Field(default="30s", description="Time between TERM and KILL when an attempt is stopped.")
    retry: Retry = Field(default_factory=Retry, description="What happens when an attempt fails.")
    on_lost: OnLost = Field(
        default=OnLost.RESTART,
        description="What follows a lost attempt (reboot, killed with its supervisor). Resume: an attempt that goes on "
        "in the same workspace and with the same HOLDFAST_CHECKPOINT_DIR. Restart: one in a clean workspace. Fail: "
        "the job ends. Manual: it waits for spec.decision, which may be Resume.",
    )
    loss_limit: int = Field(default=3, description="How many lost attempts are followed by another one.", ge=0, le=100)
    suspend: bool = Field(
        default=False, description="Hold the job back; a running attempt is stopped and ends as Suspended."
    )
    cancel: bool = Field(default=False, description="End the job for good; cannot be unset.")
    decision: Decision | None = Field(default=None, description="A person's answer to the condition NeedsDecision.")
    callbacks: tuple[CallbackUse, ...] = Field(
        default=(),
        description="Who is told of the job by HTTP.",
        max_length=MAX_CALLBACKS,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    ttl_after_finished: Duration | None = Field(
        default=None,
        description="The object is deleted this long after its end and that of its last delivery; unset: kept.",
    )


IMMUTABLE_ONCE_STARTED = ("command", "args", "queue", "repository", "executor", "workingDir", "pod")


class BatchJob(Kind):
    """A job that is never lost, never started twice, and never without its exit code and output."""

    names: ClassVar[Names] = Names("BatchJob", short=("bj",))
    rules: ClassVar[tuple[Rule, ...]] = (
        *(
            Rule(
                "!has(oldSelf.status) || !has(oldSelf.status.attempt) || "
                f"(has(self.spec.{field}) == has(oldSelf.spec.{field}) && "
                f"(!has(self.spec.{field}) || self.spec.{field} == oldSelf.spec.{field}))",
                f"spec.{field} is immutable once the job has started; make a new BatchJob (holdfast rerun)",
                f"spec.{field}",
                "FieldValueForbidden",
            )
            for field in IMMUTABLE_ONCE_STARTED
        ),
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Phase", "string", ".status.phase"),
        Column("Queue", "string", ".spec.queue"),
        Column("Position", "integer", ".status.queuePosition"),
        Column("Attempt", "integer", ".status.attempt.number"),
        Column("Exit", "integer", ".status.attempt.exitCode"),
        Column("Reason", "string", ".status.reason"),
        Column("Age", "date", ".metadata.creationTimestamp"),
        # Not a date: kubectl prints those that are still to come as <invalid>.
        Column("ETA", "string", ".status.estimatedStartTime", priority=1),
        Column("Started", "date", ".status.attempt.startedAt", priority=1),
        Column("Output", "integer", ".status.output.bytes", priority=1),
    )
    spec: BatchJobSpec = Field(description="What a user declares.")
    status: BatchJobStatus = Field(default_factory=BatchJobStatus, description="What Holdfast recorded.")
