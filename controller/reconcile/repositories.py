"""The reconciler of Repository: its mirror by operations, its lock by record (requirements 5.1, 5.2, 5.4).

One PATCH carries what changed of both; then the fence follows the lock, then operations are started.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from controller.api.keys import Key
from controller.api.repository import Operation, OperationState, OperationType, Repository
from controller.decisions import repository as decision
from controller.decisions.audited_locks import release_lines
from controller.decisions.plan import Note
from controller.decisions.repository import NETWORK, RepositoryPlan, Seen, due
from controller.decisions.repository_health import Mirror
from controller.errors import HoldfastError, Terminal, Waiting
from controller.executors.base import AttemptId
from controller.kube.events import EventType, Reference
from controller.reconcile.lock_keeper import LockKeeper, LockPlan
from controller.reconcile.lock_outages import LockOutages
from controller.reconcile.mirrors import look_at_mirror, mark_checked
from controller.reconcile.operation_run import OperationRuns
from controller.reconcile.operations import Operations, Owner, Purpose
from controller.reconcile.parts import Parts
from controller.reconcile.remotes import Remotes
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.repository_census import count
from controller.reconcile.transfer_slots import TransferSlots
from controller.reconcile.workers import GONE, Result
from controller.repositories import requests
from controller.repositories.names import BadName
from controller.repositories.requests import Remote, Request, Target


class RepositoryReconciler:
    """Called by the workers with a key, never twice at once for the same Repository.

    Args:
        max_transfers: operations on remotes at once on this host.
    """

    def __init__(
        self,
        parts: Parts,
        book: RepositoryBook,
        operations: Operations,
        remotes: Remotes,
        max_transfers: int,
    ) -> None:
        self._parts = parts
        self._book = book
        self._operations = operations
        self._remotes = remotes
        self._slots = TransferSlots(parts.store, max_transfers)
        self._keeper = LockKeeper(parts, book, operations.places)
        self._outages = LockOutages(parts, book, operations.places)
        self._runs = OperationRuns(parts, operations, Purpose.MIRROR)

    async def reconcile(self, key: Key) -> Result:
        """One pass over one Repository.

        Raises:
            HoldfastError: as its reaction says; the status and the world are consistent at every point of raising.
        """
        parts = self._parts
        repository = parts.store.find(Repository, key)
        if repository is None:
            parts.scheduler.gate.accounted(key)
            self._outages.over((key.namespace, key.name), None)
            self._slots.gone(key)
            return GONE
        try:
            recorded, plan, lock, remote = await self._record(repository)
        except HoldfastError as error:
            self._outages.failed(repository, error)
            raise
        self._outages.over((key.namespace, key.name), lock.held_up)
        self._tell(recorded, (*plan.notes, *lock.notes))
        parts.scheduler.gate.accounted(key)
        if _ended_well(repository, plan):
            await mark_checked(self._operations.places, recorded)
        if plan.status.operation != repository.status.operation:
            self._book.refs_changed((key.namespace, key.name))
        owner = Owner(key, repository.metadata.uid)
        await self._runs.act(owner, plan.actions, lambda operation: self._request(recorded, operation, remote))
        return Result(min((w for w in (plan.wake_after, lock.wake_after) if w is not None), default=None))

    async def _record(self, read: Repository) -> tuple[Repository, RepositoryPlan, LockPlan, Remote | None]:
        """Observe, decide, record: as it is recorded now, what was decided, and its remote where that is needed."""
        parts, key, now = self._parts, read.key, self._parts.now()
        repository = await self._outages.look(read, now)
        seen, remote = await self._observe(repository)
        plan = decision.decide(repository, replace(seen, slot_free=self._slots.free_for(key)), now)
        self._slots.decided(key, plan.status)
        lock = await self._keeper.decide(repository, plan.status.conditions, now)
        failures = parts.failures.of(key, repository.status.recent_failures)
        update = {"lock": lock.lock, "conditions": lock.conditions, "recent_failures": failures}
        status = plan.status.model_copy(update=update)
        released = release_lines(repository, lock.lock, lock.gone, parts.writer.job_name)
        recorded = await parts.writer.write(repository, status, released)
        count(parts.metrics.repositories, repository.status, status, lock.gone)
        await self._keeper.recorded(recorded, lock.gone)
        return recorded, plan, lock, remote

    # --- observe

    async def _observe(self, repository: Repository) -> tuple[Seen, Remote | None]:
        mirror = await look_at_mirror(self._operations.places, repository)
        recorded = repository.status.operation
        active = recorded is not None and recorded.state is OperationState.STARTING
        number = recorded.number if recorded is not None else 0
        run = await self._runs.read(repository.key, repository.metadata.uid, number, active=active)
        remote, blocked = None, None
        missed = self._book.missed((repository.metadata.namespace, repository.metadata.name))
        if mirror is not None and _wants_remote(repository, mirror, self._parts.now(), missed):
            try:
                remote = await self._remotes.remote(repository)
            except Waiting as missing:
                blocked = (missing.reason, missing.message)
                self._parts.queue.add_after(repository.key, missing.retry_after or 15.0)
        return Seen(mirror, run, blocked=blocked, missed=missed), remote

    # --- record

    def _tell(self, repository: Repository, notes: tuple[Note, ...]) -> None:
        for note in notes:
            kind: EventType = "Warning" if note.warning else "Normal"
            self._parts.events.record(Reference.to(repository), kind, note.reason, note.message)

    # --- act

    async def _request(self, repository: Repository, operation: AttemptId, remote: Remote | None) -> Request:
        recorded = repository.status.operation
        assert recorded is not None
        namespace, name, branch = repository.metadata.namespace, repository.metadata.name, repository.spec.branch
        deadline = self._remotes.deadline(repository)
        target = Target(self._operations.places, namespace, name, str(operation), deadline)
        try:
            if recorded.type is OperationType.VERIFY:
                request = requests.verify(target, branch)
            else:
                make = requests.clone if recorded.type is OperationType.CLONE else requests.fetch
                request = make(target, remote or await self._remotes.remote(repository), branch)
        except BadName as error:
            raise Terminal("UrlRefused", str(error)) from error
        return with_type(request, recorded)


def with_type(request: Request, operation: Operation) -> Request:
    """The request with what a wiped status is rebuilt from."""
    return replace(request, annotations={**request.annotations, "type": operation.type.value})


def _wants_remote(repository: Repository, mirror: Mirror, now: datetime, missed: datetime | None) -> bool:
    if decision.active(repository.status) is not None:
        return False
    return due(repository.spec, repository.status, mirror, now, missed)[0] in NETWORK


def _ended_well(repository: Repository, plan: RepositoryPlan) -> bool:
    after = plan.status.operation
    return after is not None and after.state is OperationState.SUCCEEDED and after != repository.status.operation
