"""The decision about a job whose attempt is recorded and not proved over: it holds its slot until it is.

Missing is not proof: without evidence nothing is started, released or repeated (design 1).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Attempt, AttemptState, BatchJobStatus, Output, Phase
from controller.api.conditions import is_true
from controller.api.units import duration_seconds
from controller.decisions import job_repository
from controller.decisions import status as step
from controller.decisions.ask import ENDS_JOB, UNPROVED, ask
from controller.decisions.inputs import Host, LeftState, Observed
from controller.decisions.observed import Evidence, Observation
from controller.decisions.outcome import (
    ACTIVE_DEADLINE,
    CANCELED,
    SUSPENDED,
    Outcome,
    follow,
    outcome,
)
from controller.decisions.plan import Action, Launch, Note, Plan, Release, Stop, Supervise, Void
from controller.errors import Terminal

LOOK_AGAIN = 1.0  # seconds until the next look at something that is about to change
HELD_AGAIN = 30.0  # seconds until the next look at a launch that others hold back; its executor wakes before
OUTSIDE_QUEUE = "Suspended"  # reason of a launch that an outside queue such as Kueue holds back
STOP_GRACE_EXTRA = 2.0  # seconds after the grace period until a stop is asked for again

UNSEEN = Observation(Evidence.UNKNOWN, message="the attempt was not observed")


def decide(job: BatchJob, status: BatchJobStatus, seen: Observed, host: Host, now: datetime) -> Plan:
    """Decide about the active attempt of `status`; arguments as in `job.decide`."""
    attempt = status.attempt
    assert attempt is not None
    found = _own(attempt, seen.attempt or UNSEEN, host)
    if found.evidence is not Evidence.UNKNOWN:
        status = _known_again(job, status, now)
    match found.evidence:
        case Evidence.ALIVE:
            return _alive(job, status, seen, found, host, now)
        case Evidence.LAUNCHING:
            return _launching(job, status, attempt, seen, found, host, now)
        case Evidence.ABSENT if attempt.state is AttemptState.STARTING:
            return _intended(job, status, attempt, seen, host, now)
        case Evidence.UNKNOWN:
            return _unknown(job, status, attempt, found, now)
        case _ if found.processes_left:
            return _sweep(job, status, attempt, found)
        case _:
            return _over(job, status, seen, found, now)


def _own(attempt: Attempt, found: Observation, host: Host) -> Observation:
    """What another state directory started cannot be absent here: this one says nothing about it (design 9)."""
    if found.evidence is not Evidence.ABSENT or attempt.state_id in ("", host.state_id):
        return found
    return Observation(Evidence.UNKNOWN, message=f"it was started under another state directory, {attempt.state_id}")


def _known_again(job: BatchJob, status: BatchJobStatus, now: datetime) -> BatchJobStatus:
    """There is evidence again: nobody has to be asked any more."""
    if not is_true(status.conditions, "NeedsDecision"):
        return status
    return step.mark(job, status, now, ("NeedsDecision", "False", "EvidenceFound", ""))


def wanted_stop(job: BatchJob, now: datetime) -> str:
    """Why a running attempt of `job` has to stop now, "" where it has not."""
    if job.spec.cancel:
        return CANCELED
    left = active_deadline_left(job, now)
    if left is not None and left <= 0:
        return ACTIVE_DEADLINE
    return SUSPENDED if job.spec.suspend else ""


def active_deadline_left(job: BatchJob, now: datetime) -> float | None:
    """Seconds until spec.activeDeadline is over, None where there is none."""
    if job.spec.active_deadline is None or job.metadata.creation_timestamp is None:
        return None
    return duration_seconds(job.spec.active_deadline) - (now - job.metadata.creation_timestamp).total_seconds()


def _alive(
    job: BatchJob, status: BatchJobStatus, seen: Observed, found: Observation, host: Host, now: datetime
) -> Plan:
    assert status.attempt is not None
    number = status.attempt.number
    actions: tuple[Action, ...] = () if found.supervised else (Supervise(number),)
    reason = _why_stop(job, status.attempt, seen, found, now)
    grace = duration_seconds(job.spec.grace_period)
    if reason:
        new = status if status.attempt.stop_reason == reason else step.stopping(job, status, reason)
        stop = () if found.stop_requested else (Stop(number, reason, grace),)
        notes = () if new is status else (Note("Stopping", f"attempt {number}: {new.reason}"),)
        return Plan(new, actions + stop, grace + STOP_GRACE_EXTRA, notes)
    actions += job_repository.fencing(job, seen, found, number)
    recorded = status.attempt.state is AttemptState.RUNNING and _running_true(status)
    age = (now - found.started_at).total_seconds() if found.started_at else host.running_delay
    if not recorded and 0 <= age < host.running_delay:
        return Plan(status, actions, host.running_delay - age)
    if recorded:
        told = job_repository.lock_taken(job, status, seen, now)
        text = f"attempt {number}: its lock was taken away; it runs on, its pushes are refused"
        lost = () if told is status else (Note("LockTaken", text, warning=True),)
        told = job_repository.publishing(job, told, seen, now)
        return Plan(told, actions, active_deadline_left(job, now), lost)
    new = step.running(job, job_repository.with_commit(status, seen), now, found)
    resumed = f", resumed from attempt {source}" if (source := status.attempt.resumed_from) is not None else ""
    note = Note("Started", f"attempt {number} runs on {found.host or host.name}{resumed}")
    return Plan(new, actions, active_deadline_left(job, now), (note,))


def _why_stop(job: BatchJob, attempt: Attempt, seen: Observed, found: Observation, now: datetime) -> str:
    """Why it has to stop, "" where it has not. A cancel that comes while something else stops it ends the job.

    A command that has succeeded, whose push its executor publishes, is stopped by a cancel only, as on a host.
    """
    if job.spec.cancel:
        return CANCELED
    if found.publication is not None:
        return attempt.stop_reason
    return attempt.stop_reason or wanted_stop(job, now) or seen.evict


def _running_true(status: BatchJobStatus) -> bool:
    return is_true(status.conditions, "Running")


def _intended(
    job: BatchJob, status: BatchJobStatus, attempt: Attempt, seen: Observed, host: Host, now: datetime
) -> Plan:
    """The intent is recorded, nothing was built: go on with the launch, or make sure that it never happens."""
    if wanted_stop(job, now) or isinstance(seen.error, Terminal) or seen.starting_for > host.start_timeout:
        return Plan(status, (Void(attempt.number, _void_message(job, seen, now)),), LOOK_AGAIN)
    if seen.error is not None:
        status = _told(job, status, seen, now)
    if seen.left is not None and seen.left.state is LeftState.GONE:
        return Plan(status, (Void(attempt.number, f"nothing to resume: {seen.left.message}"),), LOOK_AGAIN)
    if seen.left is not None and seen.left.state is LeftState.UNKNOWN:
        told = step.mark(job, status, now, ("Running", "False", "StateUnreadable", seen.left.message))
        return Plan(told, wake_after=LOOK_AGAIN)
    if seen.repository is not None:
        return job_repository.before_launch(job, status, seen.repository, host.running_delay, now)
    return Plan(status, (Launch(attempt.number),), host.running_delay)


def _launching(
    job: BatchJob,
    status: BatchJobStatus,
    attempt: Attempt,
    seen: Observed,
    found: Observation,
    host: Host,
    now: datetime,
) -> Plan:
    """Built, not begun. Without a supervisor the launch was cut off in the middle: doing it again does it once."""
    late = seen.starting_for > host.start_timeout and not found.held
    if wanted_stop(job, now) or isinstance(seen.error, Terminal) or late:
        return Plan(status, (Void(attempt.number, _void_message(job, seen, now)),), LOOK_AGAIN)
    if attempt.state is not AttemptState.STARTING:
        # It was seen alive: what looks like a launch cut off is a damaged directory, and is never launched again.
        return Plan(status, (Void(attempt.number, "its run directory is incomplete"),), LOOK_AGAIN)
    actions = () if found.supervised else (Launch(attempt.number),)
    new = _told(job, status, seen, now)
    if new is not status or not (found.pending or status.phase is Phase.WAITING):
        return Plan(new, actions, LOOK_AGAIN)
    return _pending(job, status, attempt, found, actions, now)


def _pending(
    job: BatchJob,
    status: BatchJobStatus,
    attempt: Attempt,
    found: Observation,
    actions: tuple[Action, ...],
    now: datetime,
) -> Plan:
    """What the launch waits for is told when it changes; who waits for an outside queue is Waiting (4.1)."""
    phase = Phase.WAITING if found.pending == OUTSIDE_QUEUE else Phase.STARTING
    wake = min(_left(job, now), HELD_AGAIN if found.held else LOOK_AGAIN)
    if (status.phase, status.reason) == (phase, found.pending):
        return Plan(status, actions, wake)
    row: step.Row = ("Running", "False", found.pending or "Starting", found.message)
    new = step.mark(job, status, now, row).model_copy(update={"phase": phase, "reason": found.pending})
    text = f"attempt {attempt.number}: {found.message or 'it is about to start'}"
    return Plan(new, actions, wake, (Note(found.pending or "Starting", text, warning=not found.held),))


def _left(job: BatchJob, now: datetime) -> float:
    left = active_deadline_left(job, now)
    return HELD_AGAIN if left is None else max(0.0, left)


def _void_message(job: BatchJob, seen: Observed, now: datetime) -> str:
    if isinstance(seen.error, Terminal):
        return str(seen.error)
    why = str(seen.error) if seen.error else seen.attempt.message if seen.attempt is not None else ""
    return wanted_stop(job, now) or f"not started within {seen.starting_for:.0f} s" + (f": {why}" if why else "")


def _told(job: BatchJob, status: BatchJobStatus, seen: Observed, now: datetime) -> BatchJobStatus:
    """The last action's error as a condition, so that a person can see why nothing starts."""
    if seen.error is None:
        return status
    return step.mark(job, status, now, ("Running", "False", seen.error.reason, seen.error.message))


def _unknown(job: BatchJob, status: BatchJobStatus, attempt: Attempt, found: Observation, now: datetime) -> Plan:
    """Nothing is proved: the slot stays held until evidence comes, or a person decides."""
    answer = job.spec.decision
    answered = answer is not None and answer.attempt == attempt.number and status.decided < attempt.number
    text = f"attempt {attempt.number}: {found.message or 'no evidence whether it runs'}; its slot stays held"
    if answered and answer is not None:
        if answer.action in UNPROVED:
            return _decided(job, status, attempt, found, now)
        text = f"{text}. Resume waits until it is proved over: two must not work in one workspace"
    question = ask(job, attempt.number, f"{text}. Answer only if you know that it is over", UNPROVED)
    new = step.mark(
        job,
        status,
        now,
        ("Running", "Unknown", "NoEvidence", found.message),
        ("NeedsDecision", "True", "NoEvidence", question),
    )
    changed = new.conditions != status.conditions
    notes = (Note("NoEvidence", question, warning=True),) if changed else ()
    return Plan(new if changed else status, wake_after=LOOK_AGAIN * 5, notes=notes)


def _decided(job: BatchJob, status: BatchJobStatus, attempt: Attempt, found: Observation, now: datetime) -> Plan:
    assert job.spec.decision is not None
    action = job.spec.decision.action
    text = f"attempt {attempt.number}: a person decided: {action.value}"
    new = status.model_copy(update={"decided": attempt.number})
    new = step.attempt_over(new, AttemptState.LOST, found, now, "Lost", text)
    new = step.not_running(job, new, now, "Lost", text)
    note = Note("Decided", text)
    # The person may be wrong: what can still be done against two live attempts is done.
    given_up = (Void(attempt.number, text), Stop(attempt.number, "GivenUp", duration_seconds(job.spec.grace_period)))
    if action in ENDS_JOB:
        return Plan(step.ended(job, new, now, Phase.FAILED, "Lost", text), given_up, notes=(note,))
    new = step.mark(job, new, now, ("NeedsDecision", "False", "Decided", text))
    return Plan(step.waiting(job, new, now, "Waiting", text), given_up, wake_after=0.0, notes=(note,))


def _sweep(job: BatchJob, status: BatchJobStatus, attempt: Attempt, found: Observation) -> Plan:
    """The command is over but processes of it are left: they are ended before slot and workspace are given on."""
    reason = attempt.stop_reason or "Sweep"
    grace = duration_seconds(job.spec.grace_period) if found.evidence is Evidence.GONE else 0.0
    return Plan(status, (Stop(attempt.number, reason, grace),), LOOK_AGAIN)


def _over(job: BatchJob, status: BatchJobStatus, seen: Observed, found: Observation, now: datetime) -> Plan:
    assert status.attempt is not None
    number = status.attempt.number
    ended = outcome(found, status.attempt.stop_reason or _late_stop(job, found, now))
    if found.evidence is Evidence.NEVER_STARTED and isinstance(seen.error, Terminal):
        ended = Outcome(AttemptState.FAILED, seen.error.reason, seen.error.message, final=True)
    elif found.evidence is Evidence.NEVER_STARTED and not wanted_stop(job, now):
        ended = job_repository.failed_workspace(seen) or ended
    late = (left := active_deadline_left(job, now)) is not None and left <= 0
    after = job_repository.publication(job, job_repository.with_commit(status, seen), seen, ended, now, late=late)
    if isinstance(after, Plan):
        return after
    status, ended = after
    notes: tuple[Note, ...] = ()
    if found.exit is not None and found.message:  # what was damaged beside a whole exit record (7.5)
        ended = replace(ended, message=f"{ended.message} ({found.message})")
        notes = (Note("RecordDamaged", f"attempt {number}: {found.message}", warning=True),)
    new, note = follow(job, status, found, ended, now)
    output = Output(bytes=found.output_bytes, location=seen.output)
    new = new.model_copy(update={"output": output})
    if seen.taken_up:
        new = step.with_attempt(new, recovered=True)
    wake = 0.0 if not step.finished(new) else None
    return Plan(new, (Release(number, keep_record=True),), wake, (*notes, note))


def _late_stop(job: BatchJob, found: Observation, now: datetime) -> str:
    """An attempt that was voided because of a stop never had that stop recorded: it needs no signal."""
    return wanted_stop(job, now) if found.evidence is Evidence.NEVER_STARTED else ""
