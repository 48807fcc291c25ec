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
from controller.decisions.observed import NOT_PUBLISHED, Observation
from controller.decisions.outcome import CANCELED, Outcome
from controller.decisions.plan import Action, Fence, Launch, MakeWorkspace, Plan, Publish, StopPublishing, Void

NO_SOUND_MIRROR = frozenset({"Corrupt", "NoMirror"})  # of an operation that needs the mirror: see repositories.results
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


def before_launch(status: BatchJobStatus, view: RepositoryView, number: int, running_delay: float) -> Plan:
    """The attempt is recorded as Starting and nothing of its command was built."""
    made = view.workspace
    if view.needs_lock and view.holds is not True:
        # Taken away, or the record was lost: while there is none it is rebuilt, and nobody else is granted anything.
        lost = (Void(number, "its lock was taken away before it began"),) if view.holds is False else ()
        return Plan(status, lost, LOOK_AGAIN)
    match made.state:
        case StepState.DONE:
            return Plan(status, (Launch(number),), running_delay)
        case StepState.FAILED:
            return Plan(status, (Void(number, f"{made.reason}: {made.message}"),), 0.0)
        case StepState.ABSENT:
            return Plan(status, (MakeWorkspace(number),), LOOK_AGAIN)
        case _:
            return Plan(status, wake_after=LOOK_AGAIN)


def failed_workspace(seen: Observed) -> Outcome | None:
    """How an attempt ends whose workspace could not be made.

    A damaged mirror is not the job's failure: nothing of it was started, and it waits until the mirror is made anew.
    """
    made = seen.repository.workspace if seen.repository is not None else None
    if made is None or made.state is not StepState.FAILED:
        return None
    if made.reason in NO_SOUND_MIRROR:
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
    job: BatchJob, status: BatchJobStatus, seen: Observed, ended: Outcome, now: datetime
) -> Plan | tuple[BatchJobStatus, Outcome]:
    """What becomes of a success that is to be published: a Plan while it is under way, else the end as it is then."""
    view = seen.repository
    if view is None or view.publication is None:
        return status, ended
    if ended.state is not AttemptState.SUCCEEDED:
        return _not_published(job, status, view.publication, ended, now)
    assert status.attempt is not None
    found = view.publication
    number = status.attempt.number
    if found.state is StepState.ABSENT and view.needs_lock and view.holds is not True:
        if view.holds is None:
            return Plan(status, wake_after=LOOK_AGAIN)  # the record of its lock is being rebuilt
        lost = "its lock was taken away or given on while it ran: what it pushed stays in the mirror"
        found = Step(StepState.FAILED, "StaleToken", lost)
    text = PUBLISHING.format(number)
    match found.state:
        case StepState.DONE:
            used = (status.repository or RepositoryUsed()).model_copy(update={"published": found.commit})
            status = status.model_copy(update={"repository": used})
            return step.mark(job, status, now, ("Published", "True", "Published", found.message)), ended
        case StepState.FAILED:
            if job.spec.cancel:
                text = f"{ended.message}, but its push was not published: spec.cancel is true"
                return status, replace(ended, state=AttemptState.CANCELED, reason=CANCELED, message=text)
            status = step.mark(job, status, now, ("Published", "False", found.reason, found.message))
            message = f"{ended.message}, but its push was not published: {found.message}"
            return status, replace(ended, state=AttemptState.FAILED, reason=found.reason, message=message)
        case _:
            act: tuple[Action, ...] = (StopPublishing(number),) if job.spec.cancel else ()
            if job.spec.cancel and found.state is StepState.ABSENT:
                return status, replace(ended, state=AttemptState.CANCELED, reason=CANCELED)
            if found.state is StepState.ABSENT:
                act = (Publish(number),)
            return Plan(step.mark(job, status, now, ("Published", "Unknown", "Publishing", text)), act, LOOK_AGAIN)
