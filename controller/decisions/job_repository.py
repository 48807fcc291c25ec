"""What a repository adds to the decision about a job: lock before admission, workspace before launch, publication
before success (requirements 5.3-5.5, design 5).

The workspace is made by an operation of its own while the attempt is Starting; what was pushed to the mirror is
published by another one while the attempt is still held, so that the lock is given on only after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState, BatchJobStatus
from controller.api.conditions import is_true
from controller.api.repository_use import Push, RepositoryUsed
from controller.api.text import COMMIT
from controller.decisions import status as step
from controller.decisions.executors import POD
from controller.decisions.inputs import Observed, RepositoryView, Step, StepState
from controller.decisions.observed import COMMIT_UNKNOWN, NOT_PUBLISHED, Observation
from controller.decisions.outcome import ACTIVE_DEADLINE, CANCELED, Outcome
from controller.decisions.plan import Action, Fence, Launch, MakeWorkspace, Plan, Publish, StopPublishing, Void

NOT_READY = "RepositoryNotReady"
NO_SOUND_MIRROR = frozenset({"Corrupt", "NoMirror"})  # of an operation that needs the mirror: see repositories.results
MENDED_BY_WAITING = frozenset({"Busy", "DiskFull", "StateDirectoryFailed"})  # no failure of the job: begun again
PAUSE_FIRST, PAUSE_MOST = 5.0, 60.0  # seconds until such an operation is begun again: doubling
LOOK_AGAIN = 5.0  # seconds; the end of an operation wakes the job
PUBLISHING = "attempt {}: what it pushed is published upstream"


def awaits_lock(seen: Observed) -> bool:
    """Whether the slot is there but the lock is not recorded yet: its record comes first (design 5)."""
    view = seen.repository
    return view is not None and view.needs_lock and view.token is None


def locked(job: BatchJob, status: BatchJobStatus, seen: Observed, now: datetime) -> BatchJobStatus:
    """`status` of an admission with the token of its lock, and for a Pod the commit that it gets."""
    view = seen.repository
    if view is None:
        return status
    if view.token is not None:
        status = step.with_attempt(status, lock_token=view.token)
        status = step.mark(job, status, now, ("LockGranted", "True", "Granted", f"fencing token {view.token}"))
    if view.commit is not None:
        used = status.repository or RepositoryUsed()
        status = status.model_copy(update={"repository": used.model_copy(update={"commit": view.commit})})
    return with_batch(status, view)


def with_batch(status: BatchJobStatus, view: RepositoryView | None) -> BatchJobStatus:
    """The JobBatch that the job waits for or uses, recorded: membership is derived from it (requirement 5.7)."""
    used = status.repository or RepositoryUsed()
    if view is None or view.batch == used.batch:
        return status
    return status.model_copy(update={"repository": used.model_copy(update={"batch": view.batch})})


def with_commit(status: BatchJobStatus, seen: Observed) -> BatchJobStatus:
    """The commit that the workspace was made from; recorded with the next state, never by a write of its own."""
    view, used = seen.repository, status.repository or RepositoryUsed()
    if view is None or not view.workspace.commit or view.workspace.commit == used.commit:
        return status
    return status.model_copy(update={"repository": used.model_copy(update={"commit": view.workspace.commit})})


def rebuilt(annotations: Mapping[str, str]) -> RepositoryUsed | None:
    """What an attempt in a Pod carries of its repository (requirement 1.3); None where it is none."""
    commit = annotations.get("commit", "")
    return RepositoryUsed(commit=commit) if commit and re.fullmatch(COMMIT, commit) else None


def lock_taken(job: BatchJob, status: BatchJobStatus, seen: Observed, now: datetime) -> BatchJobStatus:
    """A running attempt whose lock a person took away, or the policy gave on, is told so."""
    view = seen.repository
    if view is None or not view.needs_lock or view.holds is not False or not is_true(status.conditions, "LockGranted"):
        return status
    text = "the lock was taken away or given on: pushes of this attempt are refused"
    return step.mark(job, status, now, ("LockGranted", "False", "TakenAway", text))


def pause_seconds(times: int) -> float:
    """Wait until an operation that waiting can mend is begun again, after it failed `times` times in a row."""
    return min(PAUSE_MOST, PAUSE_FIRST * 2.0 ** min(max(times, 1) - 1, 16))


def is_mended_by_waiting(found: Step) -> bool:
    """Whether an operation on this host failed for what others end: it is forgotten, and begun again."""
    return found.state is StepState.FAILED and found.reason in MENDED_BY_WAITING


def makes_workspace(view: RepositoryView | None) -> bool:
    """Whether the workspace is being made, or waits to be: the time limit of a start does not count meanwhile."""
    made = view.workspace if view is not None else None
    return made is not None and (made.state is StepState.WORKING or is_mended_by_waiting(made))


def before_launch(
    job: BatchJob, status: BatchJobStatus, view: RepositoryView, running_delay: float, now: datetime
) -> Plan:
    """The attempt is recorded as Starting and nothing of its command was built."""
    assert status.attempt is not None
    made, number = view.workspace, status.attempt.number
    if view.needs_lock and view.holds is not True:
        # Taken away, or the record was lost: while there is none it is rebuilt, and nobody else is granted anything.
        lost = (Void(number, "its lock was taken away before it began"),) if view.holds is False else ()
        return Plan(status, lost, LOOK_AGAIN)
    match made.state:
        case StepState.DONE:
            return Plan(status, (Launch(number),), running_delay)
        case StepState.FAILED if is_mended_by_waiting(made):
            row: step.Row = ("Running", "False", made.reason, f"{made.message}; its workspace is made after that")
            act = (MakeWorkspace(number),) if made.pause <= 0 else ()
            return Plan(step.mark(job, status, now, row), act, min(made.pause, LOOK_AGAIN) or LOOK_AGAIN)
        case StepState.FAILED:
            return Plan(status, (Void(number, f"{made.reason}: {made.message}"),), 0.0)
        case StepState.ABSENT:
            return Plan(status, (MakeWorkspace(number),), LOOK_AGAIN)
        case _:
            return Plan(status, wake_after=LOOK_AGAIN)


def failed_workspace(seen: Observed) -> Outcome | None:
    """How an attempt ends whose workspace could not be made.

    Neither a damaged mirror nor a full disk is the job's failure: nothing of it was started, and it waits.
    """
    made = seen.repository.workspace if seen.repository is not None else None
    if made is None or made.state is not StepState.FAILED:
        return None
    if made.reason in NO_SOUND_MIRROR or is_mended_by_waiting(made):
        return Outcome(AttemptState.NEVER_STARTED, "NeverStarted", f"{made.reason}: {made.message}")
    return Outcome(AttemptState.FAILED, made.reason, made.message, final=made.final)


def fencing(job: BatchJob, seen: Observed, found: Observation, number: int) -> tuple[Action, ...]:
    """What keeps a Pod whose lock is not its own any more from publishing; on a host the mirror does.

    Asked again until it is done: a crash between record and action changes nothing.
    """
    view = seen.repository
    lost = view is not None and view.needs_lock and view.holds is False
    if not lost or found.executor != POD or found.fenced or not unpublished(job):
        return ()
    return (Fence(number, "its lock was taken away or given on while it ran: what it pushed was not published"),)


def unpublished(job: BatchJob) -> bool:
    """Whether a success of the job is one only once its push is published."""
    return job.spec.repository is not None and job.spec.repository.push is Push.UPSTREAM


def publishing(job: BatchJob, status: BatchJobStatus, seen: Observed, now: datetime) -> BatchJobStatus:
    """`status` of an attempt whose executor publishes its push by itself, while it does."""
    found = seen.repository.publication if seen.repository is not None else None
    if found is None or found.state is not StepState.WORKING or status.attempt is None:
        return status
    text = PUBLISHING.format(status.attempt.number) + (f" ({found.message})" if found.message else "")
    return step.mark(job, status, now, ("Published", "Unknown", "Publishing", text))


def _not_published(
    job: BatchJob, status: BatchJobStatus, found: Step, ended: Outcome, now: datetime
) -> tuple[BatchJobStatus, Outcome]:
    """The command has succeeded, and a stop, its deadline or a loss ended what was to publish its push."""
    row: step.Row = ("Published", "Unknown", ended.reason, found.message)
    if found.reason == NOT_PUBLISHED:
        row = ("Published", "False", ended.reason, found.message)
    status = step.mark(job, status, now, row)
    return status, replace(ended, message=f"{ended.message}; its push was not published: {found.message}")


def publication(
    job: BatchJob, status: BatchJobStatus, seen: Observed, ended: Outcome, now: datetime, *, late: bool
) -> Plan | tuple[BatchJobStatus, Outcome]:
    """What becomes of a success that is to be published: a Plan while it is under way, else the end as it is then.

    Args:
        late: spec.activeDeadline is over. It ends what only waits, as a cancel does; a suspend lets it be published:
            its command has succeeded, and must not run again.
    """
    view = seen.repository
    if view is None or view.publication is None:
        return status, ended
    if ended.state is not AttemptState.SUCCEEDED:
        return _not_published(job, status, view.publication, ended, now)
    assert status.attempt is not None
    found, number = view.publication, status.attempt.number
    again = is_mended_by_waiting(found) and status.attempt.executor != POD
    if (found.state is StepState.ABSENT or again) and not job.spec.cancel:
        return _to_begin(job, status, view, found, ended, now, late=late)
    text = PUBLISHING.format(number)
    match found.state:
        case StepState.DONE:
            used = (status.repository or RepositoryUsed()).model_copy(update={"published": found.commit})
            status = status.model_copy(update={"repository": used})
            reason = COMMIT_UNKNOWN if found.reason == COMMIT_UNKNOWN else "Published"
            return step.mark(job, status, now, ("Published", "True", reason, found.message)), ended
        case StepState.ABSENT:
            return status, replace(ended, state=AttemptState.CANCELED, reason=CANCELED)
        case StepState.FAILED if job.spec.cancel:
            text = f"{ended.message}, but its push was not published: spec.cancel is true"
            return status, replace(ended, state=AttemptState.CANCELED, reason=CANCELED, message=text)
        case StepState.FAILED:
            return _unpublished(job, status, found, ended, now)
        case _:
            act = (StopPublishing(number),) if job.spec.cancel else ()
            return Plan(step.mark(job, status, now, ("Published", "Unknown", "Publishing", text)), act, LOOK_AGAIN)


def _to_begin(
    job: BatchJob,
    status: BatchJobStatus,
    view: RepositoryView,
    found: Step,
    ended: Outcome,
    now: datetime,
    *,
    late: bool,
) -> Plan | tuple[BatchJobStatus, Outcome]:
    """Begin to publish, or wait until that can be done: for the Repository, or for what made it fail.

    Args:
        late: spec.activeDeadline is over.
    """
    assert status.attempt is not None
    number = status.attempt.number
    text = PUBLISHING.format(number)
    if view.not_ready:
        waits = Step(StepState.FAILED, NOT_READY, view.not_ready)
    elif view.needs_lock and view.holds is None:
        return Plan(status, wake_after=LOOK_AGAIN)  # the record of its lock is being rebuilt
    elif view.needs_lock and not view.holds:
        lost = "its lock was taken away or given on while it ran: what it pushed stays in the mirror"
        return _unpublished(job, status, Step(StepState.FAILED, "StaleToken", lost), ended, now)
    elif found.pause > 0:
        waits = found
    else:
        row: step.Row = ("Published", "Unknown", "Publishing", text)
        return Plan(step.mark(job, status, now, row), (Publish(number),), LOOK_AGAIN)
    if late:
        gone = replace(waits, reason=ACTIVE_DEADLINE, message=f"not within {job.spec.active_deadline}: {waits.message}")
        return _unpublished(job, status, gone, replace(ended, final=True), now)
    row = ("Published", "Unknown", waits.reason, f"{text} as soon as it can be: {waits.message}")
    return Plan(step.mark(job, status, now, row), wake_after=min(waits.pause, LOOK_AGAIN) or LOOK_AGAIN)


def _unpublished(
    job: BatchJob, status: BatchJobStatus, found: Step, ended: Outcome, now: datetime
) -> tuple[BatchJobStatus, Outcome]:
    """The command has succeeded and the push cannot be published: that is no success."""
    status = step.mark(job, status, now, ("Published", "False", found.reason, found.message))
    message = f"{ended.message}, but its push was not published: {found.message}"
    return status, replace(ended, state=AttemptState.FAILED, reason=found.reason, message=message)
