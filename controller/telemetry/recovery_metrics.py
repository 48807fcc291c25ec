"""The metrics of a start and of what it recovered (requirements 7.1, 9.1)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from controller.telemetry.registered import Registered

RESULTS = ("Complete", "Degraded", "Aborted")
PHASES = ("integrity", "locks", "preparations", "attempts", "queue", "callbacks", "orphans", "steady")
OUTCOMES = (
    "recovered",
    "reattached",
    "resumed",
    "restarted",
    "lost",
    "failed",
    "corrupt",
    "orphaned",
    "needing_decision",
    "restored",
)
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)


class RecoveryMetrics(Registered):
    """Attributes are prometheus-client objects with the labels named here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.results = self._counter(
            "holdfast_recoveries_total",
            "Recoveries that ended, by how; Aborted are those of earlier starts that did not finish.",
            ("result",),
            RESULTS,
        )
        self.running = self._gauge("holdfast_recovery_running", "1 from the start until the last phase is over.")
        self.phase_seconds = self._gauge(
            "holdfast_recovery_phase_seconds", "Duration of each phase of the last start.", ("phase",), PHASES
        )
        self.phase_failed = self._gauge(
            "holdfast_recovery_phase_failed", "1 while a phase of the start has failed.", ("phase",), PHASES
        )
        self.duration = self._histogram(
            "holdfast_recovery_duration_seconds", "From the start of the process to the end of the last phase.", SECONDS
        )
        self.last_completed = self._gauge(
            "holdfast_recovery_last_completed_timestamp_seconds", "When a recovery was last complete; 0: not yet."
        )
        self.objects = self._gauge(
            "holdfast_recovery_objects", "What the last start found and did.", ("outcome",), OUTCOMES
        )
        self.reattach = self._counter(
            "holdfast_reattach_total",
            "Attempts that held a slot at a start, by what became of them.",
            ("result",),
            ("ok", "failed"),
        )
        self.report_writes = self._counter("holdfast_recovery_report_writes_total", "Writes of RecoveryReports.")
        self.report_refused = self._gauge(
            "holdfast_recovery_report_refused", "1 while the RecoveryReport of this start cannot be written."
        )
