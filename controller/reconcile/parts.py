"""What all reconcilers work with, put together once by the composition root. Each takes of it what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from controller.decisions.inputs import Host
from controller.executors.base import AttemptId, Executor
from controller.kube.client import Api
from controller.kube.events import Recorder
from controller.kube.store import Store
from controller.reconcile.account import RecoveryAccount
from controller.reconcile.evictions import Evictions
from controller.reconcile.failure_book import FailureBook
from controller.reconcile.index import AttemptIndex
from controller.reconcile.record import StatusWriter
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import WorkQueue
from controller.telemetry.audit import AuditJournal
from controller.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Parts:
    """See the module.

    Args:
        account: of this start, to note what is found and done.
        now: wall clock, timezone-aware UTC.
        monotonic: seconds that never go back.
        output_location: `host:path` of an attempt's output.
    """

    api: Api
    store: Store
    queue: WorkQueue
    writer: StatusWriter
    executor: Executor
    index: AttemptIndex
    scheduler: Scheduler
    evictions: Evictions
    account: RecoveryAccount
    events: Recorder
    failures: FailureBook
    metrics: Metrics
    audit: AuditJournal
    host: Host
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    output_location: Callable[[AttemptId], str]
