"""The decision about what an attempt leaves behind: does it still belong to somebody (requirement 7.6)?

Missing is not proof: an owner is gone only where an uncached read said so, and nothing alive is ever removed.
"""

from __future__ import annotations

from enum import StrEnum

from controller.api.batchjob import BatchJob, DecisionAction
from controller.api.batchjob_status import AttemptState, BatchJobStatus
from controller.decisions import resume
from controller.decisions.observed import Evidence, Observation
from controller.decisions.plan import Action, Release, Stop, Void

GRACE_SECONDS = 30.0  # between TERM and KILL of what a deleted job left running
MANY = 3  # more ownerless directories than this...
MANY_SHARE = 0.10  # ...and over this share of all live ones: a person decides (design 9)


class Owner(StrEnum):
    """What is known of the BatchJob that a run directory names."""

    PRESENT = "Present"
    GONE = "Gone"  # an uncached GET answered 404 naming it, or another uid lives under its name
    UNKNOWN = "Unknown"


def decide_orphan(number: int, found: Observation, owner: Owner, kept: bool, over: bool = False) -> tuple[Action, ...]:
    """What to do with the run directory of attempt `number`.

    Args:
        found: what was observed of the attempt.
        owner: of the directory.
        kept: the recorded status still names this attempt (the newest, or one in its history).
        over: the recorded status says that it is over; a person may have said so of one that lives.
    """
    if owner is Owner.UNKNOWN or found.evidence is Evidence.UNKNOWN:
        return ()
    if owner is Owner.PRESENT and not over:
        return ()
    reason, text = ("Deleted", "its BatchJob was deleted") if owner is Owner.GONE else ("GivenUp", "it was given up")
    match found.evidence:
        case Evidence.ABSENT:
            return ()
        case Evidence.LAUNCHING:
            return (Void(number, text),)
        case Evidence.ALIVE:
            return (Stop(number, reason, GRACE_SECONDS),)
        case _ if found.processes_left:
            return (Stop(number, reason, 0.0),)
        case _:
            # Also of one that is kept: a crash may have come between the record of its end and the release.
            return (Release(number, keep_record=owner is Owner.PRESENT and kept),)


def is_kept(recorded: BatchJobStatus, number: int) -> bool:
    """Whether the owner's recorded status names attempt `number`, or was wiped, or is about to name it."""
    newest = recorded.attempt
    if newest is None or number >= newest.number:
        return True
    return any(old.number == number for old in recorded.history)


def is_recorded_over(recorded: BatchJobStatus, number: int) -> bool:
    """Whether the owner's recorded status says that attempt `number` is over."""
    newest = recorded.attempt
    if newest is None or number > newest.number:
        return False
    return number < newest.number or newest.state.over


def is_given_up(recorded: BatchJobStatus, number: int) -> bool:
    """Recorded as lost; a person may have said so of one that lives."""
    known = (*recorded.history, *([recorded.attempt] if recorded.attempt is not None else []))
    return any(old.number == number and old.state is AttemptState.LOST for old in known)


def useless(job: BatchJob, number: int, used_at: float, kept_seconds: float, now: float) -> str | None:
    """Why nobody needs what attempt `number` of `job` began (its workspace, its checkpoints) any more; None: kept.

    What the job works in or may go on in is never given up; else the last attempt that worked in it decides.

    Args:
        used_at: when it was last used as far as the disk tells, in seconds since the epoch.
        kept_seconds: how long that of an attempt that did not succeed is kept.
        now: wall clock in seconds since the epoch.
    """
    status = job.status
    if resume.wanted(status, number) or not is_recorded_over(status, number):
        return None
    known = next(reversed(resume.chain(status, number)), None)
    if known is None or known.state is AttemptState.SUCCEEDED:
        return "its attempt is recorded as over"
    if _given_up_for_good(job):
        return "a person decided: Cleanup"
    since = known.finished_at.timestamp() if known.finished_at is not None else used_at
    return None if now - since <= kept_seconds else f"its attempt did not succeed, more than {kept_seconds:.0f} s ago"


def _given_up_for_good(job: BatchJob) -> bool:
    """Whether a person's answer, which was carried out, was to keep nothing of it."""
    answer, newest = job.spec.decision, job.status.attempt
    if answer is None or newest is None or answer.action is not DecisionAction.CLEANUP:
        return False
    return answer.attempt == newest.number == job.status.decided


def is_over(found: Observation) -> bool:
    """Whether it is proved that nothing of the attempt runs or ever will: it holds no slot."""
    ended = found.evidence in (Evidence.ENDED, Evidence.NEVER_STARTED, Evidence.GONE, Evidence.ABSENT)
    return ended and not found.processes_left


def is_live(found: Observation) -> bool:
    """Whether something of the attempt is proved to run or may begin: what a wrong view of the owners would end."""
    return found.evidence in (Evidence.ALIVE, Evidence.LAUNCHING) or found.processes_left > 0


def too_many(ownerless: int, live: int) -> bool:
    """Whether so much looks ownerless at once that more likely the view is wrong than the world."""
    return ownerless > MANY and ownerless > MANY_SHARE * live
