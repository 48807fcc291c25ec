"""The metrics of failure patterns (requirements 7.8, 9.1): gauges over a window, derived from recorded statuses.

Names come from users: the first MAX_NAMES of each scope keep theirs, the others share `other`. Reasons are those of
Holdfast; past the most frequent ones of a name they share `other` too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from controller.api.failures import RecentFailures
from controller.telemetry.registered import Registered

QUEUE, REPOSITORY = "queue", "repository"
SCOPES = (QUEUE, REPOSITORY)
MAX_NAMES = 200
OTHER = "other"

Scope = tuple[str, str]  # scope, `namespace/name`


class FailureMetrics(Registered):
    """Attributes are prometheus-client objects with the labels named here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.recent = self._gauge(
            "holdfast_recent_failures",
            "Attempts that failed or were lost lately (HOLDFAST_FAILURE_WINDOW_SECONDS), by queue and by repository.",
            ("scope", "name", "reason"),
        )
        self.recovery = self._gauge(
            "holdfast_recovery_success_ratio",
            "Of the jobs that recovery took up lately and that have ended: share that succeeded; 1 without any.",
        )
        self._named: dict[str, set[str]] = {scope: set() for scope in SCOPES}
        self.show({}, None)

    def show(self, found: Mapping[Scope, RecentFailures], recovery_percent: int | None) -> None:
        """Replace all that was shown."""
        self.recovery.set(1.0 if recovery_percent is None else recovery_percent / 100)
        counts: Counter[tuple[str, str, str]] = Counter({(scope, OTHER, OTHER): 0 for scope in SCOPES})
        for scope in SCOPES:
            names = {name for each, name in found if each == scope}
            known = self._named[scope] & names
            self._named[scope] = known | set(sorted(names - known)[: MAX_NAMES - len(known)])
        for (scope, name), failures in found.items():
            shown = name if name in self._named[scope] else OTHER
            for pattern in failures.most:
                counts[scope, shown, pattern.reason] += pattern.count
            if rest := failures.total - sum(pattern.count for pattern in failures.most):
                counts[scope, shown, OTHER] += rest
        self.recent.clear()
        for labels, count in counts.items():
            self.recent.labels(*labels).set(count)
