"""The metrics of Snapshots (requirements 7.10, 9.1)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from controller.telemetry.registered import Registered

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)


class SnapshotMetrics(Registered):
    """Attributes are prometheus-client objects with the labels named here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.taken = self._counter(
            "holdfast_snapshots_total", "Snapshots that ended, by result.", ("result",), ("ok", "failed")
        )
        self.last_success = self._gauge(
            "holdfast_snapshot_last_success_timestamp_seconds",
            "End of the newest good Snapshot; 0: there is none.",
        )
        self.due = self._gauge(
            "holdfast_snapshot_due_timestamp_seconds", "The schedule's newest moment; 0: there is no schedule."
        )
        self.scheduled = self._gauge("holdfast_snapshot_scheduled", "1 where a schedule is set.")
        self.seconds = self._histogram("holdfast_snapshot_duration_seconds", "Run time of taking a Snapshot.", SECONDS)
