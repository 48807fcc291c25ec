"""Whose turn it is at every repository, and why all others wait: one scheduling cycle over objects as they were read.

The controller's own decisions are asked (`decisions/admission.py`, `decisions/lock.py`) in the order in which it asks
them, so the answer is right also while no controller runs. Nothing here is recorded anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Phase
from controller.api.conditions import find, is_true
from controller.api.jobbatch import BatchPhase, JobBatch
from controller.api.repository import Holder, Lock, Repository
from controller.decisions.admission import cycle
from controller.decisions.holders import Record, record_of
from controller.decisions.lock import Claim, Line, compatible
from controller.decisions.order import Candidate
from controller.reconcile.books import Books

RepositoryName = tuple[str, str]  # (namespace, name)
Reason = tuple[str, str]  # reason in CamelCase, message

NEXT: Reason = ("Next", "nothing is in its way")


@dataclass(frozen=True, slots=True)
class Waiting:
    """One claim that waits, and its job: None for a person's."""

    claim: Claim
    job: BatchJob | None


@dataclass(frozen=True, slots=True)
class World:
    """What was read.

    Args:
        jobs: by uid.
        waiting: of every repository, in order.
        limit: how many attempts the host runs at once.
    """

    books: Books
    jobs: Mapping[str, BatchJob]
    repositories: Mapping[RepositoryName, Repository]
    batches: Mapping[tuple[str, str], JobBatch]
    waiting: Mapping[RepositoryName, list[Waiting]]
    limit: int
    now: datetime


@dataclass(slots=True)
class Turns:
    """One cycle; `granted` are uids of claims whose turn it is, `refused` those of whom the lock was asked in vain."""

    world: World
    granted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    _why: dict[str, Reason] = field(default_factory=dict)
    _lines: dict[RepositoryName, Line] = field(default_factory=dict)
    _by_job: dict[str, tuple[RepositoryName, Claim]] = field(default_factory=dict)

    def run(self) -> None:
        """The cycle (design 4): candidates in their order, then the people behind the last of them."""
        for name, waiting in self.world.waiting.items():
            self._by_job |= {each.claim.job: (name, each.claim) for each in waiting if each.job is not None}
        books = self.world.books
        cycle(books.views({}, {}), self.world.limit, books.held_total, self._may_start)
        for name, waiting in self.world.waiting.items():
            self.granted |= {claim.uid for claim in self._line(name).finish()}
            self.refused |= {each.claim.uid for each in waiting if each.job is None} - self.granted

    def why(self, name: RepositoryName, at: int) -> Reason:
        """Why the claim at `at` in the line of a repository waits."""
        each = self.world.waiting[name][at]
        if each.claim.uid in self.granted:
            return NEXT
        if each.claim.uid in self.refused:
            return self._in_the_way(name, at)
        assert each.job is not None
        return self._why.get(each.job.metadata.uid) or self._passed_over(each.job)

    def _may_start(self, waiting: Candidate) -> bool:
        job = self.world.jobs[waiting.uid]
        retry = job.status.retry_at
        if retry is not None and retry > self.world.now:
            left = round((retry - self.world.now).total_seconds())
            self._why[waiting.uid] = ("BackingOff", f"passed over: its next attempt is in {left} s at the earliest")
            return False
        known = self._by_job.get(waiting.uid)
        if known is None:
            return True
        name, claim = known
        if (reason := not_ready(self.world, name, job)) is not None:
            self._why[waiting.uid] = reason
            return False
        if self._line(name).may_grant(claim):
            return True
        self.refused.add(claim.uid)
        return False

    def _line(self, name: RepositoryName) -> Line:
        line = self._lines.get(name)
        if line is None:
            people = [each.claim for each in self.world.waiting[name] if each.job is None]
            line = self._lines[name] = Line(_effective(self.world, name), people)
        return line

    def _in_the_way(self, name: RepositoryName, at: int) -> Reason:
        """Who holds it, or who stands before it and has to be served first."""
        lock = _effective(self.world, name)
        if lock is None:
            return "LockNotRebuilt", "who holds it is not known: nothing is granted before its record is rebuilt"
        mine = self.world.waiting[name][at].claim
        others = [held for held in lock.holders if not compatible([held], mine.mode)]
        if others:
            return "Held", f"{_named(others)} {'holds' if len(others) == 1 else 'hold'} it"
        for position, before in enumerate(self.world.waiting[name][:at], start=1):
            ahead = before.claim
            if ahead.uid in self.refused or (ahead.uid in self.granted and not compatible([ahead], mine.mode)):
                name_of = before.job.metadata.name if before.job is not None else ahead.name
                return "Behind", f"behind {name_of} ({ahead.mode}), position {position}"
        return "Full", f"{len(lock.holders)} hold it already"

    def _passed_over(self, job: BatchJob) -> Reason:
        """It was not asked: its job cannot start, whoever holds the repository."""
        spec, status = job.spec, job.status
        if spec.cancel or job.metadata.deletion_timestamp is not None:
            return "Canceled", "passed over: it is being canceled"
        if spec.suspend:
            return "Suspended", "passed over: its job is suspended"
        if status.phase is Phase.WAITING:
            return "NeedsDecision", f"passed over: a person decides (holdfast decide {job.metadata.name})"
        name = (job.metadata.namespace, spec.queue)
        account = self.world.books.account(name)
        if not self.world.books.exists(name):
            return "QueueNotFound", f"passed over: there is no JobQueue {spec.queue}"
        declared = account.declared.spec if account.declared is not None else None
        if declared is not None and declared.paused:
            return "QueuePaused", f"passed over: queue {spec.queue} is paused"
        if declared is not None and declared.concurrency is not None and len(account.held) >= declared.concurrency:
            return "NoSlot", f"queue {spec.queue} runs {len(account.held)} of {declared.concurrency}"
        return "NoSlot", f"no free slot (queue {spec.queue}, {self.world.books.held_total} of {self.world.limit} run)"


def not_ready(world: World, name: RepositoryName, job: BatchJob) -> Reason | None:
    """Why the repository cannot be used by the job yet, None where it can."""
    repository = world.repositories.get(name)
    if repository is None:
        return "RepositoryNotFound", f"there is no Repository {name[1]}"
    if not is_true(repository.status.conditions, "Ready"):
        ready = find(repository.status.conditions, "Ready")
        return (
            "RepositoryNotReady",
            f"not ready: {ready.message or ready.reason if ready else 'nobody has seen it yet'}",
        )
    used = job.status.repository
    if repository.spec.prepare is None or used is None or not used.batch:
        return None
    batch = world.batches.get((name[0], used.batch))
    if batch is None or batch.status.phase is not BatchPhase.READY:
        phase = batch.status.phase if batch is not None else None
        return "Preparing", f"JobBatch {used.batch} is {phase or 'not made yet'}"
    return None


def is_over(holder: Holder, jobs: Mapping[str, BatchJob]) -> bool:
    """Whether the attempt that holds is recorded as over: its lock is free, the record follows."""
    job = jobs.get(holder.attempt.rpartition(".")[0])
    return job is not None and record_of(holder, job.status.attempt) is Record.OVER


def _effective(world: World, name: RepositoryName) -> Lock | None:
    """The lock without holders that are over, as the controller's cycle sees it; None: nothing may be granted."""
    repository = world.repositories.get(name)
    lock = repository.status.lock if repository is not None else None
    if lock is None:
        return None
    return lock.model_copy(update={"holders": tuple(h for h in lock.holders if not is_over(h, world.jobs))})


def _named(holders: Iterable[Holder]) -> str:
    told = [f"{held.claim} ({held.mode}{', fenced' if held.fenced_at else ''})" for held in holders]
    return ", ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")
