"""The reconciler of run directories: each belongs to a BatchJob that exists, or is stopped and removed (7.6).

Keyed by attempt id. It is added when a job is deleted, when an attempt leaves a job's history, and by a pass over all
directories at start and now and then. An owner is gone only where an uncached read proves it.
"""

from __future__ import annotations

import structlog

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState
from controller.api.keys import Key
from controller.decisions.observed import Evidence
from controller.decisions.orphan import Owner, decide_orphan, is_live, is_over, too_many
from controller.decisions.plan import Release, Stop, Void
from controller.executors.base import AttemptId, Executor
from controller.kube.client import Api
from controller.kube.store import Store
from controller.reconcile.index import AttemptIndex
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workers import Result
from controller.reconcile.workqueue import LOW, WorkQueue
from controller.telemetry.metrics import Metrics

LOOK_AGAIN = 1.0  # seconds until the next look at one that is being stopped
UNKNOWN_AGAIN = 60.0  # seconds until the next look at one whose owner or state is not known

_log = structlog.get_logger("controller.orphans")


def attempt_key(attempt: AttemptId) -> Key:
    """The work queue's key of a run directory."""
    return Key("Attempt", "", str(attempt))


class OrphanReconciler:
    """Called by the workers with a key of kind Attempt."""

    def __init__(
        self, api: Api, store: Store, executor: Executor, index: AttemptIndex, scheduler: Scheduler, metrics: Metrics
    ) -> None:
        self._api = api
        self._store = store
        self._executor = executor
        self._index = index
        self._scheduler = scheduler
        self._metrics = metrics
        self.held_for_a_person = False  # too much looks ownerless at once (design 9)

    def ownerless(self) -> list[AttemptId]:
        """Attempts whose BatchJob is not in the store: no proof that it is gone."""
        return [attempt for attempt in self._index.attempts() if self._scheduler.owner(attempt.job_uid) is None]

    async def sweep(self, queue: WorkQueue) -> None:
        """Queue a look at every directory that no recorded status names; count what lives without an owner."""
        ownerless = self.ownerless()
        live = [attempt for attempt in ownerless if is_live(await self._executor.observe(attempt))]
        self._metrics.orphans.labels("run_directory").set(len(ownerless))
        self._metrics.orphans.labels("process").set(len(live))
        # A deletion that was told while we watched explains its attempts; one that only looks so does not.
        strange = sum(not self._scheduler.told_gone(attempt.job_uid) for attempt in live)
        self.held_for_a_person = too_many(strange, len(live) + len(self._scheduler.held_keys()))
        if self.held_for_a_person:
            text = "nothing of them is touched until a person says so: holdfast adopt"
            _log.error("too many running attempts have no BatchJob", ownerless=strange, hint=text)
        for attempt in self._index.attempts():
            job = self._job(attempt)
            if job is None or not _kept(job, attempt) or _given_up(job, attempt):
                queue.add(attempt_key(attempt), LOW)

    def adopt(self, queue: WorkQueue) -> None:
        """A person says that what looks ownerless is: it is ended and removed."""
        self.held_for_a_person = False
        for attempt in self.ownerless():
            queue.add(attempt_key(attempt), LOW)

    def asks(self) -> str | None:
        """What a person has to decide, for /readyz; None: nothing."""
        if not self.held_for_a_person:
            return None
        return "too many running attempts have no BatchJob; if their jobs were deleted, run `holdfast adopt`"

    async def tidy(self, queue: WorkQueue) -> None:
        """Go on with what a crash interrupted: directories half made or half removed, ended attempts not released.

        Raises:
            Transient: the state directory could not be read, or something not removed.
        """
        for name in await self._executor.clean_leftovers():
            self._metrics.orphans_removed.labels("temp_file").inc()
            _log.info("removed what a crash left", name=name)
        for name in await self._executor.foreign_entries():
            await self._set_aside(name)
        for attempt in await self._executor.unreleased():
            queue.add(attempt_key(attempt), LOW)

    async def reconcile(self, key: Key) -> Result:
        """Look at one run directory.

        Raises:
            HoldfastError: as its reaction says.
        """
        attempt = AttemptId.parse(key.name)
        job = self._job(attempt)
        if job is not None:
            self._scheduler.release(attempt)  # counted by its job's own entry
            owner, kept, over = Owner.PRESENT, _kept(job, attempt), _over(job, attempt)
        else:
            owner, kept, over = await self._owner(attempt), False, False
        self._scheduler.accounted(key)  # its slot is counted in the right queue from here on
        if owner is Owner.PRESENT and not over:
            return Result()
        found = await self._executor.observe(attempt)
        if owner is Owner.GONE and is_over(found):
            self._scheduler.release(attempt)
        if owner is Owner.GONE and self.held_for_a_person:
            return Result(UNKNOWN_AGAIN)
        for action in decide_orphan(attempt.number, found, owner, kept, over):
            match action:
                case Stop(_, reason, grace):
                    await self._executor.stop(attempt, reason, grace)
                    return Result(LOOK_AGAIN)
                case Void(_, message):
                    await self._executor.void(attempt, message)
                    return Result(LOOK_AGAIN)
                case Release(_, keep_record):
                    if keep_record:
                        await self._executor.release(attempt, keep_record=True)
                    else:
                        await self._remove(attempt, owner)
                    return Result()
        if owner is Owner.GONE and found.evidence is Evidence.ABSENT:
            self._forget(attempt)
            return Result()
        useless = found.evidence is Evidence.UNKNOWN and not kept and owner is not Owner.UNKNOWN
        if useless and await self._set_aside(key.name):
            self._forget(attempt)
            return Result()
        return Result() if owner is Owner.PRESENT else Result(UNKNOWN_AGAIN)

    async def _set_aside(self, name: str) -> bool:
        """What is damaged and needed by nobody is kept apart for a person to look at (requirement 7.5)."""
        reason = await self._executor.quarantine(name)
        if reason is None:
            return False
        self._metrics.quarantined_files.inc()
        _log.error("set aside in runs/.quarantine", entry=name, reason=reason)
        return True

    async def _remove(self, attempt: AttemptId, owner: Owner) -> None:
        if await self._set_aside(str(attempt)):
            self._forget(attempt)
            return
        await self._executor.release(attempt, keep_record=False)
        self._forget(attempt)
        if owner is Owner.GONE:
            self._metrics.orphans_removed.labels("run_directory").inc()
            _log.info("removed the run directory of a deleted job", attempt=str(attempt))

    def _forget(self, attempt: AttemptId) -> None:
        self._index.remove(attempt)
        self._scheduler.release(attempt)
        if not self._index.known(attempt.job_uid):
            self._scheduler.forget_deletion(attempt.job_uid)

    def _job(self, attempt: AttemptId) -> BatchJob | None:
        key = self._scheduler.owner(attempt.job_uid)
        return self._store.job(key) if key is not None else None

    async def _owner(self, attempt: AttemptId) -> Owner:
        """Ask the API server, and count the slot for the queue that the attempt was started in."""
        carried = await self._executor.annotations(attempt)
        if carried and "namespace" in carried and "name" in carried:
            if "queue" in carried and self._scheduler.holds(attempt):
                self._scheduler.hold(attempt, (carried["namespace"], carried["queue"]))
            gone = await self._api.get_uncached_gone("BatchJob", carried["namespace"], carried["name"], attempt.job_uid)
            return Owner.GONE if gone else Owner.UNKNOWN
        listing = await self._api.list("BatchJob", metadata_only=True)  # a voided attempt names no owner but its uid
        present = any(item["metadata"]["uid"] == attempt.job_uid for item in listing.items)
        return Owner.UNKNOWN if present else Owner.GONE


def _kept(job: BatchJob, attempt: AttemptId) -> bool:
    """Whether the recorded status names the attempt, or was wiped, or is about to name it."""
    newest = job.status.attempt
    if newest is None or attempt.number >= newest.number:
        return True
    return any(old.number == attempt.number for old in job.status.history)


def _over(job: BatchJob, attempt: AttemptId) -> bool:
    """Whether the recorded status says that the attempt is over."""
    newest = job.status.attempt
    if newest is None or attempt.number > newest.number:
        return False
    return attempt.number < newest.number or newest.state.over


def _given_up(job: BatchJob, attempt: AttemptId) -> bool:
    """Recorded as lost; a person may have said so of one that lives."""
    newest = job.status.attempt
    known = (*job.status.history, *([newest] if newest is not None else []))
    return any(old.number == attempt.number and old.state is AttemptState.LOST for old in known)
