"""The Prometheus metrics of requirement 9.1, in a registry of their own that is handed down: there is no global one.

Every label value that can occur is created at zero, so that a rate or an alert works from the first scrape on. Queues
are the only label taken from users: the first MAX_QUEUES keep their names, the others share the value `other`.
"""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from controller.api.names import KINDS, WRITTEN
from controller.telemetry.audit_metrics import AuditMetrics
from controller.telemetry.callback_metrics import CallbackMetrics
from controller.telemetry.decisions import Decisions
from controller.telemetry.failure_metrics import FailureMetrics
from controller.telemetry.integrity import Integrity
from controller.telemetry.recovery_metrics import RecoveryMetrics
from controller.telemetry.registered import Registered
from controller.telemetry.repository_metrics import RepositoryMetrics
from controller.telemetry.rights import Rights
from controller.telemetry.snapshot_metrics import SnapshotMetrics

MAX_QUEUES = 200
OTHER_QUEUES = "other"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

RECONCILED = (*KINDS, *WRITTEN, "Attempt")  # an attempt whose job is not known has a key of its own
API_KINDS = (
    *KINDS,
    *WRITTEN,
    "ConfigMap",
    "Secret",
    "Event",
    "Namespace",
    "CustomResourceDefinition",
    "Lease",
    "Job",
    "Pod",
)
VERBS = ("get", "list", "watch", "log", "create", "patch", "patch_status", "delete")
CODES = ("2xx", "404", "409", "4xx", "5xx", "unreachable")
PHASES = ("Queued", "Starting", "Running", "Stopping", "Waiting", "Suspended", "Succeeded", "Failed", "Canceled")
OUTCOMES = ("Succeeded", "Failed", "Canceled", "Suspended", "Lost", "NeverStarted")
POLICIES = ("Resume", "Restart", "Fail", "Manual")
BACKGROUND = ("Chore", "Orphan")  # what is done beside the reconciles, and counts its defects as they do
REACTIONS = ("waiting", "transient", "terminal", "defect")
ORPHANS = ("process", "run_directory", "temp_file", "operation", "workspace", "checkpoint", "base", "mirror", "result")
EVENT_OUTCOMES = ("posted", "aggregated", "dropped", "failed")
WATCH_TYPES = ("LISTED", "ADDED", "MODIFIED", "DELETED")
DEGRADED_REASONS = (
    "OtherCluster",
    "OlderBackup",
    "OlderEtcd",
    "EmptyStateDirectory",
    "IdentityDamaged",
    "IdentityNewer",
    "MissingRunDirectories",
    "ManyOwnerless",
    "DiskFull",
    "StateDirectory",
    "RecoveryFailed",
)

START_STAGES = ("listed", "list_cpu", "books", "gate", "steady")

FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SLOW = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)


def code_class(status: int | None) -> str:
    """The label value `code` of an HTTP status; None means that no answer came."""
    if status is None:
        return "unreachable"
    if status in (404, 409):
        return str(status)
    return f"{status // 100}xx" if status // 100 in (2, 4, 5) else "2xx"


class Metrics(Registered):
    """All metrics of the controller. Attributes are prometheus-client objects with the labels named here.

    Args:
        version: version of the distribution, for holdfast_build_info.
    """

    def __init__(self, version: str = "unknown") -> None:
        super().__init__(CollectorRegistry())
        self.repositories = RepositoryMetrics(self.registry)
        self.callbacks = CallbackMetrics(self.registry)
        self.integrity = Integrity(self.registry)
        self.decisions = Decisions(self.registry)
        self.snapshots = SnapshotMetrics(self.registry)
        self.recovery = RecoveryMetrics(self.registry)
        self.audit = AuditMetrics(self.registry)
        self.failures = FailureMetrics(self.registry)
        self.rights = Rights(self.registry, VERBS, API_KINDS)
        ProcessCollector(registry=self.registry)
        self._queues: set[str] = set()
        self._others: dict[str, tuple[int, int, bool, int]] = {}
        self._make_jobs()
        self._make_loop()
        self._make_recovery()
        build = self._gauge("holdfast_build_info", "Version of the controller.", ("version", "python"))
        build.labels(version, platform.python_version()).set(1)

    def _make_jobs(self) -> None:
        self.queue_pending = self._gauge("holdfast_queue_pending", "Jobs that wait, by queue.", ("queue",))
        self.queue_running = self._gauge("holdfast_queue_running", "Jobs that hold a slot, by queue.", ("queue",))
        self.queue_outside = self._gauge(
            "holdfast_queue_outside", "Started jobs that hold no slot: outside queues limit them, by queue.", ("queue",)
        )
        self.queue_paused = self._gauge(
            "holdfast_queue_paused", "1 for a queue that is paused; for `other`, where one of them is.", ("queue",)
        )
        self.set_queue(OTHER_QUEUES, 0, 0)
        self.jobs = self._gauge("holdfast_jobs", "Jobs by phase.", ("phase",), PHASES)
        self.attempts_started = self._counter("holdfast_attempts_started_total", "Attempts whose command was let go.")
        self.attempts_ended = self._counter(
            "holdfast_attempts_ended_total", "Attempts that are over, by outcome.", ("outcome",), OUTCOMES
        )
        self.losses = self._counter(
            "holdfast_losses_total", "Lost attempts, by the policy that decided what followed.", ("policy",), POLICIES
        )
        self.launches = self._counter(
            "holdfast_launches_total", "Launches by result.", ("result",), ("ok", "terminal", "transient")
        )
        self.launch_seconds = self._histogram(
            "holdfast_launch_duration_seconds", "From the start of a launch to its supervisor being on its own.", FAST
        )
        self.enqueue_to_start_seconds = self._histogram(
            "holdfast_enqueue_to_start_seconds", "From the creation of a job to the start of its first attempt.", SLOW
        )
        self.run_seconds = self._histogram("holdfast_run_duration_seconds", "Run time of ended attempts.", SLOW)

    def _make_loop(self) -> None:
        self.api_requests = self._counter(
            "holdfast_api_requests_total",
            "Calls to the API server.",
            ("verb", "kind", "code"),
            [(v, k, c) for v in VERBS for k in API_KINDS for c in CODES],
        )
        self.api_seconds = self._histogram(
            "holdfast_api_request_duration_seconds", "Latency of calls to the API server.", FAST, ("verb",), VERBS
        )
        self.watch_events = self._counter(
            "holdfast_watch_events_total",
            "Events received from watches.",
            ("kind", "type"),
            [(k, t) for k in KINDS for t in WATCH_TYPES],
        )
        self.reconcile_seconds = self._histogram(
            "holdfast_reconcile_duration_seconds", "Latency of one reconcile.", FAST, ("kind",), RECONCILED
        )
        self.reconcile_errors = self._counter(
            "holdfast_reconcile_errors_total",
            "Reconciles that raised, by the reaction that the error wants; defects of what is done beside them too.",
            ("kind", "reaction"),
            [(k, r) for k in RECONCILED for r in REACTIONS] + [(k, "defect") for k in BACKGROUND],
        )
        self.workqueue_depth = self._gauge(
            "holdfast_workqueue_depth", "Keys in the work queue.", ("state",), ("ready", "delayed", "in_work")
        )
        self.workqueue_oldest_seconds = self._gauge(
            "holdfast_workqueue_oldest_ready_seconds", "Age of the oldest key that is ready."
        )
        self.workqueue_adds = self._counter("holdfast_workqueue_adds_total", "Keys added to the work queue.")
        self.workqueue_retries = self._counter("holdfast_workqueue_retries_total", "Keys added again with backoff.")
        self.events = self._counter(
            "holdfast_kubernetes_events_total", "Kubernetes Events by outcome.", ("outcome",), EVENT_OUTCOMES
        )
        self.store_objects = self._gauge("holdfast_store_objects", "Objects in the store.", ("kind",), KINDS)
        self.corrupt_objects = self._gauge(
            "holdfast_corrupt_objects", "Objects set aside because they do not parse.", ("kind",), KINDS
        )

    def _make_recovery(self) -> None:
        self.orphans = self._gauge("holdfast_orphans", "Orphans found by the last sweep.", ("kind",), ORPHANS)
        self.orphans_removed = self._counter("holdfast_orphans_removed_total", "Orphans removed.", ("kind",), ORPHANS)
        self.start_seconds = self._gauge(
            "holdfast_start_seconds",
            "Duration of the last start: listed from the start of the process; books, gate and steady from the end of "
            "the first LIST; list_cpu is the CPU time of reading it.",
            ("stage",),
            START_STAGES,
        )
        self.leading = self._gauge("holdfast_leader", "1 while this controller acts, 0 while it stands by.")
        self.gate_open = self._gauge("holdfast_admission_gate_open", "1 while new jobs may be admitted.")
        self.bound = self._gauge("holdfast_bound", "1 while the state directory belongs to this cluster.")
        self.degraded = self._gauge(
            "holdfast_degraded", "1 for each reason why the controller is degraded.", ("reason",), DEGRADED_REASONS
        )
        self.free_bytes = self._gauge("holdfast_state_free_bytes", "Free space of the state directory's file system.")
        self.min_free_bytes = self._gauge(
            "holdfast_state_min_free_bytes", "Free space below which no job is admitted (HOLDFAST_MIN_FREE_BYTES)."
        )

    def set_queue(self, queue: str, pending: int, running: int, paused: bool = False, outside: int = 0) -> None:
        """Record the depth of one queue (`namespace/name`); past MAX_QUEUES names it is counted as `other`."""
        if queue in self._queues or len(self._queues) <= MAX_QUEUES:
            self._queues.add(queue)
            self.queue_pending.labels(queue).set(pending)
            self.queue_running.labels(queue).set(running)
            self.queue_outside.labels(queue).set(outside)
            self.queue_paused.labels(queue).set(paused)
            return
        self._others[queue] = (pending, running, paused, outside)
        self._sum_others()

    def drop_queue(self, queue: str) -> None:
        """Forget a queue that is gone."""
        if queue in self._queues and queue != OTHER_QUEUES:
            self._queues.remove(queue)
            self.queue_pending.remove(queue)
            self.queue_running.remove(queue)
            self.queue_outside.remove(queue)
            self.queue_paused.remove(queue)
        elif self._others.pop(queue, None) is not None:
            self._sum_others()

    def set_degraded(self, *reasons: str | None) -> None:
        """Set the reasons why the controller is degraded; None stands for none.

        Raises:
            ValueError: the reason is not one of DEGRADED_REASONS, so that it could not have existed at zero.
        """
        if unknown := set(reasons) - {None, *DEGRADED_REASONS}:
            raise ValueError(f"not a degraded reason: {unknown}")
        for known in DEGRADED_REASONS:
            self.degraded.labels(known).set(1 if known in reasons else 0)

    def render(self) -> bytes:
        """The text exposition, of type CONTENT_TYPE."""
        return generate_latest(self.registry)

    def _sum_others(self) -> None:
        self.queue_pending.labels(OTHER_QUEUES).set(sum(each[0] for each in self._others.values()))
        self.queue_running.labels(OTHER_QUEUES).set(sum(each[1] for each in self._others.values()))
        self.queue_paused.labels(OTHER_QUEUES).set(any(each[2] for each in self._others.values()))
        self.queue_outside.labels(OTHER_QUEUES).set(sum(each[3] for each in self._others.values()))
