"""Whose turn it is at every repository, and why all others wait: one cycle of the controller's own scheduler.

Scheduler and book of the repositories are those of the controller, told of objects as they were read instead of by a
watch; so the answer is right also while no controller runs. What they grant here is looked at and thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from typing import Any

from pydantic import ValidationError

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Phase
from controller.api.kinds import MODELS
from controller.api.repository import Holder, Lock, Repository
from controller.api.repositorylock import RepositoryLock
from controller.cli.machine import Machine
from controller.cli.places import home
from controller.decisions import status as step
from controller.decisions.executors import named, outside_queue
from controller.decisions.lock import Claim, compatible, job_claim
from controller.decisions.order import candidate
from controller.decisions.placement import Place, place
from controller.kube.store import Store
from controller.reconcile.index import AttemptIndex
from controller.reconcile.mirrors import resolver
from controller.reconcile.repository_book import CLAIMING, RepositoryBook
from controller.reconcile.repository_pages import Want
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import WorkQueue
from controller.repositories.places import Places
from controller.telemetry.metrics import Metrics

Object = dict[str, Any]
RepositoryName = tuple[str, str]  # (namespace, name)
Reason = tuple[str, str]  # reason in CamelCase, message

NEXT: Reason = ("Next", "nothing is in its way")


class _Book(RepositoryBook):
    """Of a reader: whether a ref is to be fetched is seen only where the mirror is."""

    def not_fetched(self, want: Want, repository: Repository) -> tuple[str, str] | None:
        here = Places(home()).mirror(*want.repository).exists()
        return super().not_fetched(want, repository) if here else None


@dataclass(frozen=True, slots=True)
class Read:
    """Objects as the API server sent them; `jobs` and `queues` of all namespaces where they may be read."""

    repositories: list[Object]
    claims: list[Object]
    jobs: list[Object]
    queues: list[Object]
    batches: list[Object]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One claim that waits.

    Args:
        job: whose it is; None for a person's.
        made: whether there is a RepositoryLock for it already.
    """

    claim: Claim
    job: BatchJob | None
    made: bool = True


class Turns:
    """One cycle over `read`; what cannot be parsed is left out, as the controller sets it aside.

    To be made where an event loop runs: the scheduler sets timers, which nobody waits for.
    """

    def __init__(self, read: Read, host: Machine, now: datetime) -> None:
        self._now = now
        self._limit, self._executor = host.limit, host.executor
        queue, index = WorkQueue(), AttemptIndex()
        index.load([])
        self._store = Store(Metrics())
        self._scheduler = Scheduler(queue, index, host.limit, host.executor)
        self._book = _Book(queue, self._scheduler, self._store, self._commit)
        self._store.listen(self._book.observe)
        self._store.listen(self._scheduler.observe)
        self._scheduler.also_ask(self._book)
        self._tell(read)
        self.jobs: Mapping[str, BatchJob] = {
            job.metadata.uid: job for _, job in self._store.items("BatchJob") if isinstance(job, BatchJob)
        }
        self.claims: Mapping[str, RepositoryLock] = {
            claim.metadata.uid: claim
            for _, claim in self._store.items("RepositoryLock")
            if isinstance(claim, RepositoryLock)
        }
        self._cycle()
        self.waiting = {name: self._line(name) for name in self.names()}
        self._granted = {claim.uid for name in self.waiting for claim in self._book.pending(name)}

    def names(self) -> list[RepositoryName]:
        """Repositories that exist or are claimed."""
        there = {(key.namespace, key.name) for key, _ in self._store.items("Repository")}
        claimed = {(claim.metadata.namespace, claim.spec.repository) for claim in self.claims.values()}
        return sorted(there | claimed)

    def repository(self, name: RepositoryName) -> Repository | None:
        """As it was read."""
        return self._book.declared(name)

    def over(self, name: RepositoryName) -> set[str]:
        """uids of holders whose attempt is recorded as over: their lock is free, the record follows."""
        return {held.uid for held in self._book.over(name)}

    def why(self, name: RepositoryName, at: int) -> Reason:
        """Why the claim at `at` in the line of a repository waits."""
        each = self.waiting[name][at]
        if each.claim.uid in self._granted:
            return NEXT
        if each.job is None:
            return self._in_the_way(name, at) or NEXT
        told = self._book.why(each.job.metadata.uid)
        if told is None:
            return self._passed_over(each.job)
        if told[0] in ("WaitingForLock", CLAIMING[0]):
            return self._in_the_way(name, at) or told
        return told

    # --- the cycle

    def _commit(self, namespace: str, name: str, ref: str) -> str | None:
        """Of a ref in the mirror; where that is on another host, of the branch as it is recorded."""
        found = resolver(Places(home()))(namespace, name, ref)
        repository = self.repository((namespace, name))
        if found is None and repository is not None and ref == repository.spec.branch:
            return repository.status.commit or None
        return found

    def _tell(self, read: Read) -> None:
        """Repositories and claims before jobs and queues: the book is to know all when it is asked."""
        kinds = {
            "Repository": read.repositories,
            "JobBatch": read.batches,
            "RepositoryLock": [_with_place(item) for item in read.claims],
            "JobQueue": read.queues,
            "BatchJob": read.jobs,
        }
        for kind, items in kinds.items():
            for item in items:
                # Looked at first, for the store tells what it sets aside, and stdout belongs to the answer.
                if _parses(kind, item):
                    self._store.update(kind, item)

    def _cycle(self) -> None:
        for job in self.jobs.values():
            if self._scheduler.sequence(job) is None:
                self._scheduler.set_sequence(job, job.metadata.version)
            if (left := self._backs_off(job)) > 0:
                self._scheduler.hold_back(job.metadata.uid, left)
        self._scheduler.gate.wait_for(set())
        self._scheduler.cycle()

    def _line(self, name: RepositoryName) -> list[Waiting]:
        """All claims that wait, in order; of jobs also those that are passed over now. Who holds waits no more."""
        lock = self._book.lock(name)
        holding = {each for held in (lock.holders if lock is not None else ()) for each in (held.uid, held.attempt)}
        in_line = self._book.waiting(name, self._scheduler.books.in_line(name[0]))
        claims = merge(in_line, sorted(self._held_back(name)))
        return [self._waiting(claim) for claim in claims if holding.isdisjoint({claim.uid, claim.attempt} - {""})]

    def _waiting(self, claim: Claim) -> Waiting:
        return Waiting(claim, self.jobs.get(claim.job), claim.person or claim.uid in self.claims)

    def _held_back(self, name: RepositoryName) -> Iterable[Claim]:
        """Claims of jobs that do not stand in any queue now: suspended, or waiting for a person."""
        for claim in self.claims.values():
            holder, job = claim.spec.holder, self.jobs.get(claim.spec.holder.uid)
            if job is None or (claim.metadata.namespace, claim.spec.repository) != name:
                continue
            want, sequence = self._book.want(job.metadata.uid), self._scheduler.sequence(job)
            current = want is not None and want.attempt == holder.attempt and sequence is not None
            if current and step.active(job.status) is None and place(job, ()) is Place.NEITHER:
                meta, stands = claim.metadata, candidate(job, sequence or 0)
                yield job_claim(stands, meta.uid, meta.name, claim.spec.mode, holder.attempt)

    # --- why

    def _in_the_way(self, name: RepositoryName, at: int) -> Reason | None:
        """Who holds it, or who stands before it and has to be served first."""
        lock, mine = self._effective(name), self.waiting[name][at].claim
        if lock is None:
            return "LockNotRebuilt", "who holds it is not known: nothing is granted before its record is rebuilt"
        others = [held for held in lock.holders if not compatible([held], mine.mode)]
        if others:
            return "Held", f"{_named(others)} {'holds' if len(others) == 1 else 'hold'} it"
        for position, before in enumerate(self.waiting[name][:at], start=1):
            if self._stands(before) and not compatible([before.claim], mine.mode):
                title = before.job.metadata.name if before.job is not None else before.claim.name
                return "Behind", f"behind {title} ({before.claim.mode}), position {position}"
        return None

    def _stands(self, each: Waiting) -> bool:
        """Whether it is served before those behind it: it has its turn, or would have it with lock or slot."""
        if each.claim.uid in self._granted or each.job is None:
            return True
        told = self._book.why(each.job.metadata.uid) or self._passed_over(each.job)
        return told[0] in ("WaitingForLock", CLAIMING[0], "NoSlot")

    def _effective(self, name: RepositoryName) -> Lock | None:
        lock, over = self._book.lock(name), self.over(name)
        if lock is None:
            return None
        return lock.model_copy(update={"holders": tuple(held for held in lock.holders if held.uid not in over)})

    def _backs_off(self, job: BatchJob) -> float:
        retry = job.status.retry_at
        return (retry - self._now).total_seconds() if retry is not None else 0.0

    def _passed_over(self, job: BatchJob) -> Reason:
        """It was not asked: its job cannot start, whoever holds the repository."""
        spec, status, books = job.spec, job.status, self._scheduler.books
        if spec.cancel or job.metadata.deletion_timestamp is not None:
            return "Canceled", "passed over: it is being canceled"
        if spec.suspend:
            return "Suspended", "passed over: its job is suspended"
        if status.phase is Phase.WAITING:
            return "NeedsDecision", f"passed over: a person decides (holdfast decide {job.metadata.name})"
        if (left := self._backs_off(job)) > 0:
            return "BackingOff", f"passed over: its next attempt is in {left:.0f} s at the earliest"
        name = (job.metadata.namespace, spec.queue)
        account = books.account(name)
        declared = account.declared.spec if account.declared is not None else None
        if not books.exists(name):
            return "QueueNotFound", f"passed over: there is no JobQueue {spec.queue}"
        if declared is not None and declared.paused:
            return "QueuePaused", f"passed over: queue {spec.queue} is paused"
        if outside_queue(job, named(spec, self._executor)):
            return NEXT  # it needs no slot
        if declared is not None and declared.concurrency is not None and len(account.held) >= declared.concurrency:
            return "NoSlot", f"no free slot: queue {spec.queue} runs {len(account.held)} of {declared.concurrency}"
        return "NoSlot", f"no free slot: {books.held_total} of {self._limit} run, or others are before it"


def _parses(kind: str, item: Object) -> bool:
    try:
        MODELS[kind].model_validate(item)
    except ValidationError:
        return False
    return True


def _with_place(claim: Object) -> Object:
    """A person's claim that no controller has seen yet stands where it will be put: behind what was made before."""
    status = claim.get("status") or {}
    if status.get("sequence") is not None or claim["spec"]["holder"].get("attempt"):
        return claim
    return {**claim, "status": {**status, "sequence": int(claim["metadata"]["resourceVersion"])}}


def _named(holders: Iterable[Holder]) -> str:
    told = [f"{held.claim} ({held.mode}{', fenced' if held.fenced_at else ''})" for held in holders]
    return ", ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")
