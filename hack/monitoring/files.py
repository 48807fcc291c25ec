"""The files of charts/holdfast that are made from this package."""

from __future__ import annotations

from hack.monitoring.controller_alerts import CONTROLLER, STORAGE
from hack.monitoring.dashboard import dashboard
from hack.monitoring.recordings import RECORDINGS
from hack.monitoring.recovery_alerts import RECOVERY
from hack.monitoring.rule import Alert, Group, prometheus_rule, rule_file
from hack.monitoring.work_alerts import CALLBACKS, JOBS

GROUPS: tuple[Group, ...] = (RECORDINGS, CONTROLLER, RECOVERY, JOBS, CALLBACKS, STORAGE)
ALERTS: tuple[Alert, ...] = tuple(rule for group in GROUPS for rule in group.rules if isinstance(rule, Alert))


def files() -> dict[str, dict[str, str]]:
    """Content by folder and name."""
    return {
        "charts/holdfast/rules": {
            "holdfast.rules.yaml": rule_file(GROUPS),
            "holdfast.prometheusrule.yaml": prometheus_rule(GROUPS),
        },
        "charts/holdfast/dashboards": {"holdfast.json": dashboard()},
    }
