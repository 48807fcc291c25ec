"""The reconciler of run directories: each belongs to a BatchJob that exists, or is stopped and removed (7.6).

Keyed by attempt id. It is added when a job is deleted, when an attempt leaves a job's history, and by the pass over all
directories in `ownerless`. An owner is gone only where an uncached read proves it.
"""

from __future__ import annotations

import structlog

from controller.api.batchjob import BatchJob
from controller.api.keys import Key
from controller.api.restored import held, restored_attempt
from controller.decisions.audited_acts import acted_on_orphan
from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import Owner, decide_orphan, is_kept, is_over, is_recorded_over
from controller.decisions.placement import Place
from controller.decisions.plan import Action, Release, Stop, Void
from controller.errors import HoldfastError, Terminal, Transient
from controller.executors.base import NOT_KEPT, AttemptId, Usage
from controller.kube.events import Reference
from controller.reconcile.account import ORPHANED
from controller.reconcile.index import attempt_key
from controller.reconcile.ownerless import Ownerless, set_aside
from controller.reconcile.parts import Parts
from controller.reconcile.workers import Result
from controller.reconcile.workqueue import HIGH

LOOK_AGAIN = 1.0  # seconds until the next look at one that is being stopped
UNKNOWN_AGAIN = 60.0  # seconds until the next look at one whose owner or state is not known

_log = structlog.get_logger("controller.orphans")


class OrphanReconciler:
    """Called by the workers with the key of a run directory."""

    def __init__(self, parts: Parts, ownerless: Ownerless) -> None:
        self._parts = parts
        self._ownerless = ownerless
        self._taken: dict[AttemptId, Usage] = {}  # by the processes of deleted jobs, before they were stopped

    async def reconcile(self, key: Key) -> Result:
        """Look at one run directory.

        Raises:
            HoldfastError: as its reaction says.
        """
        parts, attempt = self._parts, AttemptId.parse(key.name)
        job = self._job(attempt)
        if job is not None:
            parts.scheduler.release(attempt)  # counted by its job's own entry
            owner, kept = Owner.PRESENT, is_kept(job.status, attempt.number)
            over = is_recorded_over(job.status, attempt.number)
        else:
            owner, kept, over = await self.owner(attempt), False, False
        parts.scheduler.gate.accounted(key)  # its slot is counted in the right queue from here on
        if owner is Owner.PRESENT and not over:
            return Result()
        found = await parts.executor.observe(attempt)
        if owner is Owner.GONE and is_over(found):
            parts.scheduler.release(attempt)
        if owner is Owner.GONE and self._ownerless.held_for_a_person:
            return Result(UNKNOWN_AGAIN)
        for action in decide_orphan(attempt.number, found, owner, kept, over):
            return await self._do(attempt, action, owner)
        return await self._nothing_to_do(attempt, found, owner, kept)

    async def _do(self, attempt: AttemptId, action: Action, owner: Owner) -> Result:
        executor, audit = self._parts.executor, self._parts.audit
        match action:
            case Stop(_, reason, grace):
                if owner is Owner.GONE:
                    await self._measure(attempt)
                await executor.stop(attempt, reason, grace)
            case Void(_, message):
                await executor.void(attempt, message)
            case Release(_, keep_record=True):
                try:
                    await executor.release(attempt, keep_record=True)
                except Transient as error:
                    if (job := self._job(attempt)) is not None:
                        tell_not_kept(self._parts, job, error)
                    raise
            case Release():
                await self._remove(attempt, owner)
        audit.say_once(acted_on_orphan(str(attempt), action, owner.value))
        return Result() if isinstance(action, Release) else Result(LOOK_AGAIN)

    async def _nothing_to_do(self, attempt: AttemptId, found: Observation, owner: Owner, kept: bool) -> Result:
        if owner is Owner.GONE and found.evidence is Evidence.ABSENT:
            self._forget(attempt)
            return Result()
        useless = found.evidence is Evidence.UNKNOWN and not kept and owner is not Owner.UNKNOWN
        if useless and await set_aside(self._parts, str(attempt)):
            self._forget(attempt)
            return Result()
        return Result() if owner is Owner.PRESENT else Result(UNKNOWN_AGAIN)

    async def _remove(self, attempt: AttemptId, owner: Owner) -> None:
        parts = self._parts
        if await set_aside(parts, str(attempt)):
            self._forget(attempt)
            return
        disk = await parts.executor.disk_bytes(attempt)
        await parts.executor.release(attempt, keep_record=False)
        strange = not parts.scheduler.told_gone(attempt.job_uid)
        self._forget(attempt)
        if owner is Owner.GONE:
            self._count(attempt, disk, strange)

    async def _measure(self, attempt: AttemptId) -> None:
        """What the processes take is known only while they run; the most that was seen counts."""
        now, before = await self._parts.executor.usage(attempt), self._taken.get(attempt, Usage())
        most = max(now.processes, before.processes), max(now.memory_bytes, before.memory_bytes)
        self._taken[attempt] = Usage(*most)

    def _count(self, attempt: AttemptId, disk: int, strange: bool) -> None:
        """Count what went; a deletion that was told while we watched is no news for the account of a start."""
        metrics, account, taken = self._parts.metrics, self._parts.account, self._taken.pop(attempt, Usage())
        metrics.orphans_removed.labels("run_directory").inc()
        metrics.orphans_removed.labels("process").inc(taken.processes)
        metrics.integrity.memory_reclaimed.inc(taken.memory_bytes)
        metrics.integrity.disk_reclaimed.inc(disk)
        if strange:
            account.note(f"{ORPHANED}run_directory", str(attempt))
            for number in range(taken.processes):
                account.note(f"{ORPHANED}process", f"{attempt} ({number + 1})")
            account.reclaimed(memory_bytes=taken.memory_bytes, disk_bytes=disk)
        sizes = {"processes": taken.processes, "memory_bytes": taken.memory_bytes, "disk_bytes": disk}
        _log.info("removed the run directory of a deleted job", attempt=str(attempt), **sizes)

    async def settle(self, attempt: AttemptId) -> str:
        """A person says that an attempt is over whose job is gone and of which nothing is proved; says what was done.

        Raises:
            Terminal: it has a job, which asks for itself; or it is known what it does; or something of it is alive.
            Transient: its directory could not be moved.
        """
        parts, name = self._parts, str(attempt)
        if self._job(attempt) is not None or await self.owner(attempt) is not Owner.GONE:
            text = f"attempt {name} belongs to a BatchJob, or it is not proved that it does not: see `holdfast decide`"
            raise Terminal("HasOwner", text)
        seen = await parts.executor.observe(attempt)
        if seen.evidence is not Evidence.UNKNOWN:
            parts.queue.add(attempt_key(attempt), HIGH)
            return f"attempt {name} is {seen.evidence.value}: it needs nobody's word and is dealt with"
        reason = await parts.executor.quarantine(name, f"a person said that it is over; {seen.message}")
        if reason is None:
            pids = "kill its processes first, `holdfast orphans --dry-run` names them"
            raise Terminal("MayBeAlive", f"something of attempt {name} is alive: {pids}")
        parts.metrics.integrity.set_aside(parts.executor.place(name), reason)
        self._forget(attempt)
        return f"attempt {name} was set aside in quarantine, and its slot is free"

    def _forget(self, attempt: AttemptId) -> None:
        parts = self._parts
        parts.index.remove(attempt)
        parts.scheduler.release(attempt)
        if not parts.index.known(attempt.job_uid):
            parts.scheduler.forget_deletion(attempt.job_uid)

    def _job(self, attempt: AttemptId) -> BatchJob | None:
        key = self._parts.scheduler.owner(attempt.job_uid)
        return self._parts.store.job(key) if key is not None else None

    async def owner(self, attempt: AttemptId) -> Owner:
        """Ask the API server, and count the slot for the queue that the attempt was started in."""
        parts, uid = self._parts, attempt.job_uid
        carried = await parts.executor.annotations(attempt)
        if carried and "namespace" in carried and "name" in carried:
            if "queue" in carried and parts.scheduler.holds(attempt):
                place = Place.OUTSIDE if carried.get("outsideQueue") else Place.HELD
                parts.scheduler.hold(attempt, (carried["namespace"], carried["queue"]), place)
            gone = await parts.api.get_uncached_gone("BatchJob", carried["namespace"], carried["name"], uid)
            taken_over = gone and self._restored(Key("BatchJob", carried["namespace"], carried["name"]), attempt)
            return Owner.GONE if gone and not taken_over else Owner.UNKNOWN
        listing = await parts.api.list("BatchJob", metadata_only=True)  # a voided attempt names no owner but its uid
        present = any(item["metadata"]["uid"] == uid for item in listing.items)
        return Owner.UNKNOWN if present else Owner.GONE

    def _restored(self, key: Key, attempt: AttemptId) -> bool:
        """Whether the job was deleted and restored, and the one that is there now names this attempt as its last."""
        job = self._parts.store.job(key)
        if job is None:
            return False
        newest = job.status.attempt.number if job.status.attempt is not None else None
        if held(job.metadata, job.status.conditions):
            newest = attempt.number  # its status is on its way
        return restored_attempt(job.metadata, newest) == str(attempt)


def tell_not_kept(parts: Parts, job: BatchJob, error: HoldfastError) -> None:
    """An output that cannot be brought to where it is kept holds its Pod: its job says so."""
    if error.reason == NOT_KEPT:
        parts.events.record(Reference.to(job), "Warning", error.reason, error.message)
