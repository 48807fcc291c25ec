"""The decision about a JobBatch: one shared preparation of a repository at one commit (requirement 5.7).

Promises: a preparation is run for as long as jobs wait for it and nowhere twice at once; one that was cut off by a
crash goes on, or is repeated once for free; a failure is told here, in one place, and lasts until a job comes to want
it anew. The base that it leaves is put in place by one rename: where it is, it is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.api.conditions import ConditionStatus, find, with_condition
from controller.api.jobbatch import MEMBERS_LENGTH, BatchPhase, JobBatch, JobBatchStatus
from controller.api.units import duration_seconds
from controller.decisions.job_repository import MENDED_BY_WAITING, PAUSE_MOST
from controller.decisions.operation import (
    LOST,
    UNKNOWN_AGAIN,
    End,
    Run,
    Step,
    backoff_left,
    backoff_seconds,
    follow,
    superseded,
)
from controller.decisions.plan import Action, Delete, Launch, Note

UNUSED_SECONDS = 24 * 3600.0  # without a job, after which batch and base are removed
MAX_TEXT = 2048  # bound of status.message in the schema
BASE_MISSING = "BaseMissing"


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was read for one decision about a JobBatch.

    Args:
        base: whether the prepared checkout is in place; None: it could not be read.
        run: of the newest try, recorded or known from a run directory.
        members: names of the jobs whose recorded status names this batch and that are not finished, sorted.
        wanted_at: when a job last came to want it (its newest attempt was queued), None where it is not known.
        blocked: why no try can start (the mirror is not ready): (reason, message), or None.
    """

    base: bool | None
    run: Run
    members: tuple[str, ...] = ()
    wanted_at: datetime | None = None
    blocked: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PreparationPlan:
    """One decision; as RepositoryPlan. Delete: remove the object, its base follows as an orphan."""

    status: JobBatchStatus
    actions: tuple[Action, ...] = ()
    wake_after: float | None = None
    notes: tuple[Note, ...] = ()


def batch_name(repository: str, commit: str, command: Sequence[str]) -> str:
    """The name of the JobBatch: a DNS label that follows from what is prepared, so that making it twice makes it once.

    Args:
        repository: name of the Repository.
        commit: whole commit id.
        command: the prepare command.
    """
    what = json.dumps([repository, commit, list(command)], ensure_ascii=True)
    digest = hashlib.sha256(what.encode("ascii")).hexdigest()[:12]
    return f"{repository[:36].rstrip('-')}-{commit[:12]}-{digest}"


def is_named_for(batch: JobBatch) -> bool:
    """Whether it has the name of what it prepares; another one is somebody else's, and no job's preparation."""
    return batch.metadata.name == batch_name(batch.spec.repository, batch.spec.commit, batch.spec.prepare.command)


def decide(batch: JobBatch, seen: Seen, now: datetime) -> PreparationPlan:
    """Decide about `batch`, whose recorded status is `batch.status`.

    Args:
        batch: declared and recorded.
        seen: what was observed for this decision.
        now: wall clock, timezone-aware UTC.
    """
    if batch.metadata.deletion_timestamp is not None:
        return PreparationPlan(batch.status)
    status = _rebuilt(batch, seen, now)
    if status.phase is BatchPhase.PREPARING:
        deadline = duration_seconds(batch.spec.prepare.deadline)
        plan = _followed(batch, status, seen, follow(status.number, seen.run, deadline), now)
    elif seen.base is None or seen.run.known is None:
        plan = PreparationPlan(status, wake_after=UNKNOWN_AGAIN)
    elif seen.base:
        plan = PreparationPlan(_ready(batch, status, now))
    else:
        plan = _missing(batch, status, seen, now)
    return _with_members(batch, plan, seen, now)


def _rebuilt(batch: JobBatch, seen: Seen, now: datetime) -> JobBatchStatus:
    """A status that was wiped: the newest try with a run directory goes on (requirement 1.3)."""
    status = batch.status
    if status.number or not seen.run.known:
        return status
    update = {"number": max(seen.run.known), "phase": BatchPhase.PREPARING, "started_at": now}
    return status.model_copy(update=update)


def _mark(
    batch: JobBatch,
    status: JobBatchStatus,
    now: datetime,
    kind: str,
    value: ConditionStatus,
    reason: str,
    text: str = "",
) -> JobBatchStatus:
    generation = batch.metadata.generation
    conditions = with_condition(status.conditions, kind, value, reason, text, generation, now)
    return status.model_copy(update={"conditions": conditions})


def _not_failed(batch: JobBatch, status: JobBatchStatus, now: datetime, reason: str) -> JobBatchStatus:
    return _mark(batch, status, now, "Failed", "False", reason) if find(status.conditions, "Failed") else status


def _ready(batch: JobBatch, status: JobBatchStatus, now: datetime) -> JobBatchStatus:
    update = {"phase": BatchPhase.READY, "reason": "", "message": "", "retry_at": None, "failures": 0}
    new = _not_failed(batch, status.model_copy(update=update), now, "Prepared")
    return _mark(batch, new, now, "Ready", "True", "Prepared")


def _followed(batch: JobBatch, status: JobBatchStatus, seen: Seen, step: Step, now: datetime) -> PreparationPlan:
    if step.end is None:
        text = step.message[:MAX_TEXT]
        if not step.reason or (status.reason, status.message) == (step.reason, text):
            return PreparationPlan(status, step.actions, step.wake_after)
        told = _mark(batch, status, now, "Ready", "False", step.reason, text)
        return PreparationPlan(told, step.actions, step.wake_after)
    if seen.base is None:
        return PreparationPlan(status, wake_after=UNKNOWN_AGAIN)
    over = status.model_copy(update={"finished_at": max(step.end.finished_at or now, status.started_at or now)})
    if seen.base:  # also of one that was cut off after the rename
        note = Note("Prepared", f"try {status.number}: {step.end.message or 'prepared'}")
        return PreparationPlan(_ready(batch, over, now), step.actions, None, (note,))
    end = step.end
    if end.ok:
        end = replace(end, ok=False, reason=BASE_MISSING, message="it succeeded, but its base is not there")
    new, note = _failure(batch, over, end, now)
    return PreparationPlan(new, step.actions, 0.0 if new.phase is BatchPhase.PENDING else None, (note,))


def _failure(batch: JobBatch, status: JobBatchStatus, end: End, now: datetime) -> tuple[JobBatchStatus, Note]:
    text = f"try {status.number}: {end.message}"[:MAX_TEXT]
    if end.lost and status.reason != LOST:
        # Once for free: not the command's failure. In a row it counts, for the command may be what kills the host.
        again = {"phase": BatchPhase.PENDING, "reason": LOST, "message": text, "retry_at": None}
        new = _mark(batch, status.model_copy(update=again), now, "Ready", "False", end.reason, text)
        return new, Note(end.reason, f"{text}; it is repeated", warning=True)
    if end.reason in MENDED_BY_WAITING:
        # Nor is this the command's failure: as often as it takes, and no job fails for it.
        waits: dict[str, object] = {"phase": BatchPhase.PENDING, "reason": end.reason, "message": text}
        waits["retry_at"] = now + timedelta(seconds=PAUSE_MOST)
        new = _mark(batch, status.model_copy(update=waits), now, "Ready", "False", end.reason, text)
        return new, Note(end.reason, f"{text}; it is repeated in {PAUSE_MOST:g} s", warning=True)
    failures = status.failures + 1
    update: dict[str, object] = {"failures": failures, "reason": end.reason, "message": text}
    if failures <= batch.spec.prepare.retry_limit:
        delay = backoff_seconds(failures)
        update |= {"phase": BatchPhase.PENDING, "retry_at": now + timedelta(seconds=delay)}
        new = _mark(batch, status.model_copy(update=update), now, "Ready", "False", end.reason, text)
        told = f"{text}; repeat {failures} of {batch.spec.prepare.retry_limit} in {delay:g} s"
        return new, Note("Retrying", told, warning=True)
    update |= {"phase": BatchPhase.FAILED, "retry_at": None}
    new = _mark(batch, status.model_copy(update=update), now, "Ready", "False", end.reason, text)
    return _mark(batch, new, now, "Failed", "True", end.reason, text), Note("Failed", text, warning=True)


def _missing(batch: JobBatch, status: JobBatchStatus, seen: Seen, now: datetime) -> PreparationPlan:
    """There is no base and no try runs: start one where jobs wait for it."""
    if status.phase is BatchPhase.FAILED:
        if not _wanted_anew(batch, status, seen):
            return PreparationPlan(status)
        update = {"phase": BatchPhase.PENDING, "failures": 0, "retry_at": None, "reason": "", "message": ""}
        status = _not_failed(batch, status.model_copy(update=update), now, "WantedAnew")
    elif status.phase is not BatchPhase.PENDING:
        status = status.model_copy(update={"phase": BatchPhase.PENDING})
        if find(status.conditions, "Ready"):
            status = _mark(batch, status, now, "Ready", "False", BASE_MISSING, "the base is not there any more")
    cleanup = superseded(seen.run, status.number)
    if not seen.members:
        return PreparationPlan(status, cleanup)
    if seen.blocked is not None:
        return PreparationPlan(_mark(batch, status, now, "Ready", "False", *seen.blocked), cleanup)
    if (left := backoff_left(status.retry_at, now)) > 0:
        return PreparationPlan(status, cleanup, left)
    number = max(status.number, *(seen.run.known or ()), 0) + 1
    update = {"phase": BatchPhase.PREPARING, "number": number, "started_at": now, "finished_at": None, "retry_at": None}
    new = _mark(batch, status.model_copy(update=update), now, "Ready", "False", "Preparing", f"try {number}")
    return PreparationPlan(new, (*cleanup, Launch(number)), 0.0)


def _wanted_anew(batch: JobBatch, status: JobBatchStatus, seen: Seen) -> bool:
    """A failure lasts for the jobs that met it: a job that comes later, or another spec.prepare, starts a new round."""
    failed = find(status.conditions, "Failed")
    edited = failed is None or failed.observed_generation != batch.metadata.generation
    ended = status.finished_at
    later = seen.wanted_at is not None and ended is not None and seen.wanted_at > ended
    return bool(seen.members) and (edited or later)


def _with_members(batch: JobBatch, plan: PreparationPlan, seen: Seen, now: datetime) -> PreparationPlan:
    """Who uses it, and since when nobody does: then it goes after a day."""
    status = plan.status.model_copy(
        update={"members": seen.members[:MEMBERS_LENGTH], "member_count": len(seen.members)}
    )
    if seen.members:
        status = _mark(batch, status, now, "InUse", "True", "JobsUseIt")
        return replace(plan, status=status)
    status = _mark(batch, status, now, "InUse", "False", "NoJobUsesIt")
    unused = find(status.conditions, "InUse")
    if status.phase is BatchPhase.PREPARING or unused is None:
        return replace(plan, status=status)
    left = UNUSED_SECONDS - (now - unused.last_transition_time).total_seconds()
    if left <= 0:
        return replace(plan, status=status, actions=(*plan.actions, Delete()))
    wake = left if plan.wake_after is None else min(left, plan.wake_after)
    return replace(plan, status=status, wake_after=wake)
