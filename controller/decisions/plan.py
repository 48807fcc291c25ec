"""What a decision answers: the status to record, then the actions that it entitles, then when to look again."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.api.batchjob_status import BatchJobStatus


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the attempt unless it was started, voided or ended before."""

    number: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the attempt's whole tree: TERM, `grace_seconds`, KILL. Also ends what an ended attempt left behind."""

    number: int
    reason: str
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Void:
    """Make sure that an attempt that is not proved started never starts."""

    number: int
    message: str


@dataclass(frozen=True, slots=True)
class Supervise:
    """Take up the supervision of a live attempt whose supervisor is dead."""

    number: int


@dataclass(frozen=True, slots=True)
class Release:
    """Remove the working files of an ended attempt; `keep_record` keeps its record and output."""

    number: int
    keep_record: bool


@dataclass(frozen=True, slots=True)
class MakeWorkspace:
    """Begin the operation that makes the checkout of an attempt; doing it twice makes it once."""

    number: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Begin the operation that publishes what an attempt pushed to the mirror."""

    number: int


@dataclass(frozen=True, slots=True)
class StopPublishing:
    """End that operation: the job is not wanted any more. What was pushed stays in the mirror."""

    number: int


@dataclass(frozen=True, slots=True)
class Fence:
    """Keep an attempt that its own executor publishes for from doing so: its lock was taken away or given on."""

    number: int
    message: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object: its time to live after the end is over."""


Action = Launch | Stop | Void | Supervise | Release | MakeWorkspace | Publish | StopPublishing | Fence | Delete


@dataclass(frozen=True, slots=True)
class Note:
    """One Event that tells the story of a job; sent after the status that it speaks of was recorded."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One decision.

    Args:
        status: what to record; equal to the recorded status where nothing changed.
        actions: done in this order, after `status` is recorded.
        wake_after: seconds until the next look, None where only a change of the world wakes.
        notes: Events to send after the record.
    """

    status: BatchJobStatus
    actions: tuple[Action, ...] = ()
    wake_after: float | None = None
    notes: tuple[Note, ...] = field(default=())
