"""Steps from one recorded status of a job to the next: each is one row of its life, none does I/O.

(none) ─> Queued ─> Starting ─> Running ─> Succeeded | Failed | Canceled
            ^          │  │        │
            └──────────┴──┴────────┤ retry, loss, suspend + resume: a new attempt, never an old one again
                                   └─> Waiting (a person decides), Suspended
"""

from __future__ import annotations

from datetime import datetime

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import HISTORY_LENGTH, Attempt, AttemptState, BatchJobStatus, Phase
from controller.api.conditions import ConditionStatus, is_true, with_condition
from controller.decisions.executors import outside_queue
from controller.decisions.observed import Observation

Row = tuple[str, ConditionStatus, str, str]  # type, status, reason, message of a condition

MAX_TEXT = 2048  # bound of attempt.message in the schema


def finished(status: BatchJobStatus) -> bool:
    """Whether the job has ended for good."""
    return is_true(status.conditions, "Finished")


def active(status: BatchJobStatus) -> Attempt | None:
    """The attempt that holds a slot, or a place in an outside queue: recorded and not proved over."""
    return status.attempt if status.attempt is not None and not status.attempt.state.over else None


def origin(attempt: Attempt) -> int:
    """Number of the attempt that began what this one works in; its workspace and checkpoints are named after it."""
    return attempt.origin or attempt.number


def mark(job: BatchJob, status: BatchJobStatus, now: datetime, *rows: Row) -> BatchJobStatus:
    """`status` with the conditions of `rows` (type, status, reason, message) set for the job's generation."""
    conditions = status.conditions
    for kind, value, reason, message in rows:
        conditions = with_condition(conditions, kind, value, reason, message, job.metadata.generation, now)
    return status.model_copy(update={"conditions": conditions, "observed_generation": job.metadata.generation})


def with_attempt(status: BatchJobStatus, **changes: object) -> BatchJobStatus:
    """`status` with fields of its attempt changed."""
    assert status.attempt is not None
    return status.model_copy(update={"attempt": status.attempt.model_copy(update=changes)})


def waiting(job: BatchJob, status: BatchJobStatus, now: datetime, reason: str, message: str) -> BatchJobStatus:
    """Queued: not admitted, for `reason`."""
    new = mark(job, status, now, ("Admitted", "False", reason, message))
    return new.model_copy(update={"phase": Phase.QUEUED, "reason": "" if reason == "Waiting" else reason})


def admitted(
    job: BatchJob, status: BatchJobStatus, now: datetime, number: int, executor: str, state_id: str, host: str
) -> BatchJobStatus:
    """Starting: admission and start intent in one record (design 4), and from which attempt it goes on (3.5)."""
    before, source = status.attempt, status.resume_from
    resumes = source is not None and before is not None
    history = status.history if status.attempt is None else (*status.history, status.attempt)[-HISTORY_LENGTH:]
    attempt = Attempt(
        id=f"{job.metadata.uid}.{number}",
        number=number,
        state=AttemptState.STARTING,
        executor=executor,
        state_id=state_id,
        host=host,
        outside_queue=outside_queue(job, executor),
        admitted_at=now,
        resumed_from=source if resumes else None,
        origin=origin(before) if resumes and before is not None else None,
    )
    update = {
        "phase": Phase.STARTING,
        "reason": "",
        "attempt": attempt,
        "history": history,
        "resume_from": None,
        "retry_at": None,
        "queue_position": None,
        "estimated_start_time": None,
    }
    rows = _resumed(status, number, attempt)
    new = mark(job, status, now, ("Admitted", "True", "Admitted", f"attempt {number} may start"), *rows)
    return new.model_copy(update=update)


def _resumed(before: BatchJobStatus, number: int, attempt: Attempt) -> list[Row]:
    """The condition Resumed, for jobs of which an attempt was resumed, or was to be."""
    if attempt.resumed_from is not None:
        text = f"attempt {number} goes on from attempt {attempt.resumed_from}, in what attempt {attempt.origin} began"
        return [("Resumed", "True", "Resumed", text)]
    return _close(before, "Resumed", "BegunAnew") if is_true(before.conditions, "Resumed") else []


def running(job: BatchJob, status: BatchJobStatus, now: datetime, observed: Observation) -> BatchJobStatus:
    """Running: the command is proved to run."""
    assert status.attempt is not None
    where = observed.host or status.attempt.host
    new = with_attempt(status, state=AttemptState.RUNNING, started_at=observed.started_at, host=where)
    rows = _close(status, "NeedsDecision", "Started")
    new = mark(job, new, now, ("Running", "True", "Started", f"attempt {_number(new)} runs"), *rows)
    return new.model_copy(update={"phase": Phase.RUNNING, "reason": ""})


def stopping(job: BatchJob, status: BatchJobStatus, reason: str) -> BatchJobStatus:
    """Stopping: recorded before the first signal."""
    new = with_attempt(status, state=AttemptState.STOPPING, stop_reason=reason)
    return new.model_copy(
        update={"phase": Phase.STOPPING, "reason": reason, "observed_generation": job.metadata.generation}
    )


def attempt_over(
    status: BatchJobStatus, state: AttemptState, observed: Observation, now: datetime, reason: str, message: str
) -> BatchJobStatus:
    """The attempt is over as `state`; what follows for the job is recorded in the same PATCH by the caller."""
    record = observed.exit
    attempt = status.attempt
    assert attempt is not None
    return with_attempt(
        status,
        state=state,
        started_at=observed.started_at or attempt.started_at,
        finished_at=record.finished_at if record else now,
        exit_code=record.code if record else None,
        signal=record.signal if record else None,
        reason=reason,
        message=message[:MAX_TEXT],
    )


def ended(
    job: BatchJob, status: BatchJobStatus, now: datetime, phase: Phase, reason: str, message: str
) -> BatchJobStatus:
    """The end of the job: Finished, and Complete or Failed."""
    kind = "Complete" if phase is Phase.SUCCEEDED else "Failed"
    closed = _close(status, "Running", phase.value) + _close(status, "NeedsDecision", phase.value)
    new = mark(job, status, now, *closed, (kind, "True", reason, message), ("Finished", "True", phase.value, message))
    update = {"phase": phase, "reason": "" if phase is Phase.SUCCEEDED else reason, "finished_at": now}
    update |= {"resume_from": None, "retry_at": None, "queue_position": None, "estimated_start_time": None}
    return new.model_copy(update=update)


def not_running(job: BatchJob, status: BatchJobStatus, now: datetime, reason: str, message: str) -> BatchJobStatus:
    """The attempt ended, the job goes on: Running is no longer true."""
    if not any(c.type == "Running" for c in status.conditions):
        return status
    return mark(job, status, now, ("Running", "False", reason, message))


def _close(status: BatchJobStatus, kind: str, reason: str) -> list[Row]:
    return [(kind, "False", reason, "")] if any(c.type == kind for c in status.conditions) else []


def _number(status: BatchJobStatus) -> int:
    assert status.attempt is not None
    return status.attempt.number
