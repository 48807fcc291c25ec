"""Failure patterns of a real controller: statuses, metrics and the command (requirement 7.8)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from controller.cli.main import cli
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon


def failures(controller: RunningController, namespace: str, *options: str) -> list[dict[str, Any]]:
    """`holdfast failures -o json`."""
    environment = {key: controller.settings[key] for key in ("HOLDFAST_HOME", "HOLDFAST_KUBECONFIG")}
    done = CliRunner().invoke(cli, ["failures", "-n", namespace, "-o", "json", *options], env=environment)
    assert done.exit_code == 0, done.stderr
    return list(json.loads(done.stdout))


def test_failures_and_recovery_are_counted(other_controller: OtherController, jobs: Jobs, tmp_path: Path) -> None:
    """7.8: by reason and exit code, in status, metrics and command; what a restart reattached; after a SIGKILL too."""
    controller = other_controller()
    controller.start()
    jobs.queue("q", concurrency=8)
    for name in ("a", "b"):
        jobs.shell(name, "exit 7", queue="q")
    jobs.shell("c", "kill -9 $$", queue="q")
    go = tmp_path / "go"
    jobs.shell("d", f"until [ -e {go} ]; do sleep 0.1; done", queue="q")
    jobs.running("d")
    ended = jobs.all_finished("abc")
    assert "recovered" not in ended["a"]["status"]["attempt"]
    controller.restart()
    go.touch()
    assert jobs.finished("d", "Succeeded")["status"]["attempt"]["recovered"] is True
    environment = {"HOLDFAST_HOME": str(controller.home)}
    audit = ["audit", "--job", f"{jobs.namespace}/d", "--category", "recovery"]
    taken_up = "TakenUp: an earlier controller began it; found Alive"
    soon(lambda: taken_up in CliRunner().invoke(cli, audit, env=environment).stdout, "the journal tells it")
    (line,) = failures(controller, jobs.namespace, "--queue", "q", "--since", "1h")
    assert (line["scope"], line["name"], line["total"]) == ("queue", "q", 3)
    ways = [(each["count"], each["reason"], each.get("exitCode")) for each in line["patterns"]]
    assert ways[0] == (2, "NonZeroExitCode", 7)
    assert line["recovery"]["jobs"] == line["recovery"]["succeeded"] == 1
    assert failures(controller, jobs.namespace, "--queue", "other") == []

    def told() -> dict[str, Any]:
        status = jobs.get("q", "jobqueues")["status"]
        found: dict[str, Any] = status.get("recentFailures", {})
        assert (found.get("total"), found.get("recoveryPercent"), status["running"]) == (3, 100, 0), status
        return found

    status = soon(told, "the queue tells it")
    assert status["most"][0]["count"] == 2
    labels = f'{{name="{jobs.namespace}/q",reason="NonZeroExitCode",scope="queue"}}'
    assert controller.metric(f"holdfast_recent_failures{labels}") == 3  # the exit codes 7, 7 and 137
    assert controller.metric("holdfast_recovery_success_ratio") == 1
    before = jobs.get("q", "jobqueues")
    controller.restart()
    soon(lambda: controller.metric_sum("holdfast_recent_failures") >= 3, "counted again")
    assert jobs.get("q", "jobqueues")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
