"""The audit journal of a real controller, read as a user reads it (requirement 9.3)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from controller.cli.main import cli
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.files import contents
from tests.integration.controller.jobs import Jobs, uid_of
from tests.integration.controller.repositories import Repositories
from tests.integration.controller.running_controller import ROOT, RunningController
from tests.integration.controller.waits import soon

Entry = dict[str, Any]


def audit(controller: RunningController, *options: str) -> list[Entry]:
    """`holdfast audit -o json`."""
    environment = {key: controller.settings[key] for key in ("HOLDFAST_HOME", "HOLDFAST_KUBECONFIG")}
    done = CliRunner().invoke(cli, ["audit", "-o", "json", *options], env=environment)
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def story(entries: list[Entry]) -> list[str]:
    """Each line as `event from>to`."""
    return [f"{entry['event']} {entry.get('from', '')}>{entry.get('to', '')}" for entry in entries]


def in_order(wanted: list[str], told: list[str]) -> bool:
    """Whether `wanted` are all in `told`, in this order."""
    rest = iter(told)
    return all(step in rest for step in wanted)


def test_a_jobs_life_in_order(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """9.3: decisions and actions of one job, in order, with its attempt and exit; never a value of a Secret."""
    jobs.secret("hidden", PASSWORD="s3cret-value")
    script = f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 7"
    uid = uid_of(jobs.shell("a", script, envFrom=[{"secretRef": {"name": "hidden"}}]))
    jobs.running("a")  # else its start and its end may be seen, and told, as one
    (tmp_path / "go").touch()
    jobs.finished("a", "Failed")
    name = f"{jobs.namespace}/a"
    wanted = [">Starting", "Launch >Done", "Recorded Starting>Running", "Recorded Running>Failed", "Release >Done"]

    def told() -> list[Entry]:
        entries = audit(controller, "--job", name)
        steps = [step.replace("Recorded Queued>", "Recorded >").replace("Recorded >S", ">S") for step in story(entries)]
        assert in_order(wanted, steps), steps
        return entries

    entries: list[Entry] = soon(told, "the whole life is told")
    assert {entry.get("uid") for entry in entries} == {uid}
    times = [entry["time"] for entry in entries]
    assert times == sorted(times)
    end = next(entry for entry in entries if entry.get("to") == "Failed" and entry["event"] == "Recorded")
    assert (end["attempt"], end["reason"], end["message"]) == (1, "NonZeroExitCode", "exit code 7")
    assert audit(controller, "--job", name, "--category", "lock") == []
    assert not [path for path, data in contents(controller.home / "audit") if b"s3cret-value" in data]
    assert controller.metric('holdfast_audit_lines_total{category="job"}') >= 4
    assert controller.metric("holdfast_audit_dropped_total") == 0


def test_a_lock_is_told_with_its_token(controller: RunningController, jobs: Jobs, repositories: Repositories) -> None:
    """5.4, 9.3: grant before the start, release after the end, both under the job and with the token."""
    repositories.ready("shop")
    jobs.create("a", repository={"name": "shop"})
    status = jobs.finished("a", "Succeeded")["status"]
    token = status["attempt"]["lockToken"]

    def told() -> list[Entry]:
        entries = audit(controller, "--job", f"{jobs.namespace}/a")
        steps = [f"{entry['event']} {entry.get('to', '')}" for entry in entries]
        assert in_order(["Granted Held", "Recorded Starting", "Recorded Succeeded", "Released "], steps), steps
        return entries

    entries: list[Entry] = soon(told, "grant and release are told")
    assert {entry["token"] for entry in entries if entry["event"] in ("Granted", "Released")} == {token}
    about = [entry for entry in audit(controller, "--category", "repository") if entry["namespace"] == jobs.namespace]
    assert in_order(["Clone >Starting", "Clone Starting>Succeeded"], story(about))


def test_a_restart_is_told(other_controller: OtherController, jobs: Jobs) -> None:
    """7.9, 9.3: start, stop, and after a SIGKILL the next start; the lines of before are still there."""
    controller = other_controller()
    controller.start()
    jobs.create("a")
    jobs.finished("a")
    soon(lambda: "Recorded" in str(audit(controller, "--job", f"{jobs.namespace}/a")), "the job is told")
    controller.restart()
    assert controller.terminate() == 0
    events = [entry["event"] for entry in audit(controller, "--category", "controller")]
    assert [event for event in events if event in ("Started", "Stopping", "Stopped")] == [
        "Started",
        "Started",
        "Stopping",
        "Stopped",
    ]
    assert audit(controller, "--job", f"{jobs.namespace}/a")


def run_until(jobs: Jobs, enough: Callable[[], bool]) -> list[str]:
    """Run jobs, 30 at a time, until it is enough: many lines that are written at once are one segment only."""
    names: list[str] = []
    while not enough():
        assert len(names) < 300, "it is not enough yet"
        some = [f"job-{number:03d}" for number in range(len(names), len(names) + 30)]
        for name in some:
            jobs.create(name)
        jobs.all_finished(some)
        names += some
    return names


def test_following_over_rotations(other_controller: OtherController, jobs: Jobs, tmp_path: Path) -> None:
    """9.3: the command follows while segments are set aside and compressed; every line once, in order."""
    controller = other_controller({"HOLDFAST_AUDIT_SEGMENT_BYTES": "4096"})
    controller.start()
    command = [sys.executable, "-m", "controller.cli.main", "audit", "--follow", "-o", "json"]
    environment = {"HOLDFAST_HOME": str(controller.home), "PATH": "/usr/bin:/bin"}
    shown = tmp_path / "shown"
    with shown.open("wb") as output, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output) as child:
        try:
            names = run_until(jobs, lambda: len(list((controller.home / "audit").glob("*.zst"))) >= 2)
            assert controller.terminate() == 0
            written = [json.dumps(entry, separators=(",", ":")) for entry in audit(controller)]
            soon(lambda: len(shown.read_bytes().splitlines()) >= len(written), "as many lines are shown")
        finally:
            child.terminate()
    assert shown.read_text().splitlines() == written
    ends = [entry for entry in map(json.loads, written) if entry.get("to") == "Succeeded"]
    assert sorted(entry["name"] for entry in ends) == names


def test_switched_off(other_controller: OtherController, jobs: Jobs) -> None:
    """HOLDFAST_AUDIT=off writes nothing; the command says why there is nothing."""
    controller = other_controller({"HOLDFAST_AUDIT": "off"})
    controller.start()
    jobs.create("a")
    jobs.finished("a")
    assert controller.terminate() == 0
    assert not (controller.home / "audit").exists()
    done = CliRunner().invoke(cli, ["audit"], env={"HOLDFAST_HOME": str(controller.home)})
    assert done.exit_code == 1
    assert "HOLDFAST_AUDIT" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--since", "yesterday"), "neither a length of time"),
        (("--until", "2026-11-20T12:00:00"), "neither a length of time"),
        (("--since", "1h", "--until", "2h"), "later than --until"),
        (("--category", "jobs"), "'jobs' is not one of"),
        (("--job", "a/b/c"), "neither NAME nor NAMESPACE/NAME"),
        (("--job", "/a"), "neither NAME nor NAMESPACE/NAME"),
    ],
)
def test_wrong_values(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    """9.3: a wrong value is named in one line with what would be right."""
    (tmp_path / "audit").mkdir()
    done = CliRunner().invoke(cli, ["audit", *options], env={"HOLDFAST_HOME": str(tmp_path)})
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
