"""How a test of an alert is written, and what promtool is given of it.

A case has series over time, one value a minute, and moments at which the alert is quiet or rings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hack.monitoring.files import ALERTS

TARGET = {"job": "holdfast", "instance": "h:9400"}
BY_NAME = {alert.name: alert for alert in ALERTS}


@dataclass(frozen=True, slots=True)
class Ring:
    """What an alert says when it rings.

    Args:
        description: with its labels filled in.
        labels: beside those of TARGET and the severity.
        target: labels of the target that the alert keeps.
    """

    description: str
    labels: dict[str, str] = field(default_factory=dict)
    target: dict[str, str] = field(default_factory=lambda: TARGET)


@dataclass(frozen=True, slots=True)
class Case:
    """See the module.

    Args:
        alert: its name.
        what: happens.
        series: values in promtool's notation by name with the labels beside those of TARGET; `name{} elsewhere` has
            none of TARGET.
        moments: minute and what rings then, None for nothing; in order.
    """

    alert: str
    what: str
    series: dict[str, str]
    moments: tuple[tuple[int, Ring | None], ...]

    def promtool(self) -> dict[str, Any]:
        """As an entry of `tests` in a test file."""
        return {
            "name": f"{self.alert}: {self.what}",
            "interval": "1m",
            "input_series": [{"series": _full(name), "values": values} for name, values in self.series.items()],
            "alert_rule_test": [self._moment(minute, ring) for minute, ring in self.moments],
        }

    @property
    def resolves(self) -> bool:
        """It is quiet, rings, and is quiet again."""
        rung = [ring is not None for _, ring in self.moments]
        return not rung[0] and any(rung) and not rung[-1]

    def _moment(self, minute: int, ring: Ring | None) -> dict[str, Any]:
        alert = BY_NAME[self.alert]
        expected = (
            {
                "exp_labels": {"severity": alert.severity, **ring.target, **ring.labels},
                "exp_annotations": {
                    "summary": alert.summary,
                    "description": ring.description,
                    "runbook_url": f"README.md#{alert.anchor}",
                },
            }
            if ring
            else None
        )
        return {
            "eval_time": f"{minute}m",
            "alertname": self.alert,
            "exp_alerts": [expected] if expected else [],
        }


def _full(name: str) -> str:
    if name.endswith(" elsewhere"):
        return name.removesuffix(" elsewhere")
    bare, _, labels = name.rstrip("}").partition("{")
    every = [part for part in labels.split(",") if part] + [f'{key}="{value}"' for key, value in TARGET.items()]
    return f"{bare}{{{','.join(every)}}}"
