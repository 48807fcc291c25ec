"""One controller process over the modelled world: the real store, books, scheduler, work queue and decisions.

Only the awaits of the reconcilers are left out, so that a test can end the process at each of their boundaries.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from enum import Enum, auto

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState
from controller.api.keys import Key
from controller.decisions import status as step
from controller.decisions.inputs import Observed
from controller.decisions.job import counters, decide, retry_left
from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import Owner, decide_orphan, is_over
from controller.decisions.plan import Action, Delete, Launch, Plan, Release, Stop, Supervise, Void
from controller.executors.base import AttemptId
from controller.kube.store import Store
from controller.reconcile.first_pass import needs_a_look
from controller.reconcile.index import AttemptIndex
from controller.reconcile.merge import difference
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import HIGH, LOW, NORMAL, WorkQueue
from controller.telemetry.metrics import Metrics
from tests.unit.builders import HOST
from tests.unit.world import Conflict, NotFound, VirtualLoop, World


class Crash(Enum):
    """Where in a pass the controller is killed."""

    NEVER = auto()
    BEFORE_RECORD = auto()
    AFTER_RECORD = auto()  # recorded, the answer not seen, nothing acted
    MID_ACT = auto()  # the first action done, the rest not
    AFTER_ACT = auto()


class Killed(Exception):
    """The controller process is gone."""


class Controller:
    """See the module. Built anew after each crash: nothing survives but the world."""

    def __init__(self, world: World, loop: VirtualLoop, host_limit: int, metrics: Metrics) -> None:
        self.world, self.loop = world, loop
        self.store = Store(metrics, clock=loop.time)
        self.queue = WorkQueue(clock=loop.time, jitter=lambda: 0.0)
        self.index = AttemptIndex()
        self.scheduler = Scheduler(self.queue, self.index, host_limit)
        self.store.listen(self.scheduler.observe)
        self.seen_starting: dict[AttemptId, float] = {}
        for kind in ("JobQueue", "BatchJob"):
            for (its, _), found in list(world.objects.items()):
                if its == kind:
                    self.store.update(kind, copy.deepcopy(found))
        world.events.clear()
        self._first_pass()

    def _first_pass(self) -> None:
        self.index.load(list(self.world.runs))
        for key, found in self.store.items("BatchJob"):
            assert isinstance(found, BatchJob)
            self.scheduler.enter(found)
            if needs_a_look(found):
                self.queue.add(key, NORMAL)
        for attempt in self.index.attempts():
            if self.scheduler.owner(attempt.job_uid) is None:
                self.scheduler.hold(attempt, ("", ""))
                self.queue.add(Key("Attempt", "", str(attempt)), NORMAL)
        held = {key for _, key in self.scheduler.held_keys()}
        ownerless = {Key("Attempt", "", str(a)) for a in self.index.attempts() if not self.scheduler.owner(a.job_uid)}
        for key in held:
            self.queue.add(key, HIGH)
        self.scheduler.wait_for(held | ownerless)

    # --- what wakes it

    def deliver(self) -> None:
        """The watch tells what happened since."""
        events, self.world.events = self.world.events, []
        for type_, kind, raw in events:
            change = self.store.delete(kind, raw) if type_ == "DELETED" else self.store.update(kind, raw)
            if change is not None and change.new is not None:
                self.queue.add(change.key, NORMAL)

    def wake(self, attempt: AttemptId) -> None:
        """A supervisor ended."""
        key = self.scheduler.owner(attempt.job_uid)
        self.queue.add(key if key is not None else Key("Attempt", "", str(attempt)), HIGH)

    def sweep(self) -> None:
        """The look at running attempts every few seconds."""
        for _, key in self.scheduler.held_keys():
            self.queue.add(key, LOW)

    # --- what it does

    async def work(self, crash: Crash = Crash.NEVER) -> bool:
        """Take one ready key and reconcile it; False where none is ready. Raises Killed."""
        if not self.queue.depth().ready:
            return False
        key = await self.queue.get()
        assert key is not None
        try:
            wake_after = self._reconcile(key, crash)
        except Conflict:
            found = self.world.objects.get(("BatchJob", key.name))
            if found is not None:
                self.store.update("BatchJob", copy.deepcopy(found))
            self.queue.add_rate_limited(key)
        except NotFound:
            pass  # the watch will say so
        else:
            self.queue.forget(key)
            if wake_after is not None:
                self.queue.add_after(key, wake_after)
        finally:
            self.queue.done(key)
        return True

    def _reconcile(self, key: Key, crash: Crash) -> float | None:
        if key.kind == "Attempt":
            again = self._orphan(AttemptId.parse(key.name))
            self.scheduler.accounted(key)
            return again
        job = self.store.job(key) if key.kind == "BatchJob" else None
        if job is None:
            self.scheduler.accounted(key)
            return None
        if self.scheduler.sequence(job) is None and not step.finished(job.status):
            self.scheduler.set_sequence(job, self.world.created[job.metadata.uid])
        seen = self._observe(job)
        plan = decide(job, seen, HOST, self.world.now)
        assert_idempotent(job, seen, plan, self.world)
        assert_entitled(job, plan)
        if crash is Crash.BEFORE_RECORD:
            raise Killed
        job = self._record(job, plan, crash)
        if (left := retry_left(job, job.status, self.world.now)) > 0:
            self.scheduler.hold_back(job.metadata.uid, left)
        self.scheduler.accounted(key)
        for action in plan.actions:
            self._act(job, action)
            if crash is Crash.MID_ACT:
                raise Killed
        if crash is Crash.AFTER_ACT:
            raise Killed
        return plan.wake_after

    def _observe(self, job: BatchJob) -> Observed:
        uid, known = job.metadata.uid, self.index.known(job.metadata.uid)
        if step.finished(job.status):
            return Observed()
        active = step.active(job.status)
        attempt = AttemptId(uid, active.number) if active is not None else None
        if job.status.attempt is None and known:
            attempt = AttemptId(uid, max(known))
        wiped = attempt is not None and job.status.attempt is None
        run = self.world.runs.get(attempt) if attempt is not None and wiped else None
        starting = 0.0
        if attempt is not None and active is not None and active.state is AttemptState.STARTING:
            starting = self.loop.time() - self.seen_starting.setdefault(attempt, self.loop.time())
        name = ("default", job.spec.queue)
        blocked = None if self.scheduler.books.exists(name) else ("QueueNotFound", f"there is no {name[1]}")
        return Observed(
            attempt=self.world.observe(attempt) if attempt is not None else None,
            known=known,
            annotations=run.annotations if run is not None and not run.unreadable else {},
            starting_for=starting,
            sequence=self.scheduler.sequence(job),
            granted=self.scheduler.granted(uid),
            blocked=blocked,
        )

    def _record(self, job: BatchJob, plan: Plan, crash: Crash) -> BatchJob:
        patch = difference(job.status.to_json(), plan.status.to_json())
        meta, before, after = job.metadata, job.status.attempt, plan.status.attempt
        if after is not None and after.state is AttemptState.STARTING and before is not None:
            new = before.number != after.number
            assert not new or AttemptId(meta.uid, after.number) not in self.world.built, "a number is used again"
        if patch:
            raw = self.world.patch_status(meta.name, meta.uid, meta.resource_version, patch)
            if crash is Crash.AFTER_RECORD:
                raise Killed
            self.store.update("BatchJob", raw)
            found = self.store.job(Key("BatchJob", meta.namespace, meta.name))
            assert found is not None
            job = found
        if step.active(job.status) is None:
            self.scheduler.give_back(meta.uid)
        return job

    def _act(self, job: BatchJob, action: Action) -> None:
        uid, world = job.metadata.uid, self.world
        match action:
            case Launch(number):
                self.index.add(AttemptId(uid, number))
                owner = {"namespace": "default", "name": job.metadata.name, "queue": job.spec.queue}
                world.launch(AttemptId(uid, number), owner | counters(job.status))
            case Void(number, _):
                self.index.add(AttemptId(uid, number))
                world.void(AttemptId(uid, number))
            case Stop(number, reason, _):
                world.stop(AttemptId(uid, number), reason)
            case Supervise(number):
                if (run := world.runs.get(AttemptId(uid, number))) is not None:
                    run.supervised = True
            case Release(number, keep_record):
                world.release(AttemptId(uid, number), keep_record=keep_record)
            case Delete():
                if ("BatchJob", job.metadata.name) in world.objects:
                    world.delete("BatchJob", job.metadata.name)

    def _orphan(self, attempt: AttemptId) -> float | None:
        key = self.scheduler.owner(attempt.job_uid)
        if key is not None:
            self.scheduler.release(attempt)
            return None
        owner = Owner.UNKNOWN if self.world.exists(attempt.job_uid) else Owner.GONE
        run = self.world.runs.get(attempt)
        if run is not None and "queue" in run.annotations and self.scheduler.holds(attempt):
            self.scheduler.hold(attempt, ("default", run.annotations["queue"]))
        found = self.world.observe(attempt)
        if owner is Owner.GONE and is_over(found):
            self.scheduler.release(attempt)
        for action in decide_orphan(attempt.number, found, owner, kept=False):
            match action:
                case Stop(_, reason, _):
                    self.world.stop(attempt, reason)
                    return 1.0
                case Void():
                    self.world.void(attempt)
                    return 1.0
                case Release():
                    self.world.release(attempt, keep_record=False)
                    self.index.remove(attempt)
                    return None
        if owner is Owner.GONE and found.evidence is Evidence.ABSENT:
            self.index.remove(attempt)
            return None
        return 60.0


def assert_idempotent(job: BatchJob, seen: Observed, plan: Plan, world: World) -> None:
    """Deciding again on the same inputs, once the plan is recorded, changes nothing and does nothing new."""
    if plan.wake_after == 0.0 or (step.finished(plan.status) and plan.wake_after is None):
        return  # the next step is looked at anew; an end is judged by the machine
    admitted = step.active(plan.status) is not None and step.active(job.status) is None and seen.attempt is None
    looked = replace(seen, granted=False, attempt=Observation(Evidence.ABSENT)) if admitted else seen
    again = decide(job.model_copy(update={"status": plan.status}), looked, HOST, world.now)
    assert again.status == plan.status, difference(plan.status.to_json(), again.status.to_json())
    if not step.finished(plan.status):
        assert set(again.actions) <= set(plan.actions)


def assert_entitled(job: BatchJob, plan: Plan) -> None:
    """Record before act: each action is about the attempt that the plan records."""
    recorded = plan.status.attempt
    for action in plan.actions:
        if isinstance(action, Delete):
            assert step.finished(plan.status)
        else:
            assert recorded is not None and recorded.number == action.number
            assert not isinstance(action, Launch) or recorded.state is AttemptState.STARTING
    if step.finished(job.status):
        assert plan.status == job.status
