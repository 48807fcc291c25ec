"""The rules as they are used: a real Prometheus scrapes a real controller that is killed and comes back (9.1, 9.2)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.local.ports import Ports
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.running_prometheus import RunningPrometheus
from tests.integration.controller.waits import soon
from tests.needs import need

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = "0.05"  # of what the committed rules have: 2 minutes become 6 s
LIMIT = 120.0


@pytest.fixture
def scraped(other_controller: OtherController, tmp_path: Path) -> Iterator[tuple[RunningController, RunningPrometheus]]:
    """A controller with a port of its own, and what scrapes it."""
    need("prometheus")
    port = Ports(tmp_path / "ports.json").get("controller")
    controller = other_controller({"HOLDFAST_HTTP_PORT": str(port)})
    rules = subprocess.run(
        [sys.executable, ROOT / "hack/rules", "--patience", PATIENCE],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    prometheus = RunningPrometheus(tmp_path, rules, f"127.0.0.1:{port}")
    controller.start()
    prometheus.start()
    yield controller, prometheus
    prometheus.stop()


@pytest.mark.timeout(900)
def test_a_killed_controller_rings_until_it_is_back(scraped: tuple[RunningController, RunningPrometheus]) -> None:
    """9.1, 9.2: "controller down" rings after a SIGKILL, says where its runbook is, and resolves after the restart."""
    controller, prometheus = scraped
    soon(lambda: prometheus.query("up") == [1.0], "it is scraped", LIMIT)
    soon(lambda: not prometheus.firing(), "nothing rings", LIMIT)

    controller.kill()
    soon(lambda: "HoldfastControllerDown" in prometheus.firing(), "the alert rings", LIMIT)
    alert = prometheus.firing()["HoldfastControllerDown"]
    assert alert["labels"] == {"alertname": "HoldfastControllerDown", "severity": "critical", "job": "holdfast"}
    assert alert["annotations"]["runbook_url"] == "README.md#holdfastcontrollerdown"
    assert "HoldfastControllerAbsent" not in prometheus.firing()

    controller.start()
    soon(lambda: "HoldfastControllerDown" not in prometheus.firing(), "the alert is resolved", LIMIT)
    soon(lambda: not prometheus.firing(), "and nothing else rings for long", LIMIT)
    assert prometheus.query("changes(process_start_time_seconds[10m])") == [1.0]
    assert_the_dashboard_answers(prometheus)


def assert_the_dashboard_answers(prometheus: RunningPrometheus) -> None:
    """Prometheus takes every query of the dashboard, and most panels show something of an idle controller."""
    # A rate needs two values of the new process.
    soon(lambda: _answered(prometheus), "most panels show something", LIMIT)


def _answered(prometheus: RunningPrometheus) -> bool:
    panels = json.loads((ROOT / "charts/holdfast/dashboards/holdfast.json").read_text())["panels"]
    exprs = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    filled = [e.replace("$__rate_interval", "1m").replace("$job", ".+").replace("$instance", ".+") for e in exprs]
    shown = [bool(prometheus.query(expr)) for expr in filled]
    assert sum(shown) > 0.8 * len(shown), [expr for expr, some in zip(exprs, shown, strict=True) if not some]
    return True
