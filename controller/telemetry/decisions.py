"""Jobs that wait for a person, and since when the oldest does (requirements 3.5, 7.7)."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry

from controller.telemetry.registered import Registered


class Decisions(Registered):
    """Follows the store; losing it with the process loses nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._since: dict[str, datetime] = {}
        self._waiting = self._gauge("holdfast_jobs_needing_decision", "Jobs that wait for spec.decision.")
        self._oldest = self._gauge(
            "holdfast_oldest_decision_seconds",
            "How long the oldest of them has waited; 0: there is none.",
        )

    def asks(self, uid: str, since: datetime) -> None:
        """A job waits for a person."""
        self._since[uid] = since
        self._waiting.set(len(self._since))

    def asks_no_more(self, uid: str) -> None:
        """It was answered, ended, or is gone."""
        self._since.pop(uid, None)
        self._waiting.set(len(self._since))

    def observe(self, now: datetime) -> None:
        """Set the age; a clock that was set back counts as no time."""
        oldest = min(self._since.values(), default=now)
        self._oldest.set(max(0.0, (now - oldest).total_seconds()))
