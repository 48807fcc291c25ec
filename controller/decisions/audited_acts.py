"""What the audit journal says of an action: that it was done, or what it failed with (requirement 9.3)."""

from __future__ import annotations

from controller.api.batchjob import BatchJob
from controller.api.snapshot import Snapshot
from controller.decisions.audit_line import Category, Line
from controller.decisions.plan import Action, Fence, Launch, Release, Stop, Supervise, Void
from controller.errors import HoldfastError

URGENT = (Launch, Stop, Void)


def acted(job: BatchJob, action: Action, error: HoldfastError | None = None) -> Line:
    """An action for a job.

    Args:
        error: what it failed with, None where it was done.
    """
    meta, newest = job.metadata, job.status.attempt
    number = getattr(action, "number", None)
    return Line(
        Category.RECOVERY if isinstance(action, Supervise) else Category.JOB,
        type(action).__name__,
        job.names.kind,
        meta.namespace,
        meta.name,
        meta.uid,
        attempt=number,
        new="Failed" if error is not None else "Done",
        reason=error.reason if error is not None else _reason(action),
        message=error.message if error is not None else _message(action),
        token=newest.lock_token if newest is not None and newest.number == number else None,
        urgent=isinstance(action, URGENT),
    )


def acted_on_orphan(attempt: str, action: Action, owner: str) -> Line:
    """An action for a run directory whose job is gone, or whose record is over.

    Args:
        attempt: `<job uid>.<number>`.
        owner: what is known of its BatchJob.
    """
    uid, _, number = attempt.rpartition(".")
    return Line(
        Category.ORPHAN,
        type(action).__name__,
        "Attempt",
        "",
        attempt,
        uid,
        attempt=int(number) if number.isdecimal() else None,
        new="Done",
        reason=_reason(action) or f"Owner{owner}",
        message=_message(action),
        urgent=isinstance(action, URGENT),
    )


def taken_up(job: BatchJob, evidence: str) -> Line:
    """A controller looks for the first time at an attempt that an earlier one began.

    Args:
        evidence: what was found of it.
    """
    meta, attempt = job.metadata, job.status.attempt
    number = attempt.number if attempt is not None else None
    return Line(
        Category.RECOVERY,
        "TakenUp",
        job.names.kind,
        meta.namespace,
        meta.name,
        meta.uid,
        attempt=number,
        message=f"an earlier controller began it; found {evidence}",
        token=attempt.lock_token if attempt is not None else None,
    )


def removed(sort: str, name: str, proof: str) -> Line:
    """Something that nobody uses was removed.

    Args:
        proof: why it belongs to nobody.
    """
    return Line(Category.ORPHAN, "Removed", "Orphan", "", name, reason=sort, message=proof)


def archive_removed(snapshot: Snapshot, reason: str) -> Line:
    """Retention removed a Snapshot with its archive.

    Args:
        reason: TooOld or TooMany.
    """
    meta, text = snapshot.metadata, snapshot.status.location
    kind = snapshot.names.kind
    return Line(Category.SNAPSHOT, "Removed", kind, meta.namespace, meta.name, meta.uid, reason=reason, message=text)


def restore_began(archive: str, message: str) -> Line:
    """`holdfast restore` is about to write its first object; killed before its end, no other line follows.

    Args:
        archive: its id.
        message: where it is from, and what is in it.
    """
    return Line(Category.SNAPSHOT, "RestoreBegan", "Archive", "", archive, message=message)


def restore_ended(archive: str, failed: str, message: str) -> Line:
    """It is over.

    Args:
        failed: why not all of it was restored, in CamelCase; "" where all of it was.
        message: counts, or the error.
    """
    new = "Failed" if failed else "Done"
    return Line(Category.SNAPSHOT, "RestoreEnded", "Archive", "", archive, new=new, reason=failed, message=message)


def recovered(report: str, result: str, counts: str) -> Line:
    """A start has recovered everything, or not: for the first time, or healed later.

    Args:
        report: name of the RecoveryReport.
        counts: what was found and done, `2 reattached, 1 lost`.
    """
    return Line(Category.RECOVERY, "Recovery", "RecoveryReport", "", report, new=result, message=counts)


def _reason(action: Action) -> str:
    return action.reason if isinstance(action, Stop) else ""


def _message(action: Action) -> str:
    match action:
        case Stop(grace_seconds=grace):
            return f"grace {grace:g} s"
        case Void(message=message) | Fence(message=message):
            return message
        case Release(keep_record=kept):
            return "record and output are kept" if kept else "removed"
    return ""
