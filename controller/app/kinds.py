"""The table of who handles which kind: its reconciler, and who listens to its changes in the store.

A new kind is a row here, its name in `controller.api.names` and its model in `controller.api.kinds`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from controller.api.batchjob import BatchJob
from controller.api.callback import Callback
from controller.api.jobbatch import JobBatch
from controller.api.jobqueue import JobQueue
from controller.api.keys import Key
from controller.api.kind import Kind
from controller.api.repository import Repository
from controller.api.repositorylock import RepositoryLock
from controller.api.snapshot import Snapshot
from controller.app.foundation import Foundation
from controller.app.sides import Sides
from controller.kube.store import Change
from controller.reconcile.batches import BatchReconciler
from controller.reconcile.census import Census
from controller.reconcile.claims import ClaimReconciler
from controller.reconcile.jobs import JobReconciler
from controller.reconcile.parts import Parts
from controller.reconcile.queues import QueueReconciler
from controller.reconcile.repositories import RepositoryReconciler
from controller.reconcile.resumption import Resumption
from controller.reconcile.workers import Reconcile, Result

Listener = Callable[[Change], None]


class Reconciler(Protocol):
    """What is made for each kind."""

    async def reconcile(self, key: Key) -> Result:
        """One pass over the object of this key."""


@dataclass(frozen=True, slots=True)
class Handled:
    """How a kind is handled.

    Args:
        listeners: told of each change of the kind, in this order, from the first LIST on.
        reconciler: made once the cluster is joined.
    """

    model: type[Kind]
    listeners: tuple[Callable[[Foundation], Listener], ...]
    reconciler: Callable[[Parts, Sides], Reconciler]


def _schedule(base: Foundation) -> Listener:
    return base.scheduler.observe


def _book(base: Foundation) -> Listener:
    return base.book.observe


def _count(base: Foundation) -> Listener:
    return Census(base.metrics).observe


def _failures(base: Foundation) -> Listener:
    return base.failures.observe


def _callbacks(base: Foundation) -> Listener:
    return base.callbacks.observe


def _dropped(base: Foundation) -> Listener:
    return base.dropped.observe


def _repositories(parts: Parts, sides: Sides) -> Reconciler:
    side = sides.repositories
    return RepositoryReconciler(parts, side.book, side.operations, side.remotes, side.max_transfers)


def _jobs(parts: Parts, sides: Sides) -> Reconciler:
    side = sides.repositories
    return JobReconciler(parts, side.jobs, sides.deliveries, Resumption(parts, side.operations.places))


HANDLED = (
    Handled(JobQueue, (_schedule,), lambda parts, _: QueueReconciler(parts)),
    Handled(Repository, (_book,), _repositories),
    Handled(RepositoryLock, (_book,), lambda parts, _: ClaimReconciler(parts)),
    Handled(JobBatch, (_book,), lambda parts, sides: BatchReconciler(parts, sides.repositories.operations)),
    Handled(Callback, (_callbacks, _dropped), lambda _, sides: sides.callbacks),
    Handled(Snapshot, (), lambda _, sides: sides.snapshots),
    # The book before the scheduler, which asks it.
    Handled(BatchJob, (_book, _schedule, _count, _dropped, _failures), _jobs),
)


def listen(base: Foundation) -> None:
    """Have the store tell the listeners of each kind."""
    for handled in HANDLED:
        for listener in handled.listeners:
            base.store.listen(listener(base), handled.model.names.kind)


def reconcilers(parts: Parts, sides: Sides) -> dict[str, Reconcile]:
    """Make the reconciler of each kind."""
    return {handled.model.names.kind: handled.reconciler(parts, sides).reconcile for handled in HANDLED}
