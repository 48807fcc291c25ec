"""The book of the repositories: what each waiting job wants of one, and what was granted but is not recorded yet.

Derived from the store and from refs in the mirrors, never written anywhere. The scheduler asks it for every candidate,
in order (design 4, step 4): lock and slot are granted in one cycle. A grant is a hint to the reconciler of the
Repository, which records it first; the job's own record comes second (design 5).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from controller.api.batchjob import BatchJob
from controller.api.conditions import find, is_true
from controller.api.jobbatch import BatchPhase, JobBatch
from controller.api.keys import Key
from controller.api.repository import Holder, Lock, Repository
from controller.api.repository_use import LockMode, Push
from controller.api.repositorylock import RepositoryLock
from controller.decisions import status as step
from controller.decisions.holders import Record, record_of
from controller.decisions.lock import Claim, Line, job_claim, person_claim
from controller.decisions.order import Candidate
from controller.decisions.preparation import batch_name
from controller.kube.store import Change, ChangeType, Store
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import HIGH, LOW, NORMAL, WorkQueue

RepositoryName = tuple[str, str]  # (namespace, name)
Reason = tuple[str, str]  # reason in CamelCase, message

PUSH_NOT_ALLOWED = "PushNotAllowed"
CLAIMING: Reason = ("Claiming", "its claim on the repository is being made")


@dataclass(frozen=True, slots=True)
class Want:
    """What a job that is not finished wants of a repository.

    Args:
        attempt: id of the attempt that it would be given to: the next one, or the active one.
        created: when the job was made.
    """

    repository: RepositoryName
    mode: LockMode | None
    ref: str | None
    attempt: str
    job: Key
    push: Push = Push.NONE
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class _JobClaim:
    """The RepositoryLock of an attempt; a job that was edited since needs another one."""

    uid: str
    name: str
    repository: RepositoryName
    mode: LockMode


@dataclass(slots=True)
class _Entry:
    """One repository; `people` are waiting claims in order, `unplaced` uids of those whose place is being looked up,
    `pending` grants on their way to its record, `fenced` the tokens of holders that the fence was written for."""

    declared: Repository | None = None
    people: list[Claim] = field(default_factory=list)
    unplaced: set[str] = field(default_factory=set)
    pending: dict[str, Claim] = field(default_factory=dict)
    commits: dict[str, str | None] = field(default_factory=dict)
    batches: dict[str, JobBatch] = field(default_factory=dict)
    fenced: frozenset[int] = frozenset()


class RepositoryBook:
    """See the module.

    Args:
        queue: the work queue.
        scheduler: who asks; it says who holds a grant of a slot that is not recorded yet.
        store: for the jobs of holders.
        resolve: (namespace, repository, ref) -> commit in the mirror, None where it is not there; reads files only.
    """

    def __init__(
        self, queue: WorkQueue, scheduler: Scheduler, store: Store, resolve: Callable[[str, str, str], str | None]
    ) -> None:
        self._queue = queue
        self._scheduler = scheduler
        self._store = store
        self._resolve = resolve
        self._entries: dict[RepositoryName, _Entry] = {}
        self._wants: dict[str, Want] = {}
        self._claims: dict[str, _JobClaim] = {}  # by attempt
        self._why: dict[str, Reason] = {}
        self._released: set[str] = set()
        self._lines: dict[RepositoryName, Line] = {}
        self._dirty: set[RepositoryName] = set()

    # --- what changes the book

    def observe(self, change: Change) -> None:
        """Listener of the store; to be told before the scheduler, which reads the book."""
        if change.type is ChangeType.CORRUPT:
            return
        match change.new or change.old:
            case BatchJob():
                self._observe_job(change)
            case Repository() as repository:
                self._observe_repository(change.key, None if change.new is None else repository)
            case RepositoryLock() as claim:
                self._observe_claim(change.key, claim, gone=change.new is None)
            case JobBatch() as batch:
                self._observe_batch(change.key, batch, gone=change.new is None)
        if self._dirty:
            self._scheduler.poke()

    def _observe_job(self, change: Change) -> None:
        before = None
        for job in (change.old, change.new):
            if isinstance(job, BatchJob) and job.spec.repository is not None:
                before = self._wants.pop(job.metadata.uid, None) or before
                self._dirty.add((job.metadata.namespace, job.spec.repository.name))
        job = change.new
        self._wake_batches(change)
        if isinstance(job, BatchJob) and job.spec.repository is not None and not step.finished(job.status):
            use, newest = job.spec.repository, job.status.attempt
            number = 1 if newest is None else newest.number + newest.state.over
            name = (job.metadata.namespace, use.name)
            attempt = f"{job.metadata.uid}.{number}"
            made = job.metadata.creation_timestamp
            self._wants[job.metadata.uid] = Want(name, use.lock.mode, use.ref, attempt, change.key, use.push, made)
        elif isinstance(gone := change.old or change.new, BatchJob):
            self._why.pop(gone.metadata.uid, None)
        if before is not None:
            self._edited(before, self._wants.get(_job_uid(before.attempt)))

    def _edited(self, before: Want, now: Want | None) -> None:
        """A job that wants something else needs another claim, and what was granted is not what it wants."""
        same = now is not None and (now.repository, now.mode) == (before.repository, before.mode)
        if same and now is not None and now.attempt == before.attempt:
            return
        if not same:
            self._scheduler.give_back(_job_uid(before.attempt))
        if (claim := self._claims.get(before.attempt)) is not None:
            self._queue.add(Key("RepositoryLock", before.job.namespace, claim.name), NORMAL)

    def _wake_batches(self, change: Change) -> None:
        """Who belongs to a batch is derived from the jobs' recorded statuses."""
        before, after = (_membership(job) for job in (change.old, change.new))
        if before != after:
            for namespace, batch, _ in filter(None, (before, after)):
                self._queue.add(Key("JobBatch", namespace, batch), NORMAL)

    def _observe_repository(self, key: Key, repository: Repository | None) -> None:
        entry = self._entry((key.namespace, key.name))
        if _is_ready(repository) != _is_ready(entry.declared):
            for batch in entry.batches:  # what could not be prepared may be now, and the other way round
                self._queue.add(Key("JobBatch", key.namespace, batch), NORMAL)
        before, entry.declared = self.lock((key.namespace, key.name)), repository
        entry.commits.clear()
        self._dirty.add((key.namespace, key.name))
        lock = repository.status.lock if repository is not None else None
        holding = {holder.uid for holder in lock.holders} if lock is not None else set()
        for uid in holding & entry.pending.keys():
            del entry.pending[uid]
        for holder in before.holders if before is not None else ():
            if holder.uid not in holding:  # a job that was about to use that grant asks for a new one
                self._scheduler.give_back(_job_uid(holder.attempt))
        if repository is None:
            for uid in [*entry.pending]:
                self._take_back(entry, uid)

    def _take_back(self, entry: _Entry, uid: str) -> None:
        """The grant of the claim `uid` can never be recorded: its job's slot is free for others."""
        claim = entry.pending.pop(uid, None)
        if claim is not None and claim.job:
            self._scheduler.give_back(claim.job)

    def _observe_claim(self, key: Key, claim: RepositoryLock, *, gone: bool) -> None:
        name = (key.namespace, claim.spec.repository)
        entry, uid = self._entry(name), claim.metadata.uid
        entry.people = [other for other in entry.people if other.uid != uid]
        entry.unplaced.discard(uid)
        attempt = claim.spec.holder.attempt
        if gone:
            self._forget_claim(entry, claim)
        elif attempt:
            self._claims[attempt] = _JobClaim(uid, claim.metadata.name, name, claim.spec.mode)
        elif claim.status.token is None and not self._spent(claim):
            if claim.status.sequence is None:
                entry.unplaced.add(uid)
            else:
                entry.people = sorted((*entry.people, person_claim(claim, claim.status.sequence)))
        self._dirty.add(name)
        self._queue.add(Key("Repository", *name), NORMAL)

    def _forget_claim(self, entry: _Entry, claim: RepositoryLock) -> None:
        uid, attempt = claim.metadata.uid, claim.spec.holder.attempt
        self._released.discard(uid)
        self._take_back(entry, uid)
        known = self._claims.get(attempt)
        if known is not None and known.uid == uid:
            del self._claims[attempt]
            if (want := self._wants.get(_job_uid(attempt))) is not None:
                self._queue.add(want.job, NORMAL)  # it may need another one

    def _spent(self, claim: RepositoryLock) -> bool:
        """Whether its grant is over, or a person took it back before there was one."""
        return claim.metadata.uid in self._released or claim.spec.force_release == claim.metadata.uid

    def _observe_batch(self, key: Key, batch: JobBatch, *, gone: bool) -> None:
        name = (key.namespace, batch.spec.repository)
        entry = self._entry(name)
        if gone:
            entry.batches.pop(key.name, None)
        else:
            entry.batches[key.name] = batch
        self._dirty.add(name)

    def refs_changed(self, name: RepositoryName) -> None:
        """Refs of the mirror may have moved: commits are read again."""
        self._entry(name).commits.clear()
        self._dirty.add(name)
        self._scheduler.poke()

    def released(self, uids: Iterable[str]) -> None:
        """Claims whose grant is over: until that is recorded in them too they must not look like waiting ones."""
        self._released.update(uids)

    def fenced(self, name: RepositoryName, tokens: frozenset[int]) -> None:
        """Lock and fence are recorded for the holders of `tokens`: the records of their jobs are next."""
        entry = self._entry(name)
        new, entry.fenced = tokens - entry.fenced, tokens
        lock = self.lock(name)
        for holder in lock.holders if lock is not None else ():
            want = self._wants.get(_job_uid(holder.attempt))
            if want is not None and (holder.token in new or self._scheduler.granted(_job_uid(holder.attempt))):
                self._queue.add(want.job, HIGH)

    # --- the cycle

    def begin(self) -> None:
        """A scheduling cycle begins."""
        self._lines = {}

    def may_start(self, waiting: Candidate) -> bool:
        """Whether repository and lock allow this candidate to start now; called in order, True grants the lock."""
        want = self._wants.get(waiting.uid)
        if want is None:
            return True
        reason = self._not_ready(want)
        if reason is None and want.mode is not None:
            reason = self._ask(waiting, want, want.mode)
        self._say(waiting.uid, want, reason)
        return reason is None

    def stand(self, waiting: Candidate) -> None:
        """This candidate has no slot now, but stands in line for its lock; called in order like `may_start`."""
        want = self._wants.get(waiting.uid)
        if want is None or want.mode is None or self._not_ready(want) is not None:
            return
        self._line(want.repository).stand(self._job_claim(waiting, want, want.mode))

    def finish(self) -> None:
        """The cycle is over: people are served, and who has something to record is woken."""
        for name in [name for name in self._dirty if self._entry(name).people]:
            self._line(name)
        for name, line in self._lines.items():
            for claim in line.finish():
                self._entry(name).pending[claim.uid] = claim
        for name in self._dirty | self._lines.keys():
            if self.pending(name) or self.over(name):
                self._queue.add(Key("Repository", *name), HIGH)
        self._dirty.clear()

    def _ask(self, waiting: Candidate, want: Want, mode: LockMode) -> Reason | None:
        line, claim = self._line(want.repository), self._job_claim(waiting, want, mode)
        if self.claim_of(want.attempt) is None:
            line.stand(claim)  # nobody gets in front because its claim was made sooner
            return CLAIMING
        if line.may_grant(claim):
            return None
        return "WaitingForLock", f"waits for the {mode} lock of Repository {want.repository[1]} (holdfast locks)"

    def _job_claim(self, waiting: Candidate, want: Want, mode: LockMode) -> Claim:
        uid, name = self.claim_of(want.attempt) or (waiting.uid, waiting.name)
        return job_claim(waiting, uid, name, mode, want.attempt)

    def _line(self, name: RepositoryName) -> Line:
        line = self._lines.get(name)
        if line is None:
            # Nobody is served before a person who may be in front: whose place is not known yet closes the line.
            lock = self.lock(name) if not self._entry(name).unplaced else None
            over = {holder.uid for holder in self.over(name)}
            if lock is not None:
                lock = lock.model_copy(update={"holders": tuple(h for h in lock.holders if h.uid not in over)})
            line = self._lines[name] = Line(lock, self._entry(name).people, self.pending(name))
        return line

    def _not_ready(self, want: Want) -> Reason | None:
        entry = self._entry(want.repository)
        repository = entry.declared
        if repository is None:
            namespace, name = want.repository
            return "RepositoryNotFound", f"there is no Repository {name} in namespace {namespace}"
        if want.push.rank > repository.spec.push.rank:
            text = (
                f"spec.repository.push: {want.push}, but Repository {want.repository[1]} allows {repository.spec.push}"
            )
            return PUSH_NOT_ALLOWED, text
        if not is_true(repository.status.conditions, "Ready"):
            ready = find(repository.status.conditions, "Ready")
            why = ready.message if ready is not None else "it was not looked at yet"
            return "RepositoryNotReady", f"Repository {repository.metadata.name} is not ready: {why}"
        if repository.spec.prepare is None:
            return None
        batch = self.batch(want)
        if batch is None:
            return None  # no such ref: making the workspace says so
        found = entry.batches.get(batch)
        if found is not None and found.status.phase is BatchPhase.READY:
            return None
        if found is not None and found.status.phase is BatchPhase.FAILED and not _later(want, found):
            return "PreparationFailed", f"JobBatch {batch}: {found.status.reason}: {found.status.message}"
        return "Preparing", f"waits for JobBatch {batch}"

    def _say(self, uid: str, want: Want, reason: Reason | None) -> None:
        before = self._why.get(uid)
        if reason is None:
            self._why.pop(uid, None)
            return
        self._why[uid] = reason
        if before is None or before[0] != reason[0]:
            self._queue.add(want.job, LOW)

    # --- what is asked of the book

    def declared(self, name: RepositoryName) -> Repository | None:
        """The Repository, None where it is not in the store."""
        return self._entry(name).declared

    def want(self, uid: str) -> Want | None:
        """What the job wants, None where it wants no repository or is finished."""
        return self._wants.get(uid)

    def refused(self, uid: str) -> Reason | None:
        """Why the job may never start as it is declared."""
        want = self._wants.get(uid)
        repository = self._entry(want.repository).declared if want is not None else None
        return _refused(want, repository) if want is not None and repository is not None else None

    def why(self, uid: str) -> Reason | None:
        """Why the job could not start when it was last its turn to be looked at."""
        return self._why.get(uid)

    def claim_of(self, attempt: str) -> tuple[str, str] | None:
        """uid and name of the RepositoryLock of an attempt; None also where it is not what the job wants."""
        known, want = self._claims.get(attempt), self._wants.get(_job_uid(attempt))
        if known is None:
            return None
        wanted = (
            want is None or want.attempt != attempt or (want.repository, want.mode) == (known.repository, known.mode)
        )
        return (known.uid, known.name) if wanted else None

    def token(self, attempt: str) -> int | None:
        """The fencing token that the attempt was granted; None before lock and fence are recorded, or once fenced."""
        want = self._wants.get(_job_uid(attempt))
        lock = self.lock(want.repository) if want is not None else None
        if want is None or lock is None:
            return None
        fenced = self._entry(want.repository).fenced
        return next((h.token for h in lock.holders if h.attempt == attempt and h.token in fenced), None)

    def holds(self, attempt: str, token: int | None) -> bool | None:
        """Whether the lock is recorded for the attempt; None: there is no record to look at."""
        want = self._wants.get(_job_uid(attempt))
        lock = self.lock(want.repository) if want is not None else None
        return None if lock is None else any(h.attempt == attempt and h.token == token for h in lock.holders)

    def lock(self, name: RepositoryName) -> Lock | None:
        """The lock as it is recorded; None: nothing may be granted."""
        declared = self._entry(name).declared
        return declared.status.lock if declared is not None else None

    def pending(self, name: RepositoryName) -> tuple[Claim, ...]:
        """Grants that are to be recorded, in order; a job's only while it holds its slot."""
        entry = self._entry(name)
        kept = {
            uid: claim for uid, claim in entry.pending.items() if claim.person or self._scheduler.granted(claim.job)
        }
        entry.pending = kept
        return tuple(sorted(kept.values()))

    def over(self, name: RepositoryName) -> tuple[Holder, ...]:
        """Recorded holders whose attempt is recorded as over: their lock is free."""
        lock = self.lock(name)
        return tuple(h for h in (lock.holders if lock else ()) if h.attempt and self.record(h) is Record.OVER)

    def record(self, holder: Holder) -> Record:
        """What the recorded status of the holder's job says; UNKNOWN where the job is not in the store."""
        job = self.job(holder)
        if job is None:
            return Record.UNKNOWN
        newest = job.status.attempt
        return record_of(holder, newest)

    def job(self, holder: Holder) -> BatchJob | None:
        """The job of a holder, None for a person's or where it is not in the store."""
        key = self._scheduler.owner(_job_uid(holder.attempt))
        return self._store.job(key) if key is not None else None

    def commit(self, name: RepositoryName, ref: str) -> str | None:
        """The commit of a ref in the mirror, None where it is not there."""
        commits = self._entry(name).commits
        if ref not in commits:
            commits[ref] = self._resolve(*name, ref)
        return commits[ref]

    def batch(self, want: Want) -> str | None:
        """Name of the JobBatch that a job needs now; None: it needs none, or its ref is not there."""
        repository = self._entry(want.repository).declared
        if repository is None or repository.spec.prepare is None:
            return None
        commit = self.commit(want.repository, want.ref or repository.spec.branch)
        return batch_name(want.repository[1], commit, repository.spec.prepare.command) if commit is not None else None

    def waiting(self, name: RepositoryName, candidates: Iterable[Candidate]) -> Iterator[Claim]:
        """Waiting claims in their order, read only as far as asked: of people, and of jobs among `candidates`."""
        return heapq.merge(self._entry(name).people, self._of_jobs(name, candidates))

    def _of_jobs(self, name: RepositoryName, candidates: Iterable[Candidate]) -> Iterator[Claim]:
        for waiting in candidates:
            want = self._wants.get(waiting.uid)
            if want is not None and want.repository == name and want.mode is not None:
                yield self._job_claim(waiting, want, want.mode)

    def _entry(self, name: RepositoryName) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry()
        return entry


def _refused(want: Want, repository: Repository) -> Reason | None:
    if want.push.rank <= repository.spec.push.rank:
        return None
    allowed = f"Repository {want.repository[1]} allows {repository.spec.push}"
    return PUSH_NOT_ALLOWED, f"spec.repository.push: {want.push}, but {allowed}"


def _later(want: Want, batch: JobBatch) -> bool:
    """Whether the job was made after the batch failed: it wants the preparation anew (decisions/preparation.py)."""
    ended = batch.status.finished_at
    return want.created is not None and ended is not None and want.created > ended


def _is_ready(repository: Repository | None) -> bool:
    return repository is not None and is_true(repository.status.conditions, "Ready")


def _job_uid(attempt: str) -> str:
    return attempt.rpartition(".")[0]


def _membership(job: object) -> tuple[str, str, bool] | None:
    """(namespace, batch, whether it is finished) of a job that names a batch."""
    used = job.status.repository if isinstance(job, BatchJob) else None
    if not isinstance(job, BatchJob) or used is None or not used.batch:
        return None
    return job.metadata.namespace, used.batch, step.finished(job.status)
