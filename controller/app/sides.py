"""What the reconcilers of kinds need besides their parts, put together once: repositories and callbacks."""

from __future__ import annotations

from dataclasses import dataclass

from controller.app.foundation import Foundation
from controller.delivery.guard import Guard
from controller.delivery.sender import Sender
from controller.delivery.transport import GuardedTransport
from controller.executors.base import Executor
from controller.reconcile.callbacks import CallbackReconciler
from controller.reconcile.job_deliveries import JobDeliveries
from controller.reconcile.parts import Parts
from controller.reconcile.repository_side import RepositorySide, repository_side


@dataclass(frozen=True, slots=True)
class Sides:
    """See the module.

    Args:
        transport: of all callbacks, to be closed at the end.
        deliveries: for the reconciler of jobs.
    """

    repositories: RepositorySide
    callbacks: CallbackReconciler
    transport: GuardedTransport
    deliveries: JobDeliveries


def sides(base: Foundation, parts: Parts, gits: Executor) -> Sides:
    """Put them together.

    Args:
        gits: executor of operations on repositories.
    """
    settings = base.settings
    guard = Guard.of(settings.callback_allow_cidrs, settings.callback_allow_hosts, settings.callback_ports)
    proxy = settings.callback_proxy.get_secret_value() if settings.callback_proxy is not None else None
    transport = GuardedTransport(guard, proxy=proxy)
    callbacks = CallbackReconciler(
        parts,
        base.callbacks,
        Sender(guard, transport, base.version, parts.now),
        base.metrics.callbacks,
        per_host=settings.callback_per_host,
        total=settings.callback_total,
    )
    repositories = repository_side(parts, base.book, gits, settings)
    return Sides(repositories, callbacks, transport, JobDeliveries(parts, base.dropped))
