"""What the end of an attempt means for its job: repeat, wait for a person, or end (requirements 2.4, 3.5)."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.api.batchjob import BatchJob, OnLost
from controller.api.batchjob_status import HISTORY_LENGTH, AttemptState, BatchJobStatus, Phase
from controller.api.units import duration_seconds
from controller.decisions import resume
from controller.decisions import status as step
from controller.decisions.ask import ENDS_JOB, ask
from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.decisions.plan import Note

STOPPED_WITH_THE_PLANE = "Stopped"  # journalled by `holdfast down --stop-jobs`, never recorded in a status
CANCELED, SUSPENDED, ACTIVE_DEADLINE = "Canceled", "Suspended", "ActiveDeadlineExceeded"

# Something took the attempt's place away: not the command's failure, so it costs no retry (requirement 4.2).
DISRUPTIONS = frozenset(
    {"Evicted", "NodeLost", "Preempted", "NodeShutdown", "PodDeleted", "Disrupted", "ExitCodeUnknown"}
)

# A start that failed for these will fail again: repeating cannot help, only another manifest or file can.
PERMANENT = frozenset(
    {
        "CommandNotFound",
        "NotExecutable",
        "BadWorkingDirectory",
        "ArgumentListTooLong",
        "InvalidSpec",
        # of a workspace: what is final in repositories/results.py
        "UrlRefused",
        "SubmodulesUnsupported",
        "LfsUnsupported",
    }
)


# What another attempt may follow.
REPEATED = frozenset({AttemptState.LOST, AttemptState.FAILED, AttemptState.NEVER_STARTED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended, in the words of the status; `final`: repeating it cannot help."""

    state: AttemptState
    reason: str
    message: str
    final: bool = False


def outcome(observed: Observation, stop_reason: str) -> Outcome:
    """Read the end of an attempt.

    Args:
        observed: with evidence ENDED, GONE, NEVER_STARTED or ABSENT.
        stop_reason: why Holdfast recorded that it stops the attempt, "" where it did not.
    """
    record = observed.exit
    if observed.evidence is Evidence.ENDED and record is not None:
        return _ended(record, stop_reason)
    if stop_reason in (CANCELED, SUSPENDED, ACTIVE_DEADLINE):
        text = "stopped; its exit code is not known"
        return Outcome(_stopped(stop_reason), stop_reason, text, final=stop_reason == ACTIVE_DEADLINE)
    if observed.evidence is Evidence.NEVER_STARTED:
        reason = record.reason if record and record.reason else ""
        message = record.message if record and record.message else "the command was never started"
        if reason == resume.NOTHING_LEFT:
            return Outcome(AttemptState.NEVER_STARTED, reason, message)
        if reason:
            return Outcome(AttemptState.FAILED, reason, message, final=reason in PERMANENT)
        return Outcome(AttemptState.NEVER_STARTED, "NeverStarted", message)
    where = "its run directory is gone" if observed.evidence is Evidence.ABSENT else "it ended without an exit record"
    return Outcome(AttemptState.LOST, "Lost", observed.message or where)


def _ended(record: ExitRecord, stop_reason: str) -> Outcome:
    # The supervisor journals why it stops; that survives a status that was wiped in between.
    ours = stop_reason or (record.reason if record.reason in (CANCELED, SUSPENDED, ACTIVE_DEADLINE) else "")
    # Whatever the journal's first reason was: a cancel may have come while a suspend stopped the attempt already.
    if ours and (record.reason or record.code != 0):
        return Outcome(_stopped(ours), ours, describe(record), final=ours == ACTIVE_DEADLINE)
    if record.reason == STOPPED_WITH_THE_PLANE:
        # Not the command's failure: what follows is what follows a reboot, and it costs no retry.
        return Outcome(AttemptState.LOST, record.reason, f"stopped by `holdfast down --stop-jobs`: {describe(record)}")
    if record.reason in DISRUPTIONS:
        return Outcome(AttemptState.LOST, record.reason, record.message or describe(record))
    if record.reason:
        message = record.message or describe(record)
        return Outcome(AttemptState.FAILED, record.reason, message, final=record.reason in PERMANENT)
    if record.code == 0:
        return Outcome(AttemptState.SUCCEEDED, "Succeeded", "exit code 0")
    return Outcome(AttemptState.FAILED, "Signaled" if record.signal else "NonZeroExitCode", describe(record))


def _stopped(stop_reason: str) -> AttemptState:
    known = {CANCELED: AttemptState.CANCELED, SUSPENDED: AttemptState.SUSPENDED}
    return known.get(stop_reason, AttemptState.FAILED)


def describe(record: ExitRecord) -> str:
    """One short sentence: `exit code 7`, `ended by signal 9 (SIGKILL)`."""
    if record.signal is not None:
        try:
            name = f" ({signal.Signals(record.signal).name})"
        except ValueError:  # real-time signals have no name
            name = ""
        return f"ended by signal {record.signal}{name}"
    return f"exit code {record.code}" if record.code is not None else "ended"


def backoff_seconds(job: BatchJob, failures: int) -> float:
    """Wait before the repeat after `failures` failed attempts: backoff·2ⁿ, at most maxBackoff."""
    first = duration_seconds(job.spec.retry.backoff)
    most = duration_seconds(job.spec.retry.max_backoff)
    return float(min(most, first * 2 ** min(failures - 1, 32)))


def follow(
    job: BatchJob, status: BatchJobStatus, observed: Observation, found: Outcome, now: datetime
) -> tuple[BatchJobStatus, Note]:
    """Record the attempt's end and what follows for the job, in one status."""
    new = step.attempt_over(status, found.state, observed, now, found.reason, found.message)
    if found.reason == resume.NOTHING_LEFT:
        new = resume.nothing_found(job, new, now, found.message)
    elif observed.evidence is Evidence.NEVER_STARTED:
        new = resume.wish_again(new)
    number = new.attempt.number if new.attempt else 0
    text = f"attempt {number}: {found.message}"
    if found.state in REPEATED and (answer := ended_by_person(job, number)):
        end = _end(job, new, now, Phase.FAILED, found.reason, f"{text}; a person decided: {answer}")
        return end[0].model_copy(update={"decided": number}), end[1]
    match found.state:
        case AttemptState.SUCCEEDED:
            return _end(job, new, now, Phase.SUCCEEDED, found.reason, text)
        case AttemptState.CANCELED:
            return _end(job, new, now, Phase.CANCELED, found.reason, text)
        case AttemptState.SUSPENDED:
            new = step.not_running(job, new, now, SUSPENDED, text)
            return suspended(job, new, now), Note(SUSPENDED, text)
        case AttemptState.LOST:
            new = new.model_copy(update={"losses": new.losses + 1})
            return lost(job, new, now, found.message, began=observed.began)
        case AttemptState.NEVER_STARTED:
            return _never_started(job, new, now, text)
        case _:
            return _failed(job, new.model_copy(update={"failures": new.failures + 1}), now, found, text)


def ended_by_person(job: BatchJob, number: int) -> str:
    """The standing answer that ends the job with attempt `number`, also where its record was wiped; "" for none."""
    answer = job.spec.decision
    if answer is None or answer.attempt != number or answer.action not in ENDS_JOB:
        return ""
    return answer.action.value


def suspended(job: BatchJob, status: BatchJobStatus, now: datetime) -> BatchJobStatus:
    """Held back by spec.suspend; resuming makes a new attempt."""
    new = step.mark(job, status, now, ("Admitted", "False", SUSPENDED, "spec.suspend is true"))
    update = {"phase": Phase.SUSPENDED, "reason": "", "queue_position": None, "estimated_start_time": None}
    return new.model_copy(update=update)


def lost(
    job: BatchJob, status: BatchJobStatus, now: datetime, message: str, *, began: bool = True
) -> tuple[BatchJobStatus, Note]:
    """What follows a lost attempt: spec.onLost, within spec.lossLimit. One that never began left nothing to resume."""
    assert status.attempt is not None
    number = status.attempt.number
    text = f"attempt {number} was lost: {message}"
    if job.spec.on_lost is OnLost.FAIL:
        return _end(job, status, now, Phase.FAILED, "Lost", text)
    if status.losses > job.spec.loss_limit:
        again = f"a new job of the same: holdfast rerun -n {job.metadata.namespace} {job.metadata.name}"
        return _end(job, status, now, Phase.FAILED, "LossLimitExceeded", f"{text}; {status.losses} losses; {again}")
    if job.spec.on_lost is OnLost.MANUAL:
        return needs_decision(job, status, now, "Lost", text), Note("NeedsDecision", text, warning=True)
    new = step.not_running(job, status, now, "Lost", text)
    again = "it is started again"
    if job.spec.on_lost is OnLost.RESUME:
        new = resume.wish(new) if began else resume.wish_again(new)
        again = "it is resumed" if new.resume_from is not None else again
    return step.waiting(job, new, now, "Lost", f"{text}; {again}"), Note("Lost", f"{text}; {again}", warning=True)


def needs_decision(job: BatchJob, status: BatchJobStatus, now: datetime, reason: str, text: str) -> BatchJobStatus:
    """Waiting for spec.decision; says how to give it."""
    assert status.attempt is not None
    question = ask(job, status.attempt.number, text)
    new = step.not_running(job, status, now, reason, text)
    new = step.mark(job, new, now, ("NeedsDecision", "True", reason, question))
    return new.model_copy(update={"phase": Phase.WAITING, "reason": "NeedsDecision"})


def _never_started(job: BatchJob, status: BatchJobStatus, now: datetime, text: str) -> tuple[BatchJobStatus, Note]:
    """It provably never ran, so repeating is free; but where no start succeeds at all somebody has to look."""
    tries = (*status.history, *([status.attempt] if status.attempt else []))[-HISTORY_LENGTH:]
    row = [a for a in tries if a.state is AttemptState.NEVER_STARTED]
    if len(row) >= HISTORY_LENGTH:
        return _end(job, status, now, Phase.FAILED, "StartFailed", f"{text}; {len(row)} starts in a row failed")
    delay = min(60.0, 0.5 * 2 ** len(row))
    new = step.waiting(job, status, now, "NeverStarted", f"{text}; it is started again")
    return new.model_copy(update={"retry_at": now + timedelta(seconds=delay)}), Note("NeverStarted", text, warning=True)


def _failed(
    job: BatchJob, status: BatchJobStatus, now: datetime, found: Outcome, text: str
) -> tuple[BatchJobStatus, Note]:
    if found.final or status.failures > job.spec.retry.limit:
        return _end(job, status, now, Phase.FAILED, found.reason, text)
    delay = backoff_seconds(job, status.failures)
    message = f"{text}; repeat {status.failures} of {job.spec.retry.limit} in {delay:g} s"
    new = step.waiting(job, step.not_running(job, status, now, found.reason, text), now, "BackingOff", message)
    return new.model_copy(update={"retry_at": now + timedelta(seconds=delay)}), Note("Retrying", message, warning=True)


def _end(
    job: BatchJob, status: BatchJobStatus, now: datetime, phase: Phase, reason: str, text: str
) -> tuple[BatchJobStatus, Note]:
    return step.ended(job, status, now, phase, reason, text), Note(phase.value, text, phase is Phase.FAILED)
