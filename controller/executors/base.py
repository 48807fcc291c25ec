"""The protocol between reconcilers and executors: observe, launch, stop, void, release.

One contract test suite (`tests/contract/`) holds for every executor. All methods are idempotent by attempt id:
doing one twice does it once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from controller.decisions.observed import Observation

if TYPE_CHECKING:  # pydantic, which the command line must not wait for
    from controller.api.environment import EnvFrom, EnvVar
    from controller.api.pod_use import PodUse

NOT_KEPT = "OutputNotKept"  # reason of the error of a `release` that could not bring the output to where it is kept


@dataclass(frozen=True, slots=True)
class AttemptId:
    """Names one attempt for ever: numbers of a job's attempts are never reused."""

    job_uid: str
    number: int

    def __str__(self) -> str:
        return f"{self.job_uid}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> AttemptId:
        """Inverse of str(); raises ValueError where `text` is not `<uid>.<number>`."""
        uid, _, number = text.rpartition(".")
        if not uid or not number.isdigit():
            raise ValueError(f"not an attempt id: {text!r}")
        return cls(uid, int(number))


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one attempt; None means none.

    Args:
        memory_bytes: resident memory of all its processes together, sampled.
        open_files: RLIMIT_NOFILE.
        output_bytes: size of the output file at which the attempt ends with OutputLimit.
        deadline_seconds: run time at which it is stopped with DeadlineExceeded, counted by CLOCK_BOOTTIME.
        grace_seconds: between TERM and KILL.
        cpu: cores; becomes the nice-free cpu.max where a cgroup is delegated, otherwise not enforced.
    """

    memory_bytes: int | None = None
    cpu: float | None = None
    open_files: int | None = None
    output_bytes: int = 1024**3
    deadline_seconds: float | None = None
    grace_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class PodSetup:
    """What runs in an attempt's Pod beside the command, before it or after it, on what that works in.

    Args:
        image, argv: of its container.
        mount_path: of the directory that it shares with the command.
        secret: name of the Secret with its credentials, "" where it needs none.
        secret_env: names of variables -> key in that Secret, and whether it may be missing.
    """

    image: str
    argv: Sequence[str]
    mount_path: str
    secret: str = ""
    secret_env: Mapping[str, tuple[str, bool]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodClaim:
    """What keeps workspace and checkpoints of an attempt beyond its Pod.

    Args:
        name: of the PersistentVolumeClaim.
        path: directory in its volume; attempts that go on in each other's work have the same.
    """

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class PodRequest:
    """What an attempt that runs as a Pod needs besides: Kubernetes resolves the environment, by reference.

    Args:
        use: spec.pod.
        env, env_from: spec.env and spec.envFrom.
        labels: of the BatchJob that its batch/v1 Job gets too, for outside queues.
        setup: None where nothing has to be made first.
        publish: runs once the command has succeeded, in the same Pod; None where nothing does.
        claim: None where nothing is kept beyond the Pod.
    """

    use: PodUse
    env: Sequence[EnvVar] = ()
    env_from: Sequence[EnvFrom] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    setup: PodSetup | None = None
    publish: PodSetup | None = None
    claim: PodClaim | None = None


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """All that an executor needs to run one attempt.

    Args:
        namespace, job: of the BatchJob, for the environment and for people who look at a run directory.
        argv: at least one element.
        env: the spec's plain variables, in order; they win over the base environment.
        secret_env: values from Secrets; handed to the supervisor over its stdin and never written anywhere.
        working_dir: absolute path, or None for a fresh directory private to the attempt.
        annotations: opaque to the executor, kept with the attempt durably before the launch and given back by
            `annotations()`: what a wiped status is rebuilt from (requirement 1.3).
        pod: for the Pod executor, which takes the environment from there; None for the others.
    """

    attempt: AttemptId
    namespace: str
    job: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str | None = None
    limits: Limits = field(default_factory=Limits)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pod: PodRequest | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processes of an attempt take now; memory with shared pages divided among their users (PSS)."""

    processes: int = 0
    memory_bytes: int = 0


class Executor(Protocol):
    """Runs attempts. Reads never change anything; effects raise the errors of `controller.errors`."""

    async def observe(self, attempt: AttemptId) -> Observation:
        """Look at one attempt. A read that fails is UNKNOWN with a message, never an exception and never GONE."""

    async def annotations(self, attempt: AttemptId) -> Mapping[str, str] | None:
        """What the attempt's LaunchSpec carried; None where there is no (readable) record of it."""

    async def launch(self, spec: LaunchSpec) -> None:
        """Start the attempt unless it was started, voided or ended before.

        Raises:
            Terminal: it can never start (for example arguments over the kernel's limit).
            Transient: it may start when tried again (fork failed, disk full).
        """

    async def stop(self, attempt: AttemptId, reason: str, grace_seconds: float) -> None:
        """Begin to stop the whole tree: TERM, grace, KILL; returns at once. `reason` ends up in ExitRecord.reason."""

    async def void(self, attempt: AttemptId, message: str) -> bool:
        """Make sure that an attempt that is not proved started never starts; False where it may have started."""

    async def fence(self, attempt: AttemptId, message: str) -> None:
        """Keep an attempt that runs from publishing by itself what it pushes: its lock is not its own any more.

        Nothing to do where it does not publish by itself, or does so already.
        """

    async def ensure_supervised(self, attempt: AttemptId) -> bool:
        """Take up the supervision of an attempt whose supervisor is dead or stands still; True: one was started."""

    async def release(self, attempt: AttemptId, keep_record: bool) -> None:
        """Remove what is left of an ended attempt; `keep_record` keeps attempt.json, exit.json and the output."""

    def subscribe(self, wake: Callable[[AttemptId], None]) -> None:
        """`wake` is called in the event loop's thread when something about an attempt may have changed."""

    async def list_attempts(self) -> list[AttemptId]:
        """All attempts with a trace in this executor; raises Transient where the state directory cannot be read."""

    async def unreleased(self) -> list[AttemptId]:
        """Attempts of which more than the record and the output is there: they run, or nobody finished `release`."""

    async def foreign_entries(self) -> list[str]:
        """Names of what lies beside the attempts and is nothing of ours; raises Transient."""

    async def quarantine(self, name: str, asked: str = "") -> str | None:
        """Set a damaged attempt or a foreign entry aside unless something of it may be alive; why, None: it stays.

        Args:
            asked: a person's reason to set aside what is not damaged, but of which nothing is proved.
        """

    async def usage(self, attempt: AttemptId) -> Usage:
        """What its live processes take, besides recorder and supervisor; raises Transient."""

    async def disk_bytes(self, attempt: AttemptId) -> int:
        """What its record, output and working files take."""

    def place(self, name: str) -> str:
        """Where an attempt or a foreign entry is kept, for people."""

    async def clean_leftovers(self, older_than_seconds: float = 600) -> list[str]:
        """Remove what a crash left of half-made and half-removed attempts; returns the names. Raises Transient."""
