"""The metrics of repositories and their locks (requirements 5.1, 9.1).

Gauges are derived from recorded statuses, so they survive restarts. Repositories are a label taken from users: the
first MAX_REPOSITORIES keep their names, the others are not shown one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from controller.telemetry.registered import Registered

MAX_REPOSITORIES = 200
OPERATIONS = ("Clone", "Fetch", "Verify")
RESULTS = ("Succeeded", "Failed")
MODES = ("Shared", "Exclusive")
ALERTS = ("Failing", "Slow", "Stale", "Diverged", "LockUnsound")
RELEASES = ("Ended", "NotAdmitted", "HolderNotFound", "ClaimDeleted", "Expired", "ForceReleased", "GivenOn")
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)


@dataclass(frozen=True, slots=True)
class RepositoryFigures:
    """Of one Repository, as it is recorded.

    Args:
        name: `namespace/name`.
        success: share of operations that succeeded, 0 to 1; None before the first one.
        alerts: of ALERTS, those that ring.
        holders: modes of the current holders.
        fenced: how many of them are fenced.
    """

    name: str
    ready: bool
    size_bytes: int
    success: float | None
    alerts: frozenset[str]
    holders: tuple[str, ...]
    fenced: int


class RepositoryMetrics(Registered):
    """Attributes are prometheus-client objects with the labels named here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.count = self._gauge("holdfast_repositories", "Repositories.", ("ready",), ("true", "false"))
        self.alerts = self._gauge("holdfast_repository_alerts", "Repositories with this alert.", ("alert",), ALERTS)
        self.ready = self._gauge("holdfast_repository_ready", "1 while its mirror can be used.", ("repository",))
        self.size = self._gauge("holdfast_repository_size_bytes", "Size of the mirror.", ("repository",))
        self.success = self._gauge(
            "holdfast_repository_success_ratio",
            "Share of operations that succeeded so far.",
            ("repository",),
        )
        self.operations = self._counter(
            "holdfast_repository_operations_total",
            "Operations on mirrors that ended.",
            ("type", "result"),
            [(kind, result) for kind in OPERATIONS for result in RESULTS],
        )
        self.operation_seconds = self._histogram(
            "holdfast_repository_operation_duration_seconds", "Run time of operations.", SECONDS, ("type",), OPERATIONS
        )
        self.holders = self._gauge("holdfast_lock_holders", "Current holders of locks.", ("mode",), MODES)
        self.fenced = self._gauge("holdfast_lock_holders_fenced", "Silent holders whose pushes are refused.")
        self.grants = self._counter("holdfast_lock_grants_total", "Grants of locks.", ("mode",), MODES)
        self.releases = self._counter("holdfast_lock_releases_total", "Ended grants.", ("reason",), RELEASES)
        self._named: set[str] = set()

    def show(self, figures: Iterable[RepositoryFigures]) -> None:
        """Bring all gauges up to date; called before a scrape."""
        known = list(figures)
        for ready in (True, False):
            self.count.labels(str(ready).lower()).set(sum(each.ready is ready for each in known))
        for alert in ALERTS:
            self.alerts.labels(alert).set(sum(alert in each.alerts for each in known))
        for mode in MODES:
            self.holders.labels(mode).set(sum(each.holders.count(mode) for each in known))
        self.fenced.set(sum(each.fenced for each in known))
        named = sorted(known, key=lambda each: (each.name not in self._named, each.name))[:MAX_REPOSITORIES]
        for name in self._named - {each.name for each in named}:
            self.ready.remove(name)
            self.size.remove(name)
            self.success.remove(name)
        self._named = {each.name for each in named}
        for each in named:
            self.ready.labels(each.name).set(each.ready)
            self.size.labels(each.name).set(each.size_bytes)
            self.success.labels(each.name).set(1.0 if each.success is None else each.success)
