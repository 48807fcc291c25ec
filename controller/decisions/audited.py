"""What the audit journal says of a status that was recorded in the place of another: pure, for all kinds (9.3).

A kind without a row of its own is told by `status.phase`, where it has one. What is a projection or a count (the head
of a queue, who waits) is nobody's decision and is not told.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Attempt, AttemptState, BatchJobStatus, Phase
from controller.api.callback import Callback, CallbackStatus
from controller.api.conditions import find, is_true
from controller.api.jobbatch import JobBatch, JobBatchStatus
from controller.api.jobqueue import JobQueue, JobQueueStatus
from controller.api.kind import Kind
from controller.api.model import Model
from controller.api.repository import Repository, RepositoryStatus
from controller.api.repositorylock import RepositoryLock, RepositoryLockStatus
from controller.api.snapshot import Snapshot, SnapshotPhase, SnapshotStatus
from controller.decisions.audit_line import Category, Line
from controller.decisions.audited_locks import NameOf, claim_lines, grant_lines
from controller.decisions.status import finished

# Kinds that others bring; their own `status.phase` is what is told of them.
CATEGORIES = {"RecoveryReport": Category.RECOVERY}


def recorded(old: Kind, status: Model, job_name: NameOf) -> tuple[Line, ...]:
    """What to tell of `status`, which was recorded for `old`.

    Args:
        old: the object as it was read, with the status before.
        job_name: for holders of locks, which are recorded by uid.
    """
    match old, status:
        case BatchJob(), BatchJobStatus():
            return tuple(_job(old, status))
        case Repository(), RepositoryStatus():
            return (*_repository(old, status), *grant_lines(old, status, job_name))
        case RepositoryLock(), RepositoryLockStatus():
            return claim_lines(old, status)
        case JobBatch(), JobBatchStatus():
            return tuple(_batch(old, status))
        case Callback(), CallbackStatus():
            return tuple(_callback(old, status))
        case JobQueue(), JobQueueStatus():
            return tuple(_queue(old, status))
        case Snapshot(), SnapshotStatus():
            return tuple(_snapshot(old, status))
    return tuple(_any(old, status))


def line(about: Kind, category: Category, event: str = "Recorded", **rest: object) -> Line:
    """A line about an object."""
    meta = about.metadata
    return Line(category, event, about.names.kind, meta.namespace, meta.name, meta.uid, **rest)  # type: ignore[arg-type]


# --- jobs


def _job(job: BatchJob, new: BatchJobStatus) -> Iterator[Line]:
    old = job.status
    yield from _asked(job, new)
    over = _attempt_over(old.attempt, new.attempt)
    same_end = over is not None and new.phase is not None and new.phase.value == over.state.value
    if over is not None and not same_end:  # what follows for the job is another line
        yield _attempt_line(job, old, over)
    if new.phase is not old.phase:
        yield _phase_line(job, new, over if same_end else None)
    elif new.reason != old.reason and new.phase is not None:
        yield line(job, Category.QUEUE, old=old.reason, new=new.reason, reason=new.reason, message=_why(new))


def _attempt_over(old: Attempt | None, new: Attempt | None) -> Attempt | None:
    if new is None or not new.state.over:
        return None
    known = old is not None and old.number == new.number and old.state.over
    return None if known else new


def _attempt_line(job: BatchJob, old: BatchJobStatus, attempt: Attempt) -> Line:
    before = old.attempt.state.value if old.attempt is not None and old.attempt.number == attempt.number else ""
    lost = attempt.state is AttemptState.LOST
    return line(
        job,
        Category.RECOVERY if lost else Category.JOB,
        "AttemptOver",
        attempt=attempt.number,
        old=before,
        new=attempt.state.value,
        reason=attempt.reason,
        message=attempt.message,
        token=attempt.lock_token,
        urgent=True,
    )


def _phase_line(job: BatchJob, new: BatchJobStatus, over: Attempt | None) -> Line:
    queued = new.phase in (Phase.QUEUED, Phase.SUSPENDED)
    attempt = new.attempt if not queued or new.phase is Phase.SUSPENDED else None
    reason = over.reason if over is not None else new.reason
    starts = new.phase is Phase.STARTING
    return line(
        job,
        Category.QUEUE if queued else Category.JOB,
        attempt=attempt.number if attempt is not None else None,
        old=job.status.phase.value if job.status.phase is not None else "",
        new=new.phase.value if new.phase is not None else "",
        reason="Admitted" if starts else reason,
        message=over.message if over is not None else _why(new) if queued or finished(new) else "",
        token=attempt.lock_token if attempt is not None else None,
        urgent=starts or over is not None or finished(new) or new.phase is Phase.RUNNING,
    )


def _asked(job: BatchJob, new: BatchJobStatus) -> Iterator[Line]:
    """A person is asked, has answered, or need not answer any more."""
    old, number = job.status, new.attempt.number if new.attempt is not None else None
    before, after = is_true(old.conditions, "NeedsDecision"), is_true(new.conditions, "NeedsDecision")
    condition = find(new.conditions, "NeedsDecision")
    reason, message = (condition.reason, condition.message) if condition is not None else ("", "")
    if after and not before:
        yield line(job, Category.DECISION, "NeedsDecision", attempt=number, reason=reason, message=message)
    if new.decided > old.decided and job.spec.decision is not None:
        action = job.spec.decision.action.value
        yield line(job, Category.DECISION, "Decided", attempt=new.decided, new=action, reason="SpecDecision")
    elif before and not after:
        yield line(job, Category.DECISION, "DecisionNotNeeded", attempt=number, reason=reason, message=message)


def _why(status: BatchJobStatus) -> str:
    """The message of the condition that explains the phase."""
    names = ("Complete", "Failed") if finished(status) else ("Admitted",)
    found = [c for name in names if (c := find(status.conditions, name)) is not None and c.status != "Unknown"]
    return found[-1].message if found else ""


# --- the others


def _repository(repository: Repository, new: RepositoryStatus) -> Iterator[Line]:
    before, after = repository.status.operation, new.operation
    if after is not None and (before is None or (before.number, before.state) != (after.number, after.state)):
        same = before is not None and before.number == after.number
        yield line(
            repository,
            Category.REPOSITORY,
            after.type.value,
            attempt=after.number,
            old=before.state.value if before is not None and same else "",
            new=after.state.value,
            reason=after.reason,
            message=after.message,
        )
    if new.phase is not repository.status.phase:
        phases = {"old": _value(repository.status.phase), "new": _value(new.phase)}
        yield line(repository, Category.REPOSITORY, **phases)


def _batch(batch: JobBatch, new: JobBatchStatus) -> Iterator[Line]:
    old = batch.status
    if (new.phase, new.number) != (old.phase, old.number):
        yield line(
            batch,
            Category.BATCH,
            attempt=new.number or None,
            old=_value(old.phase),
            new=_value(new.phase),
            reason=new.reason,
            message=new.message,
        )


def _callback(callback: Callback, new: CallbackStatus) -> Iterator[Line]:
    old, last = callback.status, new.last_attempt
    tried = last is not None and new.attempts > old.attempts
    if not tried and new.phase is old.phase:
        return
    yield line(
        callback,
        Category.CALLBACK,
        "Tried" if tried else "Recorded",
        job=callback.spec.job.name,
        attempt=new.attempts if tried else None,
        old=_value(old.phase),
        new=_value(new.phase),
        reason=last.reason if last is not None and tried else "",
        message=last.message if last is not None and tried else "",
    )


def _queue(queue: JobQueue, new: JobQueueStatus) -> Iterator[Line]:
    before, after = is_true(queue.status.conditions, "Paused"), is_true(new.conditions, "Paused")
    if before != after:
        yield line(queue, Category.QUEUE, "Paused" if after else "Resumed", reason="SpecPaused")


def _snapshot(snapshot: Snapshot, new: SnapshotStatus) -> Iterator[Line]:
    if new.phase is snapshot.status.phase:
        return
    phases = {"old": _value(snapshot.status.phase), "new": _value(new.phase)}
    text = f"{new.total} objects, {new.bytes} bytes in {new.location}" if new.phase is SnapshotPhase.COMPLETE else ""
    message = text or new.message or new.location
    yield line(snapshot, Category.SNAPSHOT, attempt=new.tries or None, message=message, **phases)


def _any(old: Kind, new: Model) -> Iterator[Line]:
    before, after = _value(getattr(old.status, "phase", None)), _value(getattr(new, "phase", None))
    if before != after:
        reason, message = str(getattr(new, "reason", "")), str(getattr(new, "message", ""))
        category = CATEGORIES.get(old.names.kind, Category.CONTROLLER)
        yield line(old, category, old=before, new=after, reason=reason, message=message)


def _value(phase: object) -> str:
    return str(getattr(phase, "value", phase or ""))
