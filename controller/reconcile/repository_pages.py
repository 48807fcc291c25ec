"""The pages of the book of repositories: what is known of each, of its claims, and of the jobs that want it.

Here it is kept and asked; it is filled from the store's changes by `repository_news`, and read in each scheduling
cycle by `repository_book`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller.api.batchjob import BatchJob
from controller.api.jobbatch import JobBatch
from controller.api.keys import Key
from controller.api.repository import Holder, Lock, Repository
from controller.api.repository_use import LockMode, Push
from controller.decisions.holders import Record, record_of
from controller.decisions.lock import Claim, job_claim
from controller.decisions.order import Candidate
from controller.decisions.preparation import batch_name
from controller.kube.store import Store
from controller.reconcile.scheduler import Scheduler

RepositoryName = tuple[str, str]  # (namespace, name)
Reason = tuple[str, str]  # reason in CamelCase, message

PUSH_NOT_ALLOWED = "PushNotAllowed"
PREPARING = "Preparing"
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Want:
    """What a job that is not finished wants of a repository.

    Args:
        attempt: id of the attempt that it would be given to: the next one, or the active one.
        created: when the job was made.
        resumes: it goes on in the workspace of a lost attempt: nothing is prepared for it.
    """

    repository: RepositoryName
    mode: LockMode | None
    ref: str | None
    attempt: str
    job: Key
    push: Push = Push.NONE
    created: datetime | None = None
    resumes: bool = False


@dataclass(frozen=True, slots=True)
class JobClaim:
    """The RepositoryLock of an attempt; a job that was edited since needs another one."""

    uid: str
    name: str
    repository: RepositoryName
    mode: LockMode


@dataclass(slots=True)
class Entry:
    """One repository; `people` are waiting claims in order, `unplaced` uids of those whose place is being looked up,
    `pending` grants on their way to its record, `fenced` the tokens of holders that the fence was written for,
    `missed` since when something may be at the remote that a fetch has to bring: a ref that a job waits for, or
    `pushed`, what a Pod published, `outage` why nobody can be granted its lock now."""

    declared: Repository | None = None
    people: list[Claim] = field(default_factory=list)
    unplaced: set[str] = field(default_factory=set)
    pending: dict[str, Claim] = field(default_factory=dict)
    commits: dict[str, str | None] = field(default_factory=dict)
    batches: dict[str, JobBatch] = field(default_factory=dict)
    fenced: frozenset[int] = frozenset()
    missed: datetime | None = None
    pushed: datetime | None = None
    outage: Reason | None = None


class RepositoryPages:
    """See the module.

    Args:
        scheduler: it says who holds a grant of a slot that is not recorded yet.
        store: for the jobs of holders.
        resolve: (namespace, repository, ref) -> commit in the mirror, None where it is not there; reads files only.
    """

    def __init__(self, scheduler: Scheduler, store: Store, resolve: Callable[[str, str, str], str | None]) -> None:
        self._scheduler = scheduler
        self._store = store
        self._resolve = resolve
        self.entries: dict[RepositoryName, Entry] = {}
        self.wants: dict[str, Want] = {}  # by uid of the job
        self.claims: dict[str, JobClaim] = {}  # by attempt
        self.released: set[str] = set()  # claims whose grant is over, which may not be recorded in them yet
        self.names_taken: dict[str, Reason] = {}  # what a job needs cannot be made: by uid of the job
        self.dirty: set[RepositoryName] = set()  # changed since the last cycle

    def declared(self, name: RepositoryName) -> Repository | None:
        """The Repository, None where it is not in the store."""
        return self.entry(name).declared

    def want(self, uid: str) -> Want | None:
        """What the job wants, None where it wants no repository or is finished."""
        return self.wants.get(uid)

    def refused(self, uid: str) -> Reason | None:
        """Why the job may never start as it is declared."""
        want = self.wants.get(uid)
        repository = self.entry(want.repository).declared if want is not None else None
        return push_refused(want, repository) if want is not None and repository is not None else None

    def claim_of(self, attempt: str) -> tuple[str, str] | None:
        """uid and name of the RepositoryLock of an attempt; None also where it is not what the job wants."""
        known, want = self.claims.get(attempt), self.wants.get(job_uid(attempt))
        if known is None:
            return None
        wanted = (
            want is None or want.attempt != attempt or (want.repository, want.mode) == (known.repository, known.mode)
        )
        return (known.uid, known.name) if wanted else None

    def token(self, attempt: str) -> int | None:
        """The fencing token that the attempt was granted; None before lock and fence are recorded, or once fenced."""
        want = self.wants.get(job_uid(attempt))
        lock = self.lock(want.repository) if want is not None else None
        if want is None or lock is None:
            return None
        fenced = self.entry(want.repository).fenced
        return next((h.token for h in lock.holders if h.attempt == attempt and h.token in fenced), None)

    def holds(self, attempt: str, token: int | None) -> bool | None:
        """Whether the lock is recorded for the attempt; None: there is no record to look at."""
        want = self.wants.get(job_uid(attempt))
        lock = self.lock(want.repository) if want is not None else None
        return None if lock is None else any(h.attempt == attempt and h.token == token for h in lock.holders)

    def lock(self, name: RepositoryName) -> Lock | None:
        """The lock as it is recorded; None: nothing may be granted."""
        declared = self.entry(name).declared
        return declared.status.lock if declared is not None else None

    def pending(self, name: RepositoryName) -> tuple[Claim, ...]:
        """Grants that are to be recorded, in order; a job's only while it holds its slot."""
        entry = self.entry(name)
        kept = {
            uid: claim for uid, claim in entry.pending.items() if claim.person or self._scheduler.granted(claim.job)
        }
        entry.pending = kept
        return tuple(sorted(kept.values()))

    def over(self, name: RepositoryName) -> tuple[Holder, ...]:
        """Recorded holders whose attempt is recorded as over: their lock is free."""
        lock = self.lock(name)
        return tuple(h for h in (lock.holders if lock else ()) if h.attempt and self.record(h) is Record.OVER)

    def unused(self, name: RepositoryName) -> bool:
        """Whether a recorded grant is of a job that gave its slot back: it was held back, suspended or canceled."""
        lock = self.lock(name)
        return any(
            self.record(h) is Record.NOT_ADMITTED and not self._scheduler.granted(job_uid(h.attempt))
            for h in (lock.holders if lock else ())
            if h.attempt
        )

    def record(self, holder: Holder) -> Record:
        """What the recorded status of the holder's job says; UNKNOWN where the job is not in the store."""
        job = self.job(holder)
        if job is None:
            return Record.UNKNOWN
        newest = job.status.attempt
        return record_of(holder, newest)

    def job(self, holder: Holder) -> BatchJob | None:
        """The job of a holder, None for a person's or where it is not in the store."""
        key = self._scheduler.owner(job_uid(holder.attempt))
        return self._store.job(key) if key is not None else None

    def commit(self, name: RepositoryName, ref: str) -> str | None:
        """The commit of a ref in the mirror, None where it is not there."""
        commits = self.entry(name).commits
        if ref not in commits:
            commits[ref] = self._resolve(*name, ref)
        return commits[ref]

    def batch(self, want: Want) -> str | None:
        """Name of the JobBatch that a job needs now; None: it needs none, or its ref is not there."""
        repository = self.entry(want.repository).declared
        if repository is None or repository.spec.prepare is None or want.resumes:
            return None
        commit = self.commit(want.repository, want.ref or repository.spec.branch)
        return batch_name(want.repository[1], commit, repository.spec.prepare.command) if commit is not None else None

    def waiting(self, name: RepositoryName, candidates: Iterable[Candidate]) -> Iterator[Claim]:
        """Waiting claims in their order, read only as far as asked: of people, and of jobs among `candidates`."""
        return heapq.merge(self.entry(name).people, self._of_jobs(name, candidates))

    def job_claim(self, waiting: Candidate, want: Want, mode: LockMode) -> Claim:
        """The claim of a waiting job, also where its RepositoryLock is not made yet."""
        uid, name = self.claim_of(want.attempt) or (waiting.uid, waiting.name)
        return job_claim(waiting, uid, name, mode, want.attempt)

    def _of_jobs(self, name: RepositoryName, candidates: Iterable[Candidate]) -> Iterator[Claim]:
        for waiting in candidates:
            want = self.wants.get(waiting.uid)
            if want is not None and want.repository == name and want.mode is not None:
                yield self.job_claim(waiting, want, want.mode)

    def entry(self, name: RepositoryName) -> Entry:
        """The page of a Repository, opened where there is none."""
        entry = self.entries.get(name)
        if entry is None:
            entry = self.entries[name] = Entry()
        return entry


def push_refused(want: Want, repository: Repository) -> Reason | None:
    """Why the job may not push as it wants to: at most what the Repository allows."""
    if want.push.rank <= repository.spec.push.rank:
        return None
    allowed = f"Repository {want.repository[1]} allows {repository.spec.push}"
    return PUSH_NOT_ALLOWED, f"spec.repository.push: {want.push}, but {allowed}"


def preparing(batch: str) -> Reason:
    """What is said of a job that waits for the JobBatch of this name."""
    return PREPARING, f"waits for JobBatch {batch}"


def job_uid(attempt: str) -> str:
    """uid of the job that an attempt belongs to."""
    return attempt.rpartition(".")[0]
