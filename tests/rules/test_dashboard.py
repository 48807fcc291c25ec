"""The Grafana dashboard of charts/holdfast (requirement 9.2)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.monitoring.dashboard import PANELS, ROWS
from hack.monitoring.files import GROUPS
from hack.monitoring.panel import WIDTH, Panel
from hack.monitoring.rule import Recording
from tests.rules.promql import registry, selectors, unknown
from tests.rules.promtool import promtool

FILE = Path(__file__).resolve().parents[2] / "charts/holdfast/dashboards/holdfast.json"
RECORDED = {rule.name for group in GROUPS for rule in group.rules if isinstance(rule, Recording)}


def filled(expr: str) -> str:
    """The expression as Grafana sends it."""
    return expr.replace("$__rate_interval", "1m").replace("$job", ".+").replace("$instance", ".+")


def expressions() -> Iterator[str]:
    """All of the file, those of its annotations too."""
    content = json.loads(FILE.read_text())
    for panel in content["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (each["expr"] for each in content["annotations"]["list"])


def test_every_expression_parses(tmp_path: Path) -> None:
    """9.2: promtool takes each as the expression of a rule."""
    rules = [{"record": f"panel:n{number}", "expr": filled(expr)} for number, expr in enumerate(expressions())]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))
    assert not any("$" in rule["expr"] for rule in rules), "a variable that the dashboard does not have"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_is_about_something_that_exists(panel: Panel) -> None:
    """9.1, 9.2: metrics, labels and their values; legends name labels that the result has."""
    known = registry()
    for query in panel.queries:
        assert unknown(query.full, known, RECORDED) == []
        assert list(selectors(query.full)), "no metric in it"
        assert all("$job" in str(each.matchers) for each in selectors(query.full)), "not of the chosen targets"
        for label in re.findall(r"{{(\w+)}}", query.legend):
            of_all = re.match(r"(sum|max)( by \((.*?)\))?", query.expr)
            assert not of_all or label in (of_all.group(3) or "").split(", "), f"{label} is summed away"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_has_a_unit_and_a_description(panel: Panel) -> None:
    """9.2: whoever looks at it the first time knows what it says."""
    assert panel.unit and panel.title and panel.description.endswith(".")


@pytest.mark.parametrize(
    "name",
    [
        "holdfast_queue_pending",
        "holdfast_jobs",
        "holdfast_lock_holders",
        "holdfast_callbacks",
        "holdfast_recovery_objects",
        "holdfast_orphans",
        "holdfast_corrupt_ratio",
        "holdfast_api_requests_total",
        "instance_kind:holdfast_reconcile_duration_seconds:p99_rate5m",
        "holdfast_state_free_bytes",
        "holdfast_snapshots_total",
        "holdfast_audit_lines_total",
    ],
)
def test_it_shows_what_has_to_be_seen(name: str) -> None:
    """9.1: queue, runs, locks, callbacks, recovery, orphans, corruption, API, latency, disk, Snapshots, audit."""
    assert name in {selector.name for expr in expressions() for selector in selectors(expr)}


def test_panels_lie_side_by_side() -> None:
    """No panel covers another one, none reaches over the edge, ids are unique."""
    panels: list[dict[str, Any]] = json.loads(FILE.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == len(PANELS) + len(ROWS)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert place["x"] + place["w"] <= WIDTH
        assert not cells & taken, panel["title"]
        taken |= cells
