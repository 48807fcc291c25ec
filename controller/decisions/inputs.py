"""What a decision about a job is given besides the job itself: the host, and what was observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from controller.api.callback_use import DeliveryState
from controller.decisions.observed import Observation
from controller.errors import HoldfastError


@dataclass(frozen=True, slots=True)
class Host:
    """The host that this controller runs attempts on.

    Args:
        state_id: identity of its state directory.
        name: host name, for people.
        running_delay: seconds after which a live attempt is recorded as Running.
        start_timeout: seconds after which an attempt that did not start is voided.
        executors: names of the executors that are enabled.
        default_executor: the one of them that is taken where a job names none.
        workspace_image: image that makes the workspaces of Pods, "" where there is none.
    """

    state_id: str
    name: str
    running_delay: float = 0.2
    start_timeout: float = 120.0
    executors: frozenset[str] = frozenset({"Process"})
    default_executor: str = "Process"
    workspace_image: str = ""


class LeftState(StrEnum):
    """What is proved about what a lost attempt left; UNKNOWN: it could not be looked at."""

    THERE = "There"
    GONE = "Gone"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Left:
    """Workspace and checkpoints of a lost attempt that another one goes on in; `message`: what is not there, or why."""

    state: LeftState
    message: str = ""


class StepState(StrEnum):
    """How far an operation for a job is; ABSENT: it was not begun, or what it did is proved to be undone."""

    ABSENT = "Absent"
    WORKING = "Working"
    DONE = "Done"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """An operation that belongs to an attempt of a job: making its workspace, publishing what it pushed.

    Args:
        reason: of its end in CamelCase, or "".
        message: of its end, or why nothing is known of it.
        final: repeating it cannot help.
        commit: that it checked out or published, or "".
        pause: seconds until it may be begun again, where waiting can mend why it failed.
    """

    state: StepState
    reason: str = ""
    message: str = ""
    final: bool = False
    commit: str = ""
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class RepositoryView:
    """What a job with a repository needs besides a slot.

    Args:
        needs_lock: a lock has to be recorded for it before it is admitted.
        token: fencing token of the lock that is recorded for its next or active attempt, None without one.
        holds: the lock is recorded for its active attempt; None: there is no record to look at.
        batch: JobBatch whose preparation it needs, or "".
        workspace: of the active attempt.
        publication: of the active attempt; None: nothing is published for this job.
        commit: what its ref stands for now, for a workspace that is made in a Pod; None: made on this host.
        not_ready: why nothing can be published now, "" where it can.
    """

    needs_lock: bool = False
    token: int | None = None
    holds: bool | None = True
    batch: str = ""
    workspace: Step = Step(StepState.ABSENT)
    publication: Step | None = None
    commit: str | None = None
    not_ready: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """All that was read for one decision about a job.

    Args:
        attempt: the newest attempt, where there is one that is not proved over (or one known only from disk).
        known: numbers of this job's attempts found in run directories; None: they could not be read.
        annotations: what the newest known attempt carried, to rebuild a wiped status.
        starting_for: seconds (monotonic) since this controller first saw the attempt Starting.
        sequence: place in creation order, None while it is not known yet.
        granted: the scheduling cycle gave this job a slot.
        blocked: why it cannot start now: (reason, message), or None.
        position: 0-based position in its queue, None where it does not wait.
        look_again: seconds until it is worth asking whether it still waits, where its wait is not worth a record yet.
        eta: seconds until it starts, None where nothing starts.
        evict: why the attempt has to stop for the sake of the others (OutputLimit: the disk is filling), or "".
        error: what the last action for this job failed with.
        repository: what it needs of its repository, None for a job without one.
        deliveries: how pending deliveries ended, by id.
        delivered_at: when the last delivery ended, None where none did.
        taken_up: the newest attempt was admitted before this controller started.
        output: where the newest attempt's output is, as `host:path`.
        left: of the attempt that the next or the active one resumes; None: nothing to look at, or nobody can look.
    """

    attempt: Observation | None = None
    known: tuple[int, ...] | None = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    starting_for: float = 0.0
    sequence: int | None = None
    granted: bool = False
    blocked: tuple[str, str] | None = None
    position: int | None = None
    look_again: float | None = None
    eta: float | None = None
    evict: str = ""
    error: HoldfastError | None = None
    repository: RepositoryView | None = None
    deliveries: Mapping[str, DeliveryState] = field(default_factory=dict)
    delivered_at: datetime | None = None
    taken_up: bool = False
    output: str = ""
    left: Left | None = None
