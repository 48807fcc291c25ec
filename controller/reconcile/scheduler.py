"""The scheduler: keeps the books, runs the cycle, grants slots (requirements 2.1-2.3, 7.4).

A grant is a hint to the job's own reconciler, which records admission and start intent in one PATCH; until then the
grant counts as a held slot. A grant that is lost with the process was never anything: the next cycle gives it again.
"""

from __future__ import annotations

import asyncio

from controller.api.batchjob import BatchJob
from controller.api.jobqueue import JobQueue
from controller.api.keys import Key
from controller.decisions import status as step
from controller.decisions.admission import QueueName, StartGate, cycle
from controller.decisions.executors import PROCESS, named, outside_queue
from controller.decisions.order import Candidate, candidate
from controller.decisions.placement import Place, place
from controller.executors.base import AttemptId
from controller.kube.store import Change, ChangeType
from controller.reconcile.books import Books
from controller.reconcile.gate import Gate
from controller.reconcile.index import AttemptIndex, attempt_key
from controller.reconcile.known_order import KnownOrder
from controller.reconcile.known_places import KnownPlaces
from controller.reconcile.pace import Pace
from controller.reconcile.ramped import HOST, RampedStarts
from controller.reconcile.workqueue import HIGH, NORMAL, WorkQueue

CYCLE_SECONDS = 0.05  # at most 20 cycles a second (design 4)
QUEUE_STATUS_SECONDS = 1.0  # at most one write of a queue's status a second


class Scheduler:
    """See the module.

    Args:
        queue: the work queue; a granted job's key is added to it.
        index: which attempts have a run directory.
        host_limit: attempts at once on this host.
        executor: where jobs go that name none.
    """

    def __init__(self, queue: WorkQueue, index: AttemptIndex, host_limit: int, executor: str = PROCESS) -> None:
        self.books = Books()
        self.pace = Pace()
        self.host_limit = host_limit
        self._executor = executor
        self._queue = queue
        self._index = index
        self._granted: dict[str, tuple[QueueName, Candidate]] = {}
        self._owners: dict[str, Key] = {}  # uid -> key of every BatchJob in the store
        self._holding: set[str] = set()
        self._told_gone: set[str] = set()  # uids of jobs deleted while we watched, that left run directories
        self._held_back: dict[str, asyncio.TimerHandle] = {}
        self._dirty = asyncio.Event()
        self._places = KnownPlaces(self._dirty.set)
        self.gate = Gate(self._dirty.set)
        self._also: StartGate | None = None
        self.ramp = RampedStarts(self._dirty.set, self._ramp_changed)
        self.known_order = KnownOrder(self.poke)

    def also_ask(self, gate: StartGate) -> None:
        """Have `gate` asked before a slot is given (design 4, step 4: repository and lock)."""
        self._also = gate

    # --- what changes the books

    def observe(self, change: Change) -> None:
        """Listener of the store: an object was added, changed or removed."""
        new, old = change.new, change.old
        if change.type is ChangeType.CORRUPT:
            return  # the last good version stays in force
        if isinstance(new or old, JobQueue):
            self._observe_queue(change.key, new if isinstance(new, JobQueue) else None)
            return
        if isinstance(old, BatchJob) and new is None:
            self._forget(old)
        if isinstance(new, BatchJob):
            self._owners[new.metadata.uid] = change.key
            self._places.learn(change, new)
            self.enter(new)

    def enter(self, job: BatchJob) -> None:
        """Put a job where it stands now; a job whose sequence is not known yet does not wait in line."""
        uid = job.metadata.uid
        where = place(job, self._index.known(uid))
        sequence = self.sequence(job)
        outside = outside_queue(job, named(job.spec, self._executor))
        waiting = candidate(job, sequence, outside) if where is Place.WAITING and sequence is not None else None
        name, before = (job.metadata.namespace, job.spec.queue), self.books.queue_of(uid)
        self._places.unplaced(uid, (name, job.spec.priority) if where is Place.WAITING and waiting is None else None)
        given = self._granted.get(uid)
        if where is not Place.WAITING or (before or name) != name or (given and given[1].outside != bool(outside)):
            self._granted.pop(uid, None)  # it does not wait, or not there: the slot was one of the other queue
        if where in (Place.HELD, Place.OUTSIDE):
            self._holding.add(uid)
        else:
            self._holding.discard(uid)
        if job.status.sequence is not None:
            self._places.recorded(uid)
        if self.books.enter(job, where, waiting):
            if where is Place.NEITHER:
                self.books.ran(job)
            for touched in {name, before or name}:
                self._touch(touched)

    def sequence(self, job: BatchJob) -> int | None:
        """The job's place in creation order, None where it has to be found out first."""
        return self._places.of(job)

    def set_sequence(self, job: BatchJob, sequence: int) -> None:
        """The sequence of a job that was edited before it was first seen was found out."""
        self._places.found(job.metadata.uid, sequence)
        self.enter(job)

    def hold(self, attempt: AttemptId, name: QueueName, place: Place = Place.HELD) -> None:
        """An attempt without an object may still run: it keeps its slot, if it has one, until `release`."""
        self.books.hold(f"ownerless {attempt}", name, place)
        self._dirty.set()

    def holds(self, attempt: AttemptId) -> bool:
        """Whether an attempt without an object is counted."""
        return self.books.queue_of(f"ownerless {attempt}") is not None

    def orphaned(self, attempt: AttemptId, name: QueueName, place: Place = Place.HELD) -> None:
        """The BatchJob is not there any more, its attempt may be: it keeps its slot and is looked at."""
        self.hold(attempt, name, place)
        self._queue.add(attempt_key(attempt), NORMAL)

    def release(self, attempt: AttemptId) -> None:
        """The attempt without an object is proved over."""
        self.books.remove(f"ownerless {attempt}")
        self._dirty.set()

    def hold_back(self, uid: str, seconds: float) -> None:
        """The job cannot start for `seconds`: it is passed over and keeps its place."""
        self._granted.pop(uid, None)
        if (timer := self._held_back.pop(uid, None)) is not None:
            timer.cancel()
        self._held_back[uid] = asyncio.get_running_loop().call_later(seconds, self._let_go, uid)
        self._dirty.set()

    def give_back(self, uid: str) -> None:
        """The grant was not used."""
        if self._granted.pop(uid, None) is not None:
            self._dirty.set()

    def held_keys(self) -> list[tuple[str, Key]]:
        """uid and key of every job whose recorded attempt holds a slot, or is limited by an outside queue."""
        return [(uid, self._owners[uid]) for uid in self._holding]

    def granted_keys(self) -> list[Key]:
        """Keys of the jobs whose slot is not recorded yet."""
        return [Key("BatchJob", waiting.namespace, waiting.name) for _, waiting in self._granted.values()]

    def owner(self, uid: str) -> Key | None:
        """The key of the BatchJob with this uid in the store; None is no proof that it is gone."""
        return self._owners.get(uid)

    def told_gone(self, uid: str) -> bool:
        """Whether the job's deletion was told while we watched, with its run directories at hand."""
        return uid in self._told_gone

    def forget_deletion(self, uid: str) -> None:
        """Nothing of the deleted job is left."""
        self._told_gone.discard(uid)

    # --- the cycle

    def granted(self, uid: str) -> bool:
        """Whether the job was given a slot that is not recorded yet."""
        return uid in self._granted

    def poke(self) -> None:
        """Something that the cycle depends on changed."""
        self._dirty.set()

    async def run(self) -> None:
        """Cycle whenever something changed, until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self.cycle()
            await asyncio.sleep(CYCLE_SECONDS)

    def cycle(self) -> None:
        """One cycle: grant slots and wake the reconcilers of those who got one."""
        granted = {uid: name for uid, (name, waiting) in self._granted.items() if not waiting.outside}
        views = [] if self.gate.closed_for else self.books.views(granted, self._places.highest_unplaced())
        if self._also is not None:
            self._also.begin()
        asked = self._startable, self._stand, self._too_soon, self._too_soon_in
        for waiting in cycle(views, self.host_limit, self.books.held_total + len(granted), *asked):
            job_key = Key("BatchJob", waiting.namespace, waiting.name)
            if (queue := self.books.queue_of(waiting.uid)) is not None:
                self._granted[waiting.uid] = (queue, waiting)
                self.pace.started(waiting.uid)
                self._queue.add(job_key, HIGH)
        if self._also is not None:
            self._also.finish()

    def _too_soon(self, waiting: Candidate) -> bool:
        return self.known_order.unsure(waiting) or (not waiting.outside and self.ramp.too_soon(waiting))

    def _too_soon_in(self, waiting: Candidate, name: QueueName) -> bool:
        return self.ramp.too_soon_in(waiting, name, self.books.account(name).declared)

    def _ramp_changed(self, name: QueueName) -> None:
        """Tell it by the status of the queue, or of all that have somebody waiting."""
        for each in [each for each, account in self.books.accounts.items() if account.waiting]:
            if name in (each, HOST):
                self._touch(each)
        if name != HOST:
            self._touch(name)

    def _startable(self, waiting: Candidate) -> bool:
        if waiting.uid in self._granted or waiting.uid in self._held_back:
            return False
        if self._also is not None and not self._also.may_start(waiting):
            return False
        if not waiting.outside:
            self.ramp.started(
                waiting, self.books.queue_of(waiting.uid)
            )  # what can start is admitted, in the same cycle
        return True

    def _stand(self, waiting: Candidate) -> None:
        if self._also is not None and waiting.uid not in self._granted and waiting.uid not in self._held_back:
            self._also.stand(waiting)

    def _let_go(self, uid: str) -> None:
        del self._held_back[uid]
        self._dirty.set()

    def _forget(self, job: BatchJob) -> None:
        uid = job.metadata.uid
        self._granted.pop(uid, None)
        self._places.forget(uid)
        self.pace.forget(uid)
        self._holding.discard(uid)
        if (key := self._owners.pop(uid, None)) is not None:
            self.gate.accounted(key)  # nobody reconciles it any more; what it left running is held below
        name = (job.metadata.namespace, job.spec.queue)
        self.books.remove(uid)
        recorded = step.active(job.status)
        if self._index.known(uid):
            self._told_gone.add(uid)
        numbers = set(self._index.known(uid) or ()) | ({recorded.number} if recorded else set())
        for number in sorted(numbers):
            attempt = AttemptId(uid, number)
            if job.status.attempt is None or attempt.number == (recorded.number if recorded else None):
                self.orphaned(attempt, name, Place.OUTSIDE if recorded and recorded.outside_queue else Place.HELD)
            else:
                self._queue.add(attempt_key(attempt), NORMAL)
        self._touch(name)

    def _observe_queue(self, key: Key, queue: JobQueue | None) -> None:
        name = (key.namespace, key.name)
        existed = self.books.exists(name)
        self.books.declare(name, queue)
        if self.books.exists(name) != existed:
            for waiting in self.books.account(name).waiting:
                self._queue.add(Key("BatchJob", waiting.namespace, waiting.name))
        self._touch(name)

    def _touch(self, name: QueueName) -> None:
        self._dirty.set()
        if self.books.account(name).declared is not None:
            self._queue.add_after(Key("JobQueue", *name), QUEUE_STATUS_SECONDS)
