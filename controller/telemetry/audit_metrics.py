"""The metrics of the audit journal (requirements 9.1, 9.3)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from controller.decisions.audit_line import Category
from controller.telemetry.registered import Registered


class AuditMetrics(Registered):
    """Attributes are prometheus-client objects with the labels named here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.lines = self._counter(
            "holdfast_audit_lines_total",
            "Lines for the audit journal, by category; those that were dropped later count too.",
            ("category",),
            [each.value for each in Category],
        )
        self.dropped = self._counter(
            "holdfast_audit_dropped_total", "Lines that could not be written: the disk is full or does not answer."
        )
