"""The reconciler of JobBatch: one preparation for all jobs that wait for the same commit and command (5.7)."""

from __future__ import annotations

import asyncio

from controller.api.batchjob import BatchJob
from controller.api.conditions import is_true
from controller.api.jobbatch import BatchPhase, JobBatch
from controller.api.keys import Key
from controller.api.repository import Repository
from controller.api.units import duration_seconds
from controller.decisions import preparation
from controller.decisions import status as step
from controller.decisions.executors import PROCESS
from controller.decisions.plan import Delete
from controller.decisions.preparation import Seen
from controller.errors import Terminal, Waiting
from controller.executors.base import AttemptId
from controller.kube.errors import NotFound
from controller.kube.events import EventType, Reference
from controller.reconcile.operation_run import OperationRuns
from controller.reconcile.operations import Operations, Owner, Purpose
from controller.reconcile.parts import Parts
from controller.reconcile.workers import GONE, Result
from controller.repositories import requests
from controller.repositories.facts import Damaged, read_workspace
from controller.repositories.names import BadName
from controller.repositories.places import base_key
from controller.repositories.requests import Request, Target


class BatchReconciler:
    """Called by the workers with a key, never twice at once for the same batch."""

    def __init__(self, parts: Parts, operations: Operations) -> None:
        self._parts = parts
        self._places = operations.places
        self._runs = OperationRuns(parts, operations, Purpose.PREPARE)

    async def reconcile(self, key: Key) -> Result:
        """One pass over one batch.

        Raises:
            HoldfastError: as its reaction says.
        """
        parts = self._parts
        batch = parts.store.find(JobBatch, key)
        if batch is None:
            return GONE
        plan = preparation.decide(batch, await self._observe(batch), parts.now())
        recorded = await parts.writer.write(batch, plan.status)
        for note in plan.notes:
            kind: EventType = "Warning" if note.warning else "Normal"
            parts.events.record(Reference.to(recorded), kind, note.reason, note.message)
        owner = Owner(key, batch.metadata.uid)
        todo = tuple(action for action in plan.actions if not isinstance(action, Delete))
        await self._runs.act(owner, todo, lambda operation: self._request(recorded, operation))
        if len(todo) != len(plan.actions):
            await self._delete(recorded)
        return Result(plan.wake_after)

    async def _observe(self, batch: JobBatch) -> Seen:
        status = batch.status
        active = status.phase is BatchPhase.PREPARING
        run = await self._runs.read(batch.key, batch.metadata.uid, status.number, active=active)
        jobs = [job for _, job in self._parts.store.items("BatchJob") if _member(job, batch)]
        wanted_at = max((each for job in jobs if (each := job.metadata.creation_timestamp)), default=None)
        base = await asyncio.to_thread(self._base, batch)
        return Seen(base, run, tuple(sorted(job.metadata.name for job in jobs)), wanted_at, self._blocked(batch))

    def _base(self, batch: JobBatch) -> bool | None:
        try:
            key = base_key(batch.spec.commit, batch.spec.prepare.command)
            path = self._places.base(batch.metadata.namespace, batch.spec.repository, key)
            return read_workspace(path) is not None
        except Damaged:
            return False
        except (OSError, BadName):
            return None

    def _blocked(self, batch: JobBatch) -> tuple[str, str] | None:
        if PROCESS not in self._parts.host.executors:  # a command of a user's never runs beside the controller there
            return "Unsupported", "preparations run on the controller's host, where the executor Process is not enabled"
        key = Key("Repository", batch.metadata.namespace, batch.spec.repository)
        repository = self._parts.store.find(Repository, key)
        if repository is None:
            return "RepositoryNotFound", f"there is no Repository {batch.spec.repository}"
        if not is_true(repository.status.conditions, "Ready"):
            return "RepositoryNotReady", f"Repository {batch.spec.repository} is not ready"
        return None

    async def _request(self, batch: JobBatch, operation: AttemptId) -> Request:
        spec = batch.spec
        deadline = duration_seconds(spec.prepare.deadline)
        target = Target(self._places, batch.metadata.namespace, spec.repository, str(operation), deadline)
        try:
            key = base_key(spec.commit, spec.prepare.command)
            return requests.prepare(target, spec.commit, key, spec.prepare.command)
        except BadName as error:
            raise Terminal("BadName", str(error)) from error

    async def _delete(self, batch: JobBatch) -> None:
        try:
            await self._parts.api.delete(*batch.key, batch.metadata.uid)
        except NotFound:
            raise Waiting("Deleted", f"{batch.key} is gone; the watch will say so") from None


def _member(job: object, batch: JobBatch) -> bool:
    """Whether the job's recorded status names the batch, and it is not finished."""
    if not isinstance(job, BatchJob) or job.metadata.namespace != batch.metadata.namespace:
        return False
    used = job.status.repository
    return used is not None and used.batch == batch.metadata.name and not step.finished(job.status)
