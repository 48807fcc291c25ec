"""The book of the repositories: what each waiting job wants of one, and what was granted but is not recorded yet.

Derived from the store and from refs in the mirrors, never written anywhere. The scheduler asks it for every candidate,
in order (design 4, step 4): lock and slot are granted in one cycle. A grant is a hint to the reconciler of the
Repository, which records it first; the job's own record comes second (design 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from controller.api.conditions import find, is_true
from controller.api.jobbatch import BatchPhase, JobBatch
from controller.api.keys import Key
from controller.api.repository import Repository
from controller.api.repository_use import LockMode
from controller.decisions.lock import Line
from controller.decisions.order import Candidate
from controller.decisions.repository import fetched_since
from controller.kube.store import Change, Store
from controller.reconcile.repository_news import RepositoryNews
from controller.reconcile.repository_pages import (
    PREPARING,
    SECOND,
    Reason,
    RepositoryName,
    RepositoryPages,
    Want,
    job_uid,
    preparing,
    push_refused,
)
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import HIGH, LOW, WorkQueue

CLAIMING: Reason = ("Claiming", "its claim on the repository is being made")


class RepositoryBook(RepositoryPages):
    """See the module; the arguments are those of RepositoryPages, and the work queue."""

    def __init__(
        self, queue: WorkQueue, scheduler: Scheduler, store: Store, resolve: Callable[[str, str, str], str | None]
    ) -> None:
        super().__init__(scheduler, store, resolve)
        self._queue = queue
        self._why: dict[str, Reason] = {}
        self._lines: dict[RepositoryName, Line] = {}
        self._news = RepositoryNews(self, queue, scheduler, self._why)

    def observe(self, change: Change) -> None:
        """Listener of the store; to be told before the scheduler, which reads the book."""
        self._news.observe(change)

    def why(self, uid: str) -> Reason | None:
        """Why the job could not start when it was last its turn to be looked at."""
        return self._why.get(uid)

    def taken(self, uid: str, reason: Reason | None) -> None:
        """Whether somebody else has the name of a claim or preparation that the job needs, and what is said of it."""
        if self.names_taken.get(uid) == reason:
            return
        if reason is None:
            del self.names_taken[uid]
        else:
            self.names_taken[uid] = reason
        self._scheduler.poke()

    def refs_changed(self, name: RepositoryName) -> None:
        """Refs of the mirror may have moved: commits are read again."""
        self.entry(name).commits.clear()
        self.dirty.add(name)
        self._scheduler.poke()

    def spent(self, uids: Iterable[str]) -> None:
        """Claims whose grant is over: until that is recorded in them too they must not look like waiting ones."""
        self.released.update(uids)

    def missed(self, name: RepositoryName) -> datetime | None:
        """Since when a job waits for a ref that the mirror does not have; also one that a fetch has answered since."""
        return self.entry(name).missed

    def fenced(self, name: RepositoryName, tokens: frozenset[int]) -> None:
        """Lock and fence are recorded for the holders of `tokens`: the records of their jobs are next."""
        entry = self.entry(name)
        new, entry.fenced = tokens - entry.fenced, tokens
        lock = self.lock(name)
        for holder in lock.holders if lock is not None else ():
            want = self.wants.get(job_uid(holder.attempt))
            if want is not None and (holder.token in new or self._scheduler.granted(job_uid(holder.attempt))):
                self._queue.add(want.job, HIGH)

    def not_grantable(self, name: RepositoryName, reason: Reason | None) -> None:
        """Nobody can be granted this lock now, for `reason`; None: a pass over it has recorded and fenced it again.

        Slots of jobs that wait for it go to others. What may have been recorded of their grants is given to nobody
        meanwhile: after it the record decides, with the holders that it names, and the line begins with its first.
        """
        entry = self.entry(name)
        if entry.outage == reason:
            return
        entry.outage = reason
        if reason is not None:
            lock = self.lock(name)
            started = [h.attempt for h in (lock.holders if lock else ()) if h.attempt and h.token not in entry.fenced]
            for uid in {*map(job_uid, started), *(claim.job for claim in self.pending(name) if claim.job)}:
                self._scheduler.give_back(uid)
            entry.pending.clear()
        self.dirty.add(name)
        self._scheduler.poke()

    # --- the cycle

    def begin(self) -> None:
        """A scheduling cycle begins."""
        self._lines = {}

    def may_start(self, waiting: Candidate) -> bool:
        """Whether repository and lock allow this candidate to start now; called in order, True grants the lock."""
        want = self.wants.get(waiting.uid)
        if want is None:
            return True
        reason = self._not_ready(want)
        if reason is None and want.mode is not None:
            reason = self._ask(waiting, want, want.mode)
        self._say(waiting.uid, want, reason)
        return reason is None

    def stand(self, waiting: Candidate) -> None:
        """This candidate has no slot now, but stands in line for its lock; called in order like `may_start`."""
        want = self.wants.get(waiting.uid)
        if want is None or want.mode is None or self._not_ready(want) is not None:
            return
        self._line(want.repository).stand(self.job_claim(waiting, want, want.mode))

    def finish(self) -> None:
        """The cycle is over: people are served, and who has something to record is woken."""
        for name in [name for name in self.dirty if self.entry(name).people]:
            self._line(name)
        for name, line in self._lines.items():
            for claim in line.finish():
                self.entry(name).pending[claim.uid] = claim
        for name in self.dirty | self._lines.keys():
            if self.entry(name).outage is not None:
                continue  # it is looked at again in its time
            if self.pending(name) or self.over(name) or self.unused(name):
                self._queue.add(Key("Repository", *name), HIGH)
        self.dirty.clear()

    def _ask(self, waiting: Candidate, want: Want, mode: LockMode) -> Reason | None:
        line, claim = self._line(want.repository), self.job_claim(waiting, want, mode)
        if self.claim_of(want.attempt) is None:
            line.stand(claim)  # nobody gets in front because its claim was made sooner
            return self.names_taken.get(waiting.uid, CLAIMING)
        if (outage := self.entry(want.repository).outage) is not None:
            line.stand(claim)
            return outage
        if line.may_grant(claim):
            return None
        return "WaitingForLock", f"waits for the {mode} lock of Repository {want.repository[1]} (holdfast locks)"

    def _line(self, name: RepositoryName) -> Line:
        line = self._lines.get(name)
        if line is None:
            # Nobody is served before a person who may be in front: whose place is not known yet closes the line.
            closed = self.entry(name).unplaced or self.entry(name).outage is not None
            lock = self.lock(name) if not closed else None
            over = {holder.uid for holder in self.over(name)}
            if lock is not None:
                lock = lock.model_copy(update={"holders": tuple(h for h in lock.holders if h.uid not in over)})
            line = self._lines[name] = Line(lock, self.entry(name).people, self.pending(name))
        return line

    def _not_ready(self, want: Want) -> Reason | None:
        entry = self.entry(want.repository)
        repository = entry.declared
        if repository is None:
            namespace, name = want.repository
            return "RepositoryNotFound", f"there is no Repository {name} in namespace {namespace}"
        if (refused := push_refused(want, repository)) is not None:
            return refused
        if not is_true(repository.status.conditions, "Ready"):
            ready = find(repository.status.conditions, "Ready")
            why = ready.message if ready is not None else "it was not looked at yet"
            return "RepositoryNotReady", f"Repository {repository.metadata.name} is not ready: {why}"
        if want.resumes:
            return None
        if (missing := self.not_fetched(want, repository)) is not None or repository.spec.prepare is None:
            return missing
        batch = self.batch(want)
        if batch is None:
            return None  # no such ref: making the workspace says so
        found = entry.batches.get(batch)
        if found is not None and found.status.phase is BatchPhase.READY:
            return None
        if found is not None and found.status.phase is BatchPhase.FAILED and not _later(want, found):
            return "PreparationFailed", f"JobBatch {batch}: {found.status.reason}: {found.status.message}"
        if found is None and (taken := self.names_taken.get(job_uid(want.attempt))) is not None:
            return taken
        return preparing(batch)

    def not_fetched(self, want: Want, repository: Repository) -> Reason | None:
        """What the job may ask for is not in the mirror yet, which is fetched: a Pod has published to the remote since,
        or the ref is missing and the mirror older than the job.

        Times of creation are cut off at the second; one that was looked for in vain fails when its workspace is made.
        """
        ref, pushed = want.ref or repository.spec.branch, self.entry(want.repository).pushed
        if pushed is not None and not fetched_since(repository.status, pushed):
            text = "a job has published to the remote, from where the mirror is being fetched"
            return "Fetching", f"{text} for Repository {repository.metadata.name}"
        if want.created is None or self.commit(want.repository, ref) is not None:
            return None
        since, entry = want.created + SECOND, self.entry(want.repository)
        if fetched_since(repository.status, since):
            return None
        if entry.missed is None or entry.missed < since:
            entry.missed = since
            self._queue.add(Key("Repository", *want.repository), HIGH)
        return "Fetching", f"{ref} is not in the mirror of Repository {repository.metadata.name}, which is fetched"

    def _say(self, uid: str, want: Want, reason: Reason | None) -> None:
        before = self._why.get(uid)
        if reason is None:
            self._why.pop(uid, None)
            return
        self._why[uid] = reason
        # Only the job's own reconcile makes the batch that it waits for, so another batch is another reason (5.7).
        if before is None or before[0] != reason[0] or (reason[0] == PREPARING and before != reason):
            self._queue.add(want.job, LOW)


def _later(want: Want, batch: JobBatch) -> bool:
    """Whether the job was made after the batch failed: it wants the preparation anew (decisions/preparation.py)."""
    ended = batch.status.finished_at
    return want.created is not None and ended is not None and want.created > ended
