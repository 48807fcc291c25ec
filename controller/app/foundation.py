"""The parts that exist before the cluster is read: what the store and its listeners need, and what HTTP tells."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from uuid import uuid4

from controller.delivery.transport import trust
from controller.kube.store import Store
from controller.reconcile.account import RecoveryAccount
from controller.reconcile.callback_book import CallbackBook
from controller.reconcile.failure_book import FailureBook
from controller.reconcile.index import AttemptIndex
from controller.reconcile.job_deliveries import DroppedCallbacks
from controller.reconcile.mirrors import resolver
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import WorkQueue
from controller.repositories.places import Places
from controller.settings import Settings
from controller.telemetry.audit import AuditJournal, open_journal
from controller.telemetry.health import Health
from controller.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Foundation:
    """See the module.

    Args:
        version: of this distribution.
        identity: of this process; holds the Lease where there is an election.
        tls: whom callbacks trust; reading it takes 25 ms, which a start has while it waits for the API server.
    """

    settings: Settings
    version: str
    identity: str
    metrics: Metrics
    health: Health
    audit: AuditJournal
    store: Store
    queue: WorkQueue
    index: AttemptIndex
    scheduler: Scheduler
    book: RepositoryBook
    callbacks: CallbackBook
    dropped: DroppedCallbacks
    account: RecoveryAccount
    failures: FailureBook
    tls: ssl.SSLContext

    @property
    def namespaces(self) -> tuple[str, ...] | None:
        """Those that are watched; None: all."""
        return (self.settings.watch_namespace,) if self.settings.watch_namespace else None

    @property
    def agent(self) -> str:
        """How calls to the API server name us: with several controllers, its audit log tells which one it was."""
        return f"{self.version} ({self.identity})" if self.settings.leader_election else self.version


def lay(settings: Settings) -> Foundation:
    """Make them; nothing runs yet, and nobody listens to the store."""
    own_version = version("holdfast")
    metrics, queue, index, account = Metrics(own_version), WorkQueue(), AttemptIndex(), RecoveryAccount()
    metrics.integrity.on_problem(partial(account.note, "corrupt"))
    store, scheduler = Store(metrics), Scheduler(queue, index, settings.running_limit, settings.enabled_executors[0])
    book = RepositoryBook(queue, scheduler, store, resolver(Places(settings.home)))
    scheduler.also_ask(book)
    return Foundation(
        settings=settings,
        version=own_version,
        identity=f"{socket.gethostname()}_{uuid4()}",
        metrics=metrics,
        health=Health(),
        audit=open_journal(settings, metrics.audit),
        store=store,
        queue=queue,
        index=index,
        scheduler=scheduler,
        book=book,
        callbacks=CallbackBook(),
        dropped=DroppedCallbacks(store),
        account=account,
        failures=FailureBook(metrics.failures, settings.failure_window_seconds),
        tls=trust(),
    )
