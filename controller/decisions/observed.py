"""What a decision may be told about an attempt: evidence, never a guess.

The executors produce these values, decisions read them. "Not answering in time" is Unknown, never Gone (design 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Evidence(StrEnum):
    """What is proved about an attempt's process (design 5 and 6).

    ABSENT is the one value that proves nothing happened to be wrong: there is no run directory under this state
    directory, so nothing of this attempt was ever built here, or it was taken away by somebody else.
    """

    ALIVE = "Alive"  # its recorder holds recorder.lock or its identity matches a live process
    ENDED = "Ended"  # exit.json holds the exit record
    GONE = "Gone"  # same machine and: other boot, or the process is proved not to exist; no exit record
    NEVER_STARTED = "NeverStarted"  # exit.json says so: the command was and will never be executed
    LAUNCHING = "Launching"  # the directory is complete, the command has not begun yet, nothing is proved either way
    ABSENT = "Absent"  # no run directory (the state directory itself was readable)
    UNKNOWN = "Unknown"  # anything else: unreadable, other machine, other stateId, damaged files


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """How an attempt's command ended.

    Args:
        code: 0-255 as wait(2) gave it; 128+n where a shell reported signal n.
        signal: number of the signal that ended it, only where the supervisor reaped the command or a stop was
            journalled.
        reason: why it was stopped (DeadlineExceeded, Stopped, OutputLimit, MemoryLimit, OOMKilled), why it could not
            start (CommandNotFound, NotExecutable, BadWorkingDirectory, ArgumentListTooLong, ImagePull, StartFailed),
            what took its place away (see `outcome.DISRUPTIONS`), or "" where the command ended by itself.
        message: a sentence for a person, or "".
        finished_at: wall clock, timezone-aware UTC.
    """

    code: int | None
    signal: int | None
    reason: str
    message: str
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Publication:
    """What becomes of an attempt's push that its own executor publishes once the command has succeeded.

    Args:
        reason: "" while that is under way, or where nobody knows how it ended; Succeeded or CommitUnknown; else why
            not, in CamelCase.
        message: a sentence for a person, or "".
        commit: that the remote has now, "" where nothing new was pushed.
    """

    reason: str = ""
    message: str = ""
    commit: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the remote has everything that it was to get."""
        return self.reason in (PUBLISHED, COMMIT_UNKNOWN)


# Reasons of a Publication; the second: it did not begin; the third: it is done, but who knew the commit is gone.
PUBLISHED, NOT_PUBLISHED, COMMIT_UNKNOWN = "Succeeded", "NotPublished", "CommitUnknown"


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look at an attempt found.

    Args:
        evidence: see Evidence.
        exit: present exactly for ENDED and NEVER_STARTED.
        started_at: when the command was let go, None before.
        output_bytes: size of the output file.
        processes_left: processes of the attempt (besides recorder and supervisor) still found by a sweep; only looked
            for when evidence is ENDED, GONE or NEVER_STARTED. Slot, lock and workspace stay held while it is not 0.
        stop_requested: a stop was journalled by the supervisor.
        supervised: a supervisor holds `lock`.
        message: why evidence is UNKNOWN, what was damaged, or what a launch waits for, for a condition; else "".
        pending: what a launch waits for, in CamelCase (Unschedulable, ImagePull, QuotaExceeded, Suspended), or "".
        held: that is for others to end, however long it takes: the time limit of a start does not count.
        host: node that it runs on, "" where that is the controller's own host.
        executor: name of the executor that looked.
        fenced: its executor keeps it from publishing what it pushes.
        began: False: it is over, and its command is proved never to have been let go, whatever took its place away.
        publication: of an attempt whose executor publishes what it pushed, once the command has succeeded; else None.
    """

    evidence: Evidence
    exit: ExitRecord | None = None
    started_at: datetime | None = None
    output_bytes: int = 0
    processes_left: int = 0
    stop_requested: bool = False
    supervised: bool = False
    message: str = ""
    pending: str = ""
    held: bool = False
    host: str = ""
    executor: str = "Process"
    fenced: bool = False
    began: bool = True
    publication: Publication | None = None
