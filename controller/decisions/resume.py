"""Going on in what a lost attempt left (requirement 3.5): who may, what belongs together, and what is still wanted.

Promises: an attempt that resumes is recorded with the number of the lost one and with its *origin*, the attempt that
began what it goes on in; the names of workspace and checkpoints follow from the origin and nothing else. The wish to
resume is recorded (`status.resumeFrom`) until the command of such an attempt was let go, so no crash in between loses
it. What is proved gone is begun anew, and said so.
"""

from __future__ import annotations

from datetime import datetime

from controller.api.batchjob import BatchJob, OnLost
from controller.api.batchjob_status import Attempt, BatchJobStatus, Phase
from controller.decisions import status as step
from controller.decisions.executors import POD, keeps_work
from controller.decisions.inputs import Host, Left, LeftState
from controller.decisions.plan import Note, Plan

RESUMED = "Resumed"  # condition: whether the newest attempt goes on from a lost one
NOTHING_LEFT = "NothingToResume"


def keeps_checkpoints(job: BatchJob) -> bool:
    """Whether attempts of `job` get a checkpoint directory: those that may be resumed. Others do not pay for one."""
    return job.spec.on_lost in (OnLost.RESUME, OnLost.MANUAL)


def wish(status: BatchJobStatus) -> BatchJobStatus:
    """The next attempt goes on from the newest, which is lost."""
    assert status.attempt is not None
    return status.model_copy(update={"resume_from": status.attempt.number})


def wish_again(status: BatchJobStatus) -> BatchJobStatus:
    """The newest attempt never began: what it was to go on from is as it was."""
    assert status.attempt is not None
    return status.model_copy(update={"resume_from": status.attempt.resumed_from})


def nothing_left(job: BatchJob, left: Left | None, executor: str, host: Host) -> str | None:
    """Why the next attempt cannot go on from the one that it was to; None where it can, or it is not known.

    Args:
        left: what was found of it, None where nobody looked.
        executor: where the next attempt goes.
    """
    status, lost = job.status, job.status.attempt
    if lost is None or status.resume_from is None:
        return None
    where = f"attempt {status.resume_from} ran"
    if lost.executor != executor:
        return f"{where} on executor {lost.executor}, the next one goes to {executor}"
    if executor == POD and not keeps_work(job.spec):
        return f"{where} in a Pod without spec.pod.workspaceClaim, and what it left went with that"
    if lost.state_id not in ("", host.state_id):
        return f"{where} under another state directory, {lost.state_id}"
    return left.message if left is not None and left.state is LeftState.GONE else None


def anew(job: BatchJob, status: BatchJobStatus, now: datetime, why: str) -> Plan:
    """What was to be resumed is gone for good: waiting longer cannot bring it back, so the job begins anew."""
    text = f"attempt {status.resume_from} cannot be resumed: {why}; the next attempt begins anew"
    new = step.mark(job, status, now, (RESUMED, "False", NOTHING_LEFT, text))
    new = new.model_copy(update={"resume_from": None})
    return Plan(new, wake_after=0.0, notes=(Note(NOTHING_LEFT, text, warning=True),))


def nothing_found(job: BatchJob, status: BatchJobStatus, now: datetime, why: str) -> BatchJobStatus:
    """An attempt that was to go on has found nothing there: only its executor could look. The next one begins anew."""
    return step.mark(job, status, now, (RESUMED, "False", NOTHING_LEFT, f"{why}; the next attempt begins anew"))


def chain(status: BatchJobStatus, number: int) -> tuple[Attempt, ...]:
    """The recorded attempts that worked in what attempt `number` began, the newest last."""
    newest = (status.attempt,) if status.attempt is not None else ()
    return tuple(each for each in (*status.history, *newest) if step.origin(each) == number)


def wanted(status: BatchJobStatus, number: int) -> bool:
    """Whether the job works in what attempt `number` began, or may still go on in it."""
    newest = status.attempt
    if newest is None:
        return not step.finished(status)  # it was wiped
    if step.finished(status) or step.origin(newest) != number:
        return False
    return not newest.state.over or status.resume_from is not None or status.phase is Phase.WAITING
