"""What the store's changes mean for the book of repositories: its pages are filled, and who is concerned is woken."""

from __future__ import annotations

from datetime import datetime

from controller.api.batchjob import BatchJob
from controller.api.conditions import is_true
from controller.api.jobbatch import JobBatch
from controller.api.keys import Key
from controller.api.repository import Repository
from controller.api.repositorylock import RepositoryLock
from controller.decisions import status as step
from controller.decisions.lock import person_claim
from controller.decisions.preparation import is_named_for
from controller.decisions.pushed import pushed_at
from controller.kube.store import Change, ChangeType
from controller.reconcile.repository_pages import (
    SECOND,
    Entry,
    JobClaim,
    Reason,
    RepositoryName,
    RepositoryPages,
    Want,
    job_uid,
    preparing,
)
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import NORMAL, WorkQueue


class RepositoryNews:
    """See the module.

    Args:
        why: why a job could not start, by its uid; forgotten with the job.
    """

    def __init__(self, pages: RepositoryPages, queue: WorkQueue, scheduler: Scheduler, why: dict[str, Reason]) -> None:
        self._pages = pages
        self._queue = queue
        self._scheduler = scheduler
        self._why = why

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
        if self._pages.dirty:
            self._scheduler.poke()

    def _observe_job(self, change: Change) -> None:
        before = None
        for job in (change.old, change.new):
            if isinstance(job, BatchJob) and job.spec.repository is not None:
                before = self._pages.wants.pop(job.metadata.uid, None) or before
                self._pages.dirty.add((job.metadata.namespace, job.spec.repository.name))
        job = change.new
        self._wake_batches(change)
        if isinstance(job, BatchJob) and job.spec.repository is not None and (at := pushed_at(job)) is not None:
            self._pushed((job.metadata.namespace, job.spec.repository.name), at)
        if isinstance(job, BatchJob) and job.spec.repository is not None and not step.finished(job.status):
            use, newest = job.spec.repository, job.status.attempt
            number = 1 if newest is None else newest.number + newest.state.over
            name = (job.metadata.namespace, use.name)
            attempt = f"{job.metadata.uid}.{number}"
            made = job.metadata.creation_timestamp
            self._pages.wants[job.metadata.uid] = Want(
                name, use.lock.mode, use.ref, attempt, change.key, use.push, made, job.status.resume_from is not None
            )
        elif isinstance(gone := change.old or change.new, BatchJob):
            self._why.pop(gone.metadata.uid, None)
            self._pages.names_taken.pop(gone.metadata.uid, None)
        if before is not None:
            self._edited(before, self._pages.wants.get(job_uid(before.attempt)))

    def _pushed(self, name: RepositoryName, at: datetime) -> None:
        """A Pod has changed the remote: the mirror is fetched, and jobs wait for that (times are whole seconds)."""
        entry, since = self._pages.entry(name), at + SECOND
        if entry.pushed is None or entry.pushed < since:
            entry.pushed = since
            entry.missed = max(entry.missed or since, since)
            self._queue.add(Key("Repository", *name), NORMAL)

    def _edited(self, before: Want, now: Want | None) -> None:
        """A job that wants something else needs another claim, and what was granted is not what it wants."""
        same = now is not None and (now.repository, now.mode) == (before.repository, before.mode)
        if same and now is not None and now.attempt == before.attempt:
            return
        if not same:
            self._scheduler.give_back(job_uid(before.attempt))
        if (claim := self._pages.claims.get(before.attempt)) is not None:
            self._queue.add(Key("RepositoryLock", before.job.namespace, claim.name), NORMAL)

    def _wake_batches(self, change: Change) -> None:
        """Who belongs to a batch is derived from the jobs' recorded statuses."""
        before, after = (_membership(job) for job in (change.old, change.new))
        if before != after:
            for namespace, batch, _ in filter(None, (before, after)):
                self._queue.add(Key("JobBatch", namespace, batch), NORMAL)

    def _observe_repository(self, key: Key, repository: Repository | None) -> None:
        entry = self._pages.entry((key.namespace, key.name))
        if _is_ready(repository) != _is_ready(entry.declared):
            for batch in entry.batches:  # what could not be prepared may be now, and the other way round
                self._queue.add(Key("JobBatch", key.namespace, batch), NORMAL)
        before, entry.declared = self._pages.lock((key.namespace, key.name)), repository
        entry.commits.clear()
        self._pages.dirty.add((key.namespace, key.name))
        lock = repository.status.lock if repository is not None else None
        holding = {holder.uid for holder in lock.holders} if lock is not None else set()
        for uid in holding & entry.pending.keys():
            del entry.pending[uid]
        for holder in before.holders if before is not None else ():
            if holder.uid not in holding:  # a job that was about to use that grant asks for a new one
                self._scheduler.give_back(job_uid(holder.attempt))
        if repository is None:
            for uid in [*entry.pending]:
                self._take_back(entry, uid)

    def _take_back(self, entry: Entry, uid: str) -> None:
        """The grant of the claim `uid` can never be recorded: its job's slot is free for others."""
        claim = entry.pending.pop(uid, None)
        if claim is not None and claim.job:
            self._scheduler.give_back(claim.job)

    def _observe_claim(self, key: Key, claim: RepositoryLock, *, gone: bool) -> None:
        name = (key.namespace, claim.spec.repository)
        entry, uid = self._pages.entry(name), claim.metadata.uid
        entry.people = [other for other in entry.people if other.uid != uid]
        entry.unplaced.discard(uid)
        attempt = claim.spec.holder.attempt
        if gone:
            self._forget_claim(entry, claim)
        elif attempt:
            self._pages.claims[attempt] = JobClaim(uid, claim.metadata.name, name, claim.spec.mode)
        elif claim.status.token is None and not self._spent(claim):
            if claim.status.sequence is None:
                entry.unplaced.add(uid)
            else:
                entry.people = sorted((*entry.people, person_claim(claim, claim.status.sequence)))
        self._pages.dirty.add(name)
        self._queue.add(Key("Repository", *name), NORMAL)

    def _forget_claim(self, entry: Entry, claim: RepositoryLock) -> None:
        uid, attempt = claim.metadata.uid, claim.spec.holder.attempt
        self._pages.released.discard(uid)
        self._take_back(entry, uid)
        known = self._pages.claims.get(attempt)
        if known is not None and known.uid == uid:
            del self._pages.claims[attempt]
            if (want := self._pages.wants.get(job_uid(attempt))) is not None:
                self._queue.add(want.job, NORMAL)  # it may need another one

    def _spent(self, claim: RepositoryLock) -> bool:
        """Whether its grant is over, or a person took it back before there was one."""
        return claim.metadata.uid in self._pages.released or claim.spec.force_release == claim.metadata.uid

    def _observe_batch(self, key: Key, batch: JobBatch, *, gone: bool) -> None:
        name = (key.namespace, batch.spec.repository)
        entry = self._pages.entry(name)
        if gone or not is_named_for(batch):
            if entry.batches.pop(key.name, None) is not None:
                self._wake_those_who_wait(name, key.name)
        else:
            entry.batches[key.name] = batch
        self._pages.dirty.add(name)

    def _wake_those_who_wait(self, name: RepositoryName, batch: str) -> None:
        """The batch that jobs wait for is gone: they make it anew, if they still want it."""
        for uid, reason in self._why.items():
            want = self._pages.wants.get(uid)
            if reason == preparing(batch) and want is not None and want.repository == name:
                self._queue.add(want.job, NORMAL)


def _is_ready(repository: Repository | None) -> bool:
    return repository is not None and is_true(repository.status.conditions, "Ready")


def _membership(job: object) -> tuple[str, str, bool] | None:
    """(namespace, batch, whether it is finished) of a job that names a batch."""
    used = job.status.repository if isinstance(job, BatchJob) else None
    if not isinstance(job, BatchJob) or used is None or not used.batch:
        return None
    return job.metadata.namespace, used.batch, step.finished(job.status)
