"""Which operation on the mirror of a Repository is due, and how one ended (requirements 5.1, 5.2, 7.4).

Promises: one operation at a time; a mirror that may be half-made or damaged is verified before it is used; a mirror
that is there stays Ready while fetches fail; whatever fails is tried again, at most ten minutes later. `status.lock`
is never touched here. What is told to people about health lives in repository_health.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.api.repository import (
    ACTIVITIES_LENGTH,
    Operation,
    OperationState,
    OperationType,
    Repository,
    RepositorySpec,
    RepositoryStatus,
    Statistics,
)
from controller.api.units import duration_seconds
from controller.decisions.operation import (
    UNKNOWN_AGAIN,
    End,
    Run,
    Step,
    backoff_left,
    backoff_seconds,
    follow,
    superseded,
)
from controller.decisions.plan import Action, Launch, Note
from controller.decisions.repository_health import Facts, Mirror, judged, usable

SLOT_AGAIN = 1.0  # seconds until a network slot is asked for again
SETTLED = 5.0  # seconds after a success before the same operation is due again: the world contradicts its outcome
MAX_TEXT = 2048  # bound of operation.message in the schema

CORRUPT = "Corrupt"  # a Verify that set the mirror aside; a new one is cloned

NETWORK = frozenset({OperationType.CLONE, OperationType.FETCH})


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was read for one decision about a Repository.

    Args:
        mirror: facts of the mirror; None: they could not be read.
        run: of the newest operation, recorded or known from a run directory.
        slot_free: a network operation may start now (the limit of the host is not reached).
        blocked: why no operation can start (a Secret is missing, a scheme is not allowed): (reason, message), or None.
        missed: since when a job waits for a ref that is not in the mirror, None where none does.
    """

    mirror: Mirror | None
    run: Run
    slot_free: bool = True
    blocked: tuple[str, str] | None = None
    missed: datetime | None = None


@dataclass(frozen=True, slots=True)
class RepositoryPlan:
    """One decision: the status to record (its lock as it was), then the actions it entitles, then the next look.

    Args:
        status: equal to the recorded one where nothing changed.
        actions: done in this order, after `status` is recorded. A Launch is of `status.operation`.
        wake_after: seconds until the next look, None where only a change of the world wakes.
        notes: Events to send after the record.
    """

    status: RepositoryStatus
    actions: tuple[Action, ...] = ()
    wake_after: float | None = None
    notes: tuple[Note, ...] = ()


def active(status: RepositoryStatus) -> Operation | None:
    """The operation that is recorded and not proved over."""
    operation = status.operation
    return operation if operation is not None and operation.state is OperationState.STARTING else None


def network(status: RepositoryStatus) -> bool:
    """Whether a network operation is recorded and not proved over: it takes one of the host's network slots."""
    operation = active(status)
    return operation is not None and operation.type in NETWORK


def decide(repository: Repository, seen: Seen, now: datetime) -> RepositoryPlan:
    """Decide about `repository`, whose recorded status is `repository.status`.

    Args:
        repository: declared and recorded.
        seen: what was observed for this decision.
        now: wall clock, timezone-aware UTC.
    """
    if repository.metadata.deletion_timestamp is not None:
        return RepositoryPlan(repository.status)
    status = _rebuilt(_edited(repository), seen, now)
    operation = active(status)
    if operation is not None:
        deadline = duration_seconds(repository.spec.operation_deadline)
        plan = _followed(status, operation, follow(operation.number, seen.run, deadline), now)
    else:
        plan = _idle(repository.spec, status, seen, now)
    diverged = None
    if (over := plan.status.operation) is not operation and over is not None and over.state is OperationState.SUCCEEDED:
        diverged = seen.run.result.diverged if seen.run.result is not None else None
    new, wake = judged(repository, plan.status, Facts(seen.mirror, seen.blocked, diverged), now)
    return replace(plan, status=new, wake_after=_sooner(plan.wake_after, wake))


def _edited(repository: Repository) -> RepositoryStatus:
    """Another spec may succeed where the old one failed: its first try does not wait."""
    status, generation = repository.status, repository.metadata.generation
    if status.observed_generation == generation:
        return status
    return status.model_copy(update={"observed_generation": generation, "retry_at": None})


def _rebuilt(status: RepositoryStatus, seen: Seen, now: datetime) -> RepositoryStatus:
    """A status that was wiped: the newest operation with a run directory goes on (requirement 1.3)."""
    if status.operation is not None or not seen.run.known:
        return status
    said = seen.run.annotations.get("type", "")
    guess = OperationType.FETCH if seen.mirror is not None and seen.mirror.exists else OperationType.CLONE
    kind = OperationType(said) if said in set(OperationType) else guess
    started = seen.run.found.started_at if seen.run.found is not None else None
    number = max(seen.run.known)
    operation = Operation(number=number, type=kind, state=OperationState.STARTING, started_at=started or now)
    return status.model_copy(update={"operation": operation})


def _followed(status: RepositoryStatus, operation: Operation, step: Step, now: datetime) -> RepositoryPlan:
    if step.end is None:
        told = operation.model_copy(update={"reason": step.reason, "message": step.message[:MAX_TEXT]})
        changed = told != operation
        notes = (Note(step.reason, step.message, warning=True),) if changed and step.reason else ()
        new = status.model_copy(update={"operation": told}) if changed else status
        return RepositoryPlan(new, step.actions, step.wake_after, notes)
    new = _ended(status, operation, step.end, now)
    assert new.operation is not None
    text = f"operation {operation.number} ({operation.type.value}): {step.end.message or 'succeeded'}"
    if not step.end.ok:
        notes = (Note(step.end.reason, text, warning=True),)
    elif operation.type is OperationType.FETCH:
        notes = ()  # the daily bread: told by status.refreshedAt
    else:
        notes = (Note(f"{operation.type.value}Succeeded", text),)
    return RepositoryPlan(new, step.actions, step.wake_after, notes)


def _ended(status: RepositoryStatus, operation: Operation, end: End, now: datetime) -> RepositoryStatus:
    over = operation.model_copy(
        update={
            "state": OperationState.SUCCEEDED if end.ok else OperationState.FAILED,
            "finished_at": max(end.finished_at or now, operation.started_at),
            "reason": end.reason,
            "message": end.message[:MAX_TEXT],
        }
    )
    old = status.statistics
    counted = Statistics(operations=old.operations + 1, failed=old.failed + (not end.ok))
    failures = 0 if end.ok else status.failures + 1
    # What was cut off by a reboot or a kill, or found corrupt and set aside, goes on at once; not in a row.
    at_once = failures == 1 and (end.lost or end.reason == CORRUPT)
    delay = 0.0 if end.ok or at_once else backoff_seconds(failures)
    update: dict[str, object] = {
        "operation": over,
        "activities": (*status.activities, over)[-ACTIVITIES_LENGTH:],
        "statistics": counted,
        "success_percent": round(100 * (counted.operations - counted.failed) / counted.operations),
        "failures": failures,
        "retry_at": now + timedelta(seconds=delay) if delay else None,
    }
    if end.ok and operation.type in NETWORK:
        update["refreshed_at"] = operation.started_at  # what came to the remote after that may be missing
    if end.ok and end.result is not None and end.result.size_bytes is not None:
        update["size_bytes"] = end.result.size_bytes
    return status.model_copy(update=update)


def fetched_since(status: RepositoryStatus, moment: datetime) -> bool:
    """Whether the mirror has all that the remote had at `moment`, as far as the clocks tell."""
    return status.refreshed_at is not None and status.refreshed_at >= moment


def due(
    spec: RepositorySpec, status: RepositoryStatus, mirror: Mirror, now: datetime, missed: datetime | None = None
) -> tuple[OperationType | None, float]:
    """The operation that is due, or None and the seconds until the next one is.

    Args:
        missed: see Seen.
    """
    if not mirror.exists:
        return OperationType.CLONE, 0.0
    if not usable(status, mirror):
        return OperationType.VERIFY, 0.0
    interval = duration_seconds(spec.refresh_interval)
    age = (now - status.refreshed_at).total_seconds() if status.refreshed_at is not None else interval
    # An age below zero: the clock was set back, nobody knows how old it is.
    if _requested(spec, status) or age < 0 or age >= interval:
        return OperationType.FETCH, 0.0
    if missed is None or fetched_since(status, missed):
        return None, interval - age
    left = (missed - now).total_seconds()
    return (None, min(left, interval - age)) if left > 0 else (OperationType.FETCH, 0.0)


def _requested(spec: RepositorySpec, status: RepositoryStatus) -> bool:
    """spec.refreshRequestedAt moved, and no operation that succeeded answers it."""
    operation = status.operation
    asked = spec.refresh_requested_at is not None
    return asked and (_untried(spec, status) or (operation is not None and operation.state is OperationState.FAILED))


def _untried(spec: RepositorySpec, status: RepositoryStatus) -> bool:
    """A person asks, and no operation was started since: the backoff of earlier failures does not hold it up."""
    asked = spec.refresh_requested_at
    return asked is not None and (status.operation is None or status.operation.request != asked)


def _idle(spec: RepositorySpec, status: RepositoryStatus, seen: Seen, now: datetime) -> RepositoryPlan:
    """No operation runs: start the one that is due, or say when to look again."""
    if seen.mirror is None or seen.run.known is None:
        return RepositoryPlan(status, wake_after=UNKNOWN_AGAIN)
    kind, later = due(spec, status, seen.mirror, now, seen.missed)
    cleanup = superseded(seen.run, status.operation.number) if status.operation is not None else ()
    if kind is None:
        return RepositoryPlan(status, cleanup, later)
    waits = 0.0 if _untried(spec, status) and kind is not OperationType.VERIFY else backoff_left(status.retry_at, now)
    waits = max(waits, _settling(status, kind, now))
    if seen.blocked is not None:
        return RepositoryPlan(status, cleanup, waits or None)
    if waits > 0:
        return RepositoryPlan(status, cleanup, waits)
    if kind in NETWORK and not seen.slot_free:
        return RepositoryPlan(status, cleanup, SLOT_AGAIN)
    number = max(status.operation.number if status.operation is not None else 0, *seen.run.known, 0) + 1
    new = status.model_copy(update={"operation": _begun(spec, status, kind, number, now)})
    return RepositoryPlan(new, (*cleanup, Launch(number)), 0.0)


def _settling(status: RepositoryStatus, kind: OperationType, now: datetime) -> float:
    """Seconds to wait where the operation that is due has just succeeded: no hot loop against a contradiction."""
    last = status.operation
    if last is None or last.type is not kind or last.state is not OperationState.SUCCEEDED or kind not in NOT_BY_AGE:
        return 0.0
    since = (now - (last.finished_at or last.started_at)).total_seconds()
    return SETTLED - since if 0 <= since < SETTLED else 0.0


NOT_BY_AGE = frozenset({OperationType.CLONE, OperationType.VERIFY})


def _begun(
    spec: RepositorySpec, status: RepositoryStatus, kind: OperationType, number: int, now: datetime
) -> Operation:
    """The recorded intent. A Verify answers no request: what was answered before it stays answered."""
    last = status.operation
    answered = last.request if last is not None and last.state is OperationState.SUCCEEDED else None
    request = answered if kind is OperationType.VERIFY else spec.refresh_requested_at
    return Operation(number=number, type=kind, state=OperationState.STARTING, started_at=now, request=request)


def _sooner(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)
