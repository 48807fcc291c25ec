"""What people are told about a Repository: phase, conditions, figures (requirement 5.1).

Promises: everything follows from what is recorded and the mirror's facts, so it survives restarts; texts change only
when something happened, so nothing is written for an object that needs nothing (requirement 10.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import median

from controller.api.conditions import Condition, ConditionStatus, find, with_condition
from controller.api.model import format_time
from controller.api.repository import (
    Operation,
    OperationState,
    OperationType,
    Repository,
    RepositoryPhase,
    RepositoryStatus,
)
from controller.api.units import duration_seconds
from controller.decisions.operation import CUT_OFF, LOST, NO_EVIDENCE

STALE_INTERVALS = 3  # intervals without a refresh until people are told
FAILING_LEAST = 3  # failures among the last ten operations...
FAILING_SHARE = 0.5  # ...and their share of them, from which on it is failing
SLOW_MEDIANS = 3.0  # times the median of its kind...
SLOW_SAMPLES = 3  # ...where so many succeeded...
SLOW_SECONDS = 30.0  # ...and it runs at least so long
SLOW_DEADLINE = 0.8  # share of the deadline from which on it is slow in any case

# A repeat will hardly help: a person has to look. It is repeated nevertheless.
PERMANENT = frozenset(
    {
        "AuthenticationFailed",
        "HostKeyChanged",
        "RepositoryNotFound",
        "UrlRefused",
        "OtherRemote",
        "UnsupportedObjectFormat",
    }
)
# Ends that nobody tidied up after: lock files and partial packs may be left, or git found the mirror damaged.
UNTIDY = frozenset(
    {LOST, NO_EVIDENCE, CUT_OFF, "DeadlineExceeded", "Stopped", "OutputLimit", "MemoryLimit", "Sweep", "Corrupt"}
)

PHASES = {
    OperationType.CLONE: RepositoryPhase.CLONING,
    OperationType.FETCH: RepositoryPhase.FETCHING,
    OperationType.VERIFY: RepositoryPhase.VERIFYING,
}


@dataclass(frozen=True, slots=True)
class Mirror:
    """Facts of a mirror, read from its files.

    Args:
        exists: it was put in place.
        clean: nothing that writes to it (a push, the host itself) was cut off since it was last verified; what becomes
            of our own operations is known from the status.
        commit: of spec.branch, "" where it has no such branch.
    """

    exists: bool
    clean: bool = True
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is judged besides the status.

    Args:
        mirror: None where it could not be read.
        blocked: why no operation can start: (reason, message), or None.
        diverged: branches, from an operation that has just looked; None: nobody looked.
    """

    mirror: Mirror | None
    blocked: tuple[str, str] | None = None
    diverged: tuple[str, ...] | None = None


def usable(status: RepositoryStatus, mirror: Mirror) -> bool:
    """Whether workspaces may be made from the mirror; where it is there and this is False, a Verify is due."""
    last = status.operation
    untidy = False
    if last is not None and last.state is not OperationState.SUCCEEDED:
        cut_off = last.state is OperationState.FAILED and last.reason in UNTIDY
        untidy = last.type is OperationType.VERIFY or (last.type is OperationType.FETCH and cut_off)
    return mirror.exists and mirror.clean and not untidy


def judged(
    repository: Repository, status: RepositoryStatus, facts: Facts, now: datetime
) -> tuple[RepositoryStatus, float | None]:
    """`status` with phase, conditions and commit, and the seconds until time alone changes one of them."""
    book = _Book(status.conditions, repository.metadata.generation, now)
    mirror = facts.mirror
    _ready(book, status, facts)
    wakes = [_stale(book, repository, status, mirror, now), _slow(book, repository, status, now)]
    _failing(book, status, facts.blocked)
    if facts.diverged is not None:
        names = ", ".join(facts.diverged[:5]) + (", …" if len(facts.diverged) > 5 else "")
        text = f"{len(facts.diverged)} branches hold pushes that upstream does not have: {names}"
        book.alert("Diverged", "PushesNotUpstream" if facts.diverged else "", text)
    commit = status.commit if mirror is None else mirror.commit
    new = status.model_copy(update={"phase": _phase(status, mirror), "commit": commit, "conditions": book.conditions})
    return new, min((each for each in wakes if each is not None), default=None)


class _Book:
    """The conditions while they are written: an alert that never rang is not there."""

    def __init__(self, conditions: tuple[Condition, ...], generation: int, now: datetime) -> None:
        self.conditions, self._generation, self._now = conditions, generation, now

    def write(self, kind: str, value: ConditionStatus, reason: str, message: str) -> None:
        """Set the condition of type `kind`."""
        self.conditions = with_condition(self.conditions, kind, value, reason, message, self._generation, self._now)

    def alert(self, kind: str, reason: str, message: str) -> None:
        """True for `reason`; "": False, where it was ever told."""
        old = find(self.conditions, kind)
        if reason:
            self.write(kind, "True", reason, message)
        elif old is not None and old.status != "False":
            self.write(kind, "False", "Over", "")


def _last_failure(status: RepositoryStatus) -> Operation | None:
    """Of the failures since something last succeeded."""
    last = status.activities[-1] if status.activities else None
    return last if status.failures and last is not None and last.state is OperationState.FAILED else None


def _running(status: RepositoryStatus) -> Operation | None:
    operation = status.operation
    return operation if operation is not None and operation.state is OperationState.STARTING else None


def _ready(book: _Book, status: RepositoryStatus, facts: Facts) -> None:
    mirror, failed = facts.mirror, _last_failure(status)
    if mirror is None:
        book.write("Ready", "Unknown", "MirrorUnreadable", "the mirror's directory cannot be read")
    elif mirror.exists and usable(status, mirror):
        text = "" if mirror.commit else "the mirror has no branch of the name spec.branch"
        book.write("Ready", "True", "MirrorReady" if mirror.commit else "BranchNotFound", text)
    elif facts.blocked is not None:
        book.write("Ready", "False", *facts.blocked)
    elif failed is not None:
        book.write("Ready", "False", failed.reason, failed.message)
    elif not mirror.exists:
        book.write("Ready", "False", "NotCloned", "the mirror is not there yet")
    else:
        book.write("Ready", "False", "NotVerified", "the last stop was not clean: the mirror is verified before use")


def _stale(
    book: _Book, repository: Repository, status: RepositoryStatus, mirror: Mirror | None, now: datetime
) -> float | None:
    if status.refreshed_at is None or mirror is None or not mirror.exists:
        book.alert("Stale", "", "")
        return None
    limit = STALE_INTERVALS * duration_seconds(repository.spec.refresh_interval)
    age = (now - status.refreshed_at).total_seconds()
    text = f"not refreshed since {format_time(status.refreshed_at)}"
    book.alert("Stale", "NotRefreshed" if age > limit else "", text)
    return limit - age + 0.1 if 0 <= age <= limit else None


def _failing(book: _Book, status: RepositoryStatus, blocked: tuple[str, str] | None) -> None:
    last = _last_failure(status)
    failed = sum(1 for each in status.activities if each.state is OperationState.FAILED)
    if blocked is not None:
        book.alert("Failing", *blocked)
    elif last is not None and last.reason in PERMANENT:
        book.alert("Failing", last.reason, last.message)
    elif failed >= FAILING_LEAST and failed >= FAILING_SHARE * len(status.activities):
        newest = next(each for each in reversed(status.activities) if each.state is OperationState.FAILED)
        text = f"{failed} of the last {len(status.activities)} operations failed, the last one with {newest.reason}"
        book.alert("Failing", "FailureRateHigh", text)
    else:
        book.alert("Failing", "", "")


def slow_after(repository: Repository, status: RepositoryStatus, kind: OperationType) -> float:
    """Seconds after which an operation of `kind` is slow."""
    done = [
        (each.finished_at - each.started_at).total_seconds()
        for each in status.activities
        if each.type is kind and each.state is OperationState.SUCCEEDED and each.finished_at is not None
    ]
    late = SLOW_DEADLINE * duration_seconds(repository.spec.operation_deadline)
    return min(late, max(SLOW_SECONDS, SLOW_MEDIANS * median(done))) if len(done) >= SLOW_SAMPLES else late


def _slow(book: _Book, repository: Repository, status: RepositoryStatus, now: datetime) -> float | None:
    operation = _running(status)
    if operation is None:
        book.alert("Slow", "", "")
        return None
    limit = slow_after(repository, status, operation.type)
    runs = (now - operation.started_at).total_seconds()
    text = f"operation {operation.number} ({operation.type.value}) runs longer than {limit:.0f} s"
    book.alert("Slow", "OperationSlow" if runs > limit else "", text)
    return limit - runs + 0.1 if 0 <= runs <= limit else None


def _phase(status: RepositoryStatus, mirror: Mirror | None) -> RepositoryPhase | None:
    operation = _running(status)
    if operation is not None:
        return PHASES[operation.type]
    if mirror is None:
        return status.phase
    if usable(status, mirror):
        return RepositoryPhase.READY
    return RepositoryPhase.FAILED if _last_failure(status) is not None else RepositoryPhase.PENDING
