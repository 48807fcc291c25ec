"""One controller process over the modelled world: the real parts and reconcilers, put together as in the product.

Only kopf and the API client are left out: the world tells its events by hand, and is the other side of each call.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState
from controller.api.keys import Key
from controller.api.names import KINDS
from controller.decisions import status as step
from controller.decisions.inputs import Left, LeftState, Observed
from controller.decisions.job import decide
from controller.decisions.observed import Evidence, Observation
from controller.decisions.plan import Delete, Launch, Plan
from controller.errors import HoldfastError
from controller.executors.base import AttemptId, LaunchSpec
from controller.kube.events import Recorder
from controller.kube.store import Store
from controller.reconcile.account import RecoveryAccount
from controller.reconcile.environment import Environment
from controller.reconcile.evictions import Evictions
from controller.reconcile.failure_book import FailureBook
from controller.reconcile.first_pass import first_pass
from controller.reconcile.held import Held
from controller.reconcile.index import ATTEMPT, AttemptIndex
from controller.reconcile.intake import Intake
from controller.reconcile.job_deliveries import DroppedCallbacks, JobDeliveries
from controller.reconcile.job_repositories import JobRepositories
from controller.reconcile.jobs import JobReconciler
from controller.reconcile.merge import difference
from controller.reconcile.mirrors import resolver
from controller.reconcile.operations import Operations
from controller.reconcile.orphans import OrphanReconciler
from controller.reconcile.ownerless import Ownerless
from controller.reconcile.parts import Parts
from controller.reconcile.queues import QueueReconciler
from controller.reconcile.record import StatusWriter
from controller.reconcile.remotes import Remotes
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.resumption import Resumption
from controller.reconcile.router import Router
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workers import Result, Workers
from controller.reconcile.workqueue import WorkQueue
from controller.repositories.places import Places
from controller.telemetry.audit import AuditJournal
from controller.telemetry.metrics import Metrics
from tests.unit.builders import HOST
from tests.unit.world import VirtualLoop, World
from tests.unit.world_doors import Boundary, Killed, WorldApi, WorldExecutor

BOTH = replace(HOST, executors=frozenset({"Process", "Pod"}))


class Controller:
    """See the module. Built anew after each crash: nothing survives but the world."""

    def __init__(self, world: World, loop: VirtualLoop, host_limit: int, metrics: Metrics) -> None:
        self.world = world
        self.boundary = Boundary()
        self.parts = parts = _parts(world, self.boundary, loop, host_limit, metrics)
        self.store, self.queue, self.scheduler = parts.store, parts.queue, parts.scheduler
        self.intake = Intake(parts.store, parts.queue, parts.scheduler, parts.writer)
        parts.writer.on_late(self.intake.recorded_late)
        self.ownerless = Ownerless(parts)
        jobs = CheckedJobs(parts, _no_repositories(parts), world)
        orphans = OrphanReconciler(parts, self.ownerless)
        router = {"BatchJob": jobs.reconcile, "JobQueue": QueueReconciler(parts).reconcile, ATTEMPT: orphans.reconcile}
        self._router = Router(router, Held(parts).wait)
        self._workers = Workers(parts.queue, self._reconcile, 1, metrics)
        self._defect: Exception | None = None

    async def start(self) -> None:
        """The first LIST, and the first pass."""
        self.store.listen(self.scheduler.observe)
        for kind in KINDS:
            for (its, _), found in list(self.world.objects.items()):
                if its == kind:
                    self.store.update(kind, copy.deepcopy(found))
        self.world.events.clear()
        await first_pass(self.parts, self.intake, self.ownerless)

    # --- what wakes it

    def deliver(self) -> None:
        """The watch tells what happened since."""
        events, self.world.events = self.world.events, []
        for type_, kind, raw in events:
            self.intake.told(kind, type_, raw)

    def wake(self, attempt: AttemptId) -> None:
        """A supervisor ended."""
        self.intake.ended(attempt)

    def sweep(self) -> None:
        """The look at running attempts every few seconds."""
        self.intake.look_at_attempts()

    # --- what it does

    async def work(self, crash: int | None = None) -> bool:
        """Take one ready key and reconcile it; False where none is ready.

        Args:
            crash: how often the pass crosses the boundary before it is killed, at its end at the latest.

        Raises:
            Killed: it was.
        """
        if not self.queue.depth().ready:
            return False
        key = await self.queue.get()
        assert key is not None
        self.boundary.arm(crash)
        await self._workers.once(key)
        self.queue.done(key)
        if self._defect is not None:
            raise self._defect
        if self.boundary.armed:
            raise Killed
        return True

    async def _reconcile(self, key: Key) -> Result:
        """Keep what the workers would only log."""
        try:
            return await self._router.reconcile(key)
        except HoldfastError:
            raise
        except Exception as error:
            self._defect = error
            raise


def _parts(world: World, boundary: Boundary, loop: VirtualLoop, host_limit: int, metrics: Metrics) -> Parts:
    api: Any = WorldApi(world, boundary)
    store = Store(metrics, clock=loop.time)
    queue, index = WorkQueue(clock=loop.time, jitter=lambda: 0.0), AttemptIndex()
    audit, scheduler = AuditJournal(None, metrics.audit), Scheduler(queue, index, host_limit)
    events = Recorder(api, metrics, lambda: world.now, loop.time)
    return Parts(
        api=api,
        store=store,
        queue=queue,
        writer=StatusWriter(api, store, audit, scheduler.owner, events),
        executor=WorldExecutor(world, boundary),
        index=index,
        scheduler=scheduler,
        evictions=Evictions(),
        account=RecoveryAccount(),
        events=events,
        metrics=metrics,
        audit=audit,
        failures=FailureBook(metrics.failures, 86400),
        host=BOTH,
        now=lambda: world.now,
        monotonic=loop.time,
        output_location=str,
    )


def _no_repositories(parts: Parts) -> JobRepositories:
    """The real part, in a world where no job names a repository: it has nothing to do."""
    places = Places(Path("/nonexistent"))
    book = RepositoryBook(parts.queue, parts.scheduler, parts.store, resolver(places))
    operations = Operations(parts.executor, places, parts.queue, parts.metrics.integrity.set_aside)
    return JobRepositories(parts, book, operations, Remotes(parts.api, ("https",)))


class WorldResumption(Resumption):
    """The modelled world has no disk: what a lost attempt left is always there."""

    async def look(self, job: BatchJob, found: Observation | None, *, granted: bool) -> Left | None:
        return Left(LeftState.THERE)

    async def complete(self, spec: LaunchSpec, job: BatchJob) -> LaunchSpec:
        return spec

    async def release(self, job: BatchJob, number: int) -> None:
        return None


class CheckedJobs(JobReconciler):
    """The real one; what it decided is checked before it is recorded."""

    def __init__(self, parts: Parts, repositories: JobRepositories, world: World) -> None:
        deliveries = JobDeliveries(parts, DroppedCallbacks(parts.store))
        super().__init__(parts, repositories, deliveries, WorldResumption(parts, Places(Path("/nonexistent"))))
        self._world = world
        self._looked = Observed()

    async def _observe(self, job: BatchJob) -> tuple[Observed, Environment | None]:
        self._looked, environment = await super()._observe(job)
        return self._looked, environment

    async def _record(self, job: BatchJob, plan: Plan, *, keep_grant: bool) -> BatchJob:
        assert_idempotent(job, self._looked, plan, self._world)
        assert_entitled(job, plan)
        before, after = job.status.attempt, plan.status.attempt
        if after is not None and after.state is AttemptState.STARTING and before is not None:
            new = AttemptId(job.metadata.uid, after.number) not in self._world.built
            assert new or before.number == after.number, "a number is used again"
        return await super()._record(job, plan, keep_grant=keep_grant)


def assert_idempotent(job: BatchJob, seen: Observed, plan: Plan, world: World) -> None:
    """Deciding again on the same inputs, once the plan is recorded, changes nothing and does nothing new."""
    if plan.wake_after == 0.0 or (step.finished(plan.status) and plan.wake_after is None):
        return  # the next step is looked at anew; an end is judged by the machine
    admitted = step.active(plan.status) is not None and step.active(job.status) is None and seen.attempt is None
    looked = replace(seen, granted=False, attempt=Observation(Evidence.ABSENT)) if admitted else seen
    if plan.status.phase is not None:  # from then on nobody asks for its place
        looked = replace(looked, position=None, eta=None, look_again=None)
    again = decide(job.model_copy(update={"status": plan.status}), looked, BOTH, world.now)
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
