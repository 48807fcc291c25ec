"""What the reconcilers of kinds need besides their parts, put together once: repositories, callbacks, snapshots."""

from __future__ import annotations

from dataclasses import dataclass

from controller.app.foundation import Foundation
from controller.delivery.sender import Sender
from controller.executors.base import Executor
from controller.reconcile.callback_side import callback_side
from controller.reconcile.callbacks import CallbackReconciler
from controller.reconcile.job_deliveries import JobDeliveries
from controller.reconcile.parts import Parts
from controller.reconcile.repository_side import RepositorySide, repository_side
from controller.recovery.snapshots.reconciler import SnapshotReconciler
from controller.recovery.snapshots.take import Taker


@dataclass(frozen=True, slots=True)
class Sides:
    """See the module.

    Args:
        sender: of all callbacks, to be closed after they have landed.
        deliveries: for the reconciler of jobs.
    """

    repositories: RepositorySide
    callbacks: CallbackReconciler
    sender: Sender
    deliveries: JobDeliveries
    snapshots: SnapshotReconciler


def sides(base: Foundation, parts: Parts, gits: Executor) -> Sides:
    """Put them together.

    Args:
        gits: executor of operations on repositories.

    Raises:
        Terminal: a setting about callbacks cannot be read.
    """
    callbacks, sender = callback_side(
        parts, base.callbacks, base.metrics.callbacks, base.settings, base.version, base.tls
    )
    repositories = repository_side(parts, base.book, gits, base.settings)
    taker = Taker(parts.api, base.settings.home / "spool", base.version, parts.now)
    snapshots = SnapshotReconciler(parts, taker, base.settings)
    return Sides(repositories, callbacks, sender, JobDeliveries(parts, base.dropped), snapshots)
