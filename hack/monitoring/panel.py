"""What a panel of the dashboard is, and how panels become the JSON that Grafana reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["timeseries", "stat", "heatmap"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, ROW_HEIGHT = 24, 8, 1
STAT_HEIGHT = 4
OF_CHOICE = 'job=~"$job",instance=~"$instance"'


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel; `$T` in its expression stands for the matchers of the chosen targets.

    Args:
        legend: as Grafana's template, such as {{queue}}.
    """

    expr: str
    legend: str = "{{instance}}"

    @property
    def full(self) -> str:
        """The expression as Grafana sends it, but for Grafana's own variables."""
        return self.expr.replace("$T", OF_CHOICE)


def quantiles(histogram: str, *shares: float) -> tuple[Query, ...]:
    """A query for each share of the observations of all targets, such as 0.99."""
    buckets = f"sum by (le) (rate({histogram}_bucket{{$T}}[$__rate_interval]))"
    return tuple(Query(f"histogram_quantile({share}, {buckets})", f"p{share * 100:g}") for share in shares)


def mean(histogram: str) -> Query:
    """The mean of all observations since the start of the process."""
    return Query(f"sum({histogram}_sum{{$T}}) / sum({histogram}_count{{$T}})", "mean")


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Args:
        unit: of Grafana's units: short, s, bytes, percentunit, ops, dateTimeFromNow, …
        steps: value and colour of thresholds above the first one, which is green.
        width: of 24 columns.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    steps: tuple[tuple[float, str], ...] = ()
    width: int = 8
    stacked: bool = False

    @property
    def height(self) -> int:
        """In Grafana's units."""
        return STAT_HEIGHT if self.kind == "stat" else HEIGHT

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """As an entry of `panels`, at a place."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [
                {"refId": chr(ord("A") + i), "datasource": SOURCE, **self._target(query)}
                for i, query in enumerate(self.queries)
            ],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": self._options(),
        }

    def _target(self, query: Query) -> dict[str, Any]:
        as_heatmap = {"format": "heatmap"} if self.kind == "heatmap" else {}
        return {"expr": query.full, "legendFormat": query.legend, "instant": self.kind == "stat", **as_heatmap}

    def _defaults(self) -> dict[str, Any]:
        steps = [{"color": "green", "value": None}] + [{"color": c, "value": v} for v, c in self.steps]
        custom: dict[str, Any] = {}
        if self.kind == "timeseries":
            stacking = {"mode": "normal" if self.stacked else "none"}
            custom = {"custom": {"fillOpacity": 20 if self.stacked else 5, "showPoints": "never", "stacking": stacking}}
        return {"unit": self.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}, **custom}

    def _options(self) -> dict[str, Any]:
        if self.kind == "stat":
            reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            return {"colorMode": "background" if self.steps else "none", "graphMode": "none", "reduceOptions": reduced}
        if self.kind == "heatmap":
            return {"calculate": False, "yAxis": {"unit": self.unit}, "color": {"mode": "scheme", "scheme": "Blues"}}
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def placed(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """All rows and panels with their places: from left to right, and on the next line where there is no room."""
    made: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        place = {"h": ROW_HEIGHT, "w": WIDTH, "x": 0, "y": y}
        made.append({"id": len(made) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": place})
        y += ROW_HEIGHT
        x = line = 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, line = 0, y + line, 0
            made.append(panel.json(len(made) + 1, x, y))
            x, line = x + panel.width, max(line, panel.height)
        y += line
    return made
