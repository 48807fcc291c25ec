"""The decision about one BatchJob: (declared, recorded, observed, now) -> Plan.

Order of the questions: is it over? was its status lost? does an attempt run? shall it end? may it start?
Every recorded state has a row here and every row has a way out; `tests/unit/test_decide_*.py` walk them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from controller.api.batchjob import BatchJob, DecisionAction
from controller.api.batchjob_status import Attempt, AttemptState, BatchJobStatus, Phase
from controller.api.units import duration_seconds
from controller.decisions import active, resume
from controller.decisions import status as step
from controller.decisions.ask import ENDS_JOB
from controller.decisions.executors import chosen, place
from controller.decisions.inputs import Host, Observed
from controller.decisions.job_repository import awaits_lock, locked, rebuilt, unpublished, with_batch
from controller.decisions.observed import Evidence
from controller.decisions.outcome import ACTIVE_DEADLINE, suspended
from controller.decisions.plan import Delete, Launch, Note, Plan
from controller.decisions.told import told, undelivered
from controller.decisions.validate import invalid

# An attempt that ended so is the end of its job, also where somebody took the conditions away.
ENDS = {AttemptState.SUCCEEDED: Phase.SUCCEEDED, AttemptState.CANCELED: Phase.CANCELED}

# Reasons of a queued job that are found out anew at each look; the others hold until the job starts.
HELD_BY_OTHERS = frozenset({"WaitingForLock", "RepositoryNotReady"})
ENDING = frozenset({"PreparationFailed", "PushNotAllowed", "Unsupported"})  # waiting any longer cannot help
PASSING = frozenset(
    {
        "QueueNotFound",
        "StateUnreadable",
        "BackingOff",
        "RepositoryNotFound",
        "RepositoryNotReady",
        "Preparing",
        "WaitingForLock",
        "NameTaken",
        "RestoredAttemptRuns",
    }
)


def decide(job: BatchJob, seen: Observed, host: Host, now: datetime) -> Plan:
    """Decide about `job`, whose recorded status is `job.status`.

    Args:
        job: declared and recorded.
        seen: what was observed for this decision.
        host: where attempts run.
        now: wall clock, timezone-aware UTC.
    """
    plan = _finished(job, seen, now) if step.finished(job.status) else _unfinished(job, seen, host, now)
    plan = replace(plan, status=told(job, plan.status, seen))
    if plan.status is not job.status and step.finished(plan.status) and job.spec.ttl_after_finished is not None:
        return replace(plan, wake_after=duration_seconds(job.spec.ttl_after_finished))
    return plan


def _unfinished(job: BatchJob, seen: Observed, host: Host, now: datetime) -> Plan:
    status = job.status
    if status.attempt is None and seen.known is None:
        return _unreadable(job, status, now)
    if status.attempt is None and seen.known:
        status = rebuild(job, status, seen, host)
        if unpublished(job):
            return Plan(status, wake_after=0.0)  # whether its push was published is looked at by its attempt
    if step.active(status) is not None:
        return active.decide(job, status, seen, host, now)
    if status.attempt is not None and (end := ENDS.get(status.attempt.state)) is not None:
        return _end(job, status, now, end, status.attempt.reason, status.attempt.message)
    if job.spec.cancel:
        return _end(job, status, now, Phase.CANCELED, "Canceled", "spec.cancel is true")
    if (left := active.active_deadline_left(job, now)) is not None and left <= 0:
        return _end(
            job, status, now, Phase.FAILED, ACTIVE_DEADLINE, f"not over {job.spec.active_deadline} after creation"
        )
    if job.metadata.deletion_timestamp is not None:
        return Plan(status)
    if (fault := invalid(job.spec, host)) is not None:
        return _end(job, status, now, Phase.FAILED, fault[0], fault[1])
    if status.phase is Phase.WAITING and status.attempt is not None:
        plan = _waiting_for_person(job, status, now)
    elif job.spec.suspend:
        plan = Plan(status if status.phase is Phase.SUSPENDED else _sequenced(suspended(job, status, now), seen))
    else:
        plan = _queued(job, status, seen, host, now)
    return _wake_by(plan, left)


def rebuild(job: BatchJob, status: BatchJobStatus, seen: Observed, host: Host) -> BatchJobStatus:
    """A status that was wiped, from the run directories (requirement 1.3): the newest attempt goes on."""
    number = max(seen.known or (1,))
    carried = _numbers(seen.annotations)
    # Only what is proved not to have begun may still be launched: a directory that vanished meanwhile is a loss.
    begun = seen.attempt is None or seen.attempt.evidence not in (Evidence.LAUNCHING, Evidence.NEVER_STARTED)
    executor = seen.attempt.executor if seen.attempt is not None else chosen(job.spec, host)
    state_id, name = place(executor, host)
    attempt = Attempt(
        id=f"{job.metadata.uid}.{number}",
        number=number,
        state=AttemptState.RUNNING if begun else AttemptState.STARTING,
        executor=executor,
        state_id=state_id,
        host=name,
        started_at=seen.attempt.started_at if seen.attempt else None,
        outside_queue=seen.annotations.get("outsideQueue", "")[:63],
        lock_token=carried.get("lockToken"),
        **_resumption(carried, number),
    )
    update = {
        "attempt": attempt,
        "phase": Phase.RUNNING if attempt.state is AttemptState.RUNNING else Phase.STARTING,
        "sequence": carried.get("sequence", seen.sequence),
        "failures": carried.get("failures", 0),
        "losses": carried.get("losses", 0),
        "decided": carried.get("decided", 0),
        "repository": rebuilt(seen.annotations) or status.repository,
    }
    return status.model_copy(update=update)


def _resumption(carried: Mapping[str, int], number: int) -> dict[str, int]:
    """From which attempt it goes on, and whose workspace it is in: earlier ones, or the file was tampered with."""
    source, origin = carried.get("resumedFrom", 0), carried.get("origin", 0)
    return {"resumed_from": source, "origin": origin} if 0 < origin <= source < number else {}


def _numbers(annotations: Mapping[str, str]) -> dict[str, int]:
    """What can be read of the counters; a file that was tampered with costs a counter, never the job."""
    return {name: int(text) for name, text in annotations.items() if text.isascii() and text.isdigit()}


def counters(status: BatchJobStatus) -> dict[str, str]:
    """What an attempt carries so that `rebuild` can bring the counters back."""
    values = {"sequence": status.sequence, "failures": status.failures, "losses": status.losses}
    values |= {"decided": status.decided}
    if (attempt := status.attempt) is not None:
        values |= {"lockToken": attempt.lock_token, "resumedFrom": attempt.resumed_from, "origin": attempt.origin}
    return {name: str(value) for name, value in values.items() if value is not None}


def _finished(job: BatchJob, seen: Observed, now: datetime) -> Plan:
    status = told(job, job.status, seen)
    if undelivered(status):
        return Plan(status)  # its end wakes the job
    ended_at = max((at for at in (job.status.finished_at, seen.delivered_at) if at is not None), default=None)
    if job.spec.ttl_after_finished is None or ended_at is None:
        return Plan(status)
    left = duration_seconds(job.spec.ttl_after_finished) - (now - ended_at).total_seconds()
    return Plan(status, wake_after=left) if left > 0 else Plan(status, actions=(Delete(),))


def _end(job: BatchJob, status: BatchJobStatus, now: datetime, phase: Phase, reason: str, message: str) -> Plan:
    note = Note(phase.value, message, warning=phase is Phase.FAILED)
    return Plan(step.ended(job, status, now, phase, reason, message), notes=(note,))


def _waiting_for_person(job: BatchJob, status: BatchJobStatus, now: datetime) -> Plan:
    answer, attempt = job.spec.decision, status.attempt
    if attempt is None or answer is None or answer.attempt != attempt.number or status.decided >= attempt.number:
        return Plan(status)
    text = f"attempt {attempt.number}: a person decided: {answer.action.value}"
    status = status.model_copy(update={"decided": attempt.number})
    if answer.action in ENDS_JOB:
        return _end(job, status, now, Phase.FAILED, attempt.reason or "Lost", text)
    if answer.action is DecisionAction.RESUME:
        status = resume.wish(status)
    new = step.mark(job, status, now, ("NeedsDecision", "False", "Decided", text))
    return Plan(step.waiting(job, new, now, "Waiting", text), wake_after=0.0, notes=(Note("Decided", text),))


def _queued(job: BatchJob, status: BatchJobStatus, seen: Observed, host: Host, now: datetime) -> Plan:
    if seen.known is None:
        return _unreadable(job, status, now)
    backing_off = retry_left(job, status, now)
    if seen.granted and backing_off <= 0 and seen.blocked is None:
        executor = chosen(job.spec, host)
        if (gone := resume.nothing_left(job, seen.left, executor, host)) is not None:
            return resume.anew(job, status, now, gone)
        if awaits_lock(seen):
            return Plan(status)  # its record wakes the job
        number = max(status.attempt.number if status.attempt else 0, *seen.known, 0) + 1
        new = _sequenced(step.admitted(job, status, now, number, executor, *place(executor, host)), seen)
        return Plan(locked(job, new, seen, now), wake_after=0.0) if seen.repository else _launch(new, number, host)
    if backing_off > 0:
        return Plan(status, wake_after=backing_off)
    if seen.blocked is None and status.phase is Phase.QUEUED and status.reason not in PASSING:
        return Plan(status)
    if seen.blocked is None and status.phase is None and seen.look_again is not None:
        return Plan(status, wake_after=seen.look_again)
    reason, message = seen.blocked or ("Waiting", "waits for its turn in the queue")
    if reason in ENDING:
        return _end(job, with_batch(status, seen.repository), now, Phase.FAILED, reason, message)
    if status.phase is Phase.QUEUED and status.reason == reason and reason in HELD_BY_OTHERS:
        return Plan(with_batch(status, seen.repository))  # who is in front changes often, and is nobody's news
    new = with_batch(step.waiting(job, status, now, reason, message), seen.repository)
    return Plan(_placed(_sequenced(new, seen), status, seen, now))


def _launch(status: BatchJobStatus, number: int, host: Host) -> Plan:
    return Plan(status, (Launch(number),), host.running_delay)


def _unreadable(job: BatchJob, status: BatchJobStatus, now: datetime) -> Plan:
    message = "the run directories cannot be read, so it is not proved that no attempt of this job exists"
    return Plan(step.waiting(job, status, now, "StateUnreadable", message), wake_after=5.0)


def retry_left(job: BatchJob, status: BatchJobStatus, now: datetime) -> float:
    """Seconds of backoff left; a clock that was set back cannot make it longer than maxBackoff (at least 60 s)."""
    if status.retry_at is None:
        return 0.0
    left = (status.retry_at - now).total_seconds()
    return left if 0 < left <= max(60.0, duration_seconds(job.spec.retry.max_backoff)) else 0.0


def _sequenced(status: BatchJobStatus, seen: Observed) -> BatchJobStatus:
    if status.sequence is not None or seen.sequence is None:
        return status
    return status.model_copy(update={"sequence": seen.sequence})


def _placed(new: BatchJobStatus, old: BatchJobStatus, seen: Observed, now: datetime) -> BatchJobStatus:
    """Position and estimate are written once, with the first Queued: exact ones would be O(n) writes a start."""
    if old.phase is Phase.QUEUED or seen.position is None:
        return new
    eta = now + timedelta(seconds=seen.eta) if seen.eta is not None else None
    return new.model_copy(update={"queue_position": seen.position + 1, "estimated_start_time": eta})


def _wake_by(plan: Plan, left: float | None) -> Plan:
    if left is None:
        return plan
    wake = left if plan.wake_after is None else min(left, plan.wake_after)
    return Plan(plan.status, plan.actions, wake, plan.notes)
