"""What nobody uses any more: found with its proof, removed, counted; or left to a person (requirements 7.5-7.7)."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from controller.cli.main import cli
from controller.executors.process.identity import send
from tests.integration.controller.commands import Command
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs, uid_of
from tests.integration.controller.running_controller import RunningController, processes_of
from tests.integration.controller.waits import PATIENCE, soon

TWELVE = "for i in 1 2 3 4 5 6 7 8 9 10 11; do setsid sleep 6{} & done; wait"


def rows(command: Command, *options: str) -> list[dict[str, Any]]:
    return list(json.loads(command("orphans", "-o", "json", *options).stdout)["items"])


def row_of(command: Command, name: str, *options: str) -> dict[str, Any] | None:
    return next((row for row in rows(command, *options) if row["name"] == name), None)


def test_leftover_processes_of_deleted_jobs(controller: RunningController, jobs: Jobs) -> None:
    """7.6, issue 6: 36 processes of 3 attempts whose jobs are gone are found, stopped, and their memory is counted."""
    names = ("one", "two", "three")
    uids = [uid_of(jobs.shell(name, TWELVE.format(number), gracePeriod="1s")) for number, name in enumerate(names, 101)]
    for name, uid in zip(names, uids, strict=True):
        jobs.running(name)
        soon(lambda uid=uid: len(processes_of(uid)) == 13, "all twelve run, and the recorder")  # type: ignore[misc]
    controller.kill()
    for name in names:
        jobs.delete(name)
    controller.start()
    soon(lambda: not any(map(processes_of, uids)), "they are stopped")
    soon(lambda: not any((controller.runs / f"{uid}.1").exists() for uid in uids), "their directories are removed")
    removed = 'holdfast_orphans_removed_total{kind="process"}'
    assert soon(lambda: controller.metric(removed) == 36, "they are counted")
    assert controller.metric("holdfast_orphan_memory_reclaimed_bytes_total") > 36 * 50_000
    assert controller.metric("holdfast_orphan_disk_reclaimed_bytes_total") > 0


def sweep_on(command: Command, wanted: Callable[[], bool]) -> None:
    """Sweep again and again, until it is not wanted any more, within PATIENCE."""
    end = time.monotonic() + PATIENCE
    while wanted():
        assert time.monotonic() < end, "it is still wanted"
        CliRunner().invoke(cli, ["orphans"], env=command.environment)


def strange_process(directory: Path, attempt: str) -> subprocess.Popen[bytes]:
    """One that carries an attempt of another state directory of this host."""
    environment = {"HOLDFAST_ATTEMPT": attempt, "TMPDIR": f"{directory}/runs/{attempt}/tmp"}
    return subprocess.Popen(["/bin/sleep", "600"], env=environment, cwd="/")


def test_processes_without_a_run_directory(other_controller: OtherController, jobs: Jobs, tmp_path: Path) -> None:
    """7.6: somebody removed the directory, and the job: two looks, TERM, KILL; a SIGKILL in between is gone on from.

    The job itself kills the controller when it is first asked to end: nobody else would be sure to be in time.

    A process that carries another state directory's attempt is left alone.
    """
    controller = other_controller({"HOLDFAST_ORPHAN_GRACE_SECONDS": "2"})
    strange = strange_process(tmp_path / "elsewhere", f"{uuid.uuid4()}.1")
    controller.start()
    command = Command(controller)
    asked, pid = tmp_path / "asked-to-end", tmp_path / "controller"
    trap = f"[ -e {asked} ] || {{ touch {asked}; kill -9 $(cat {pid}); }}"
    uid = uid_of(jobs.shell("stray", f"trap '{trap}' TERM; while :; do sleep 1; done"))
    jobs.running("stray")
    supervisor, recorder = controller.supervisor(uid), controller.recorder(uid)
    controller.kill()
    jobs.delete("stray")
    assert send(supervisor, signal.SIGKILL) and send(recorder, signal.SIGKILL)
    shutil.rmtree(controller.runs / f"{uid}.1")
    assert processes_of(uid)
    controller.start()
    assert controller.child is not None
    pid.write_text(str(controller.child.pid))
    row = soon(lambda: row_of(command, f"{uid}.1", "--dry-run"), "it is found")
    assert row is not None and row["sort"] == "process" and row["memoryBytes"] > 0 and row["processes"] >= 1
    assert "uncached LIST" in row["proof"] and "run directory is gone" in row["proof"]
    assert processes_of(uid), "a list changes nothing"
    sweep_on(command, lambda: controller.alive)
    assert asked.exists() and processes_of(uid)
    controller.start()
    soon(lambda: (row_of(command, f"{uid}.1") or {"action": "removed"})["action"] == "removed", "it is stopped")
    assert processes_of(uid) == []
    soon(lambda: controller.metric('holdfast_orphans_removed_total{kind="process"}') >= 1, "they are counted")
    assert strange.poll() is None, "another state directory's"
    strange.kill()
    strange.wait(10)


def test_an_attempt_of_which_nothing_is_proved(controller: RunningController, jobs: Jobs) -> None:
    """7.7: of a deleted job's attempt nothing is proved: it holds its slot, is listed, and one command settles it."""
    command = Command(controller)
    uid = uid_of(jobs.shell("gone", "exit 0", ttlAfterFinished="1h"))
    jobs.finished("gone", "Succeeded")
    path = controller.runs / f"{uid}.1" / "attempt.json"
    assert "belongs to a BatchJob" in command("orphans", "--settle", f"{uid}.1", code=1).stderr
    path.write_bytes(json.dumps({**json.loads(path.read_bytes()), "machine": "another"}).encode())
    controller.kill()
    jobs.delete("gone")
    controller.start()
    row = soon(lambda: row_of(command, f"{uid}.1", "--dry-run"), "it is listed")
    assert row is not None and row["stays"] and "another machine" in row["proof"]
    assert f"holdfast orphans --settle {uid}.1" in row["action"]
    rows(command)
    assert path.exists()
    assert "its slot is free" in command("orphans", "--settle", f"{uid}.1").stdout
    assert not path.exists()
    (aside,) = (controller.home / "quarantine").glob(f"{uid}.1.*.reason")
    assert "a person said that it is over" in aside.read_text()
    assert row_of(command, f"{uid}.1", "--dry-run") is None


def test_wrong_input(controller: RunningController, tmp_path: Path) -> None:
    """7.7: each mistake is one line that names the way out."""
    command = Command(controller)
    assert "not <job uid>.<number>" in command("orphans", "--settle", "../x", code=1).stderr
    assert "without --dry-run" in command("orphans", "--settle", "a.1", "--dry-run", code=2).stderr
    nobody = RunningController(tmp_path, Path(controller.settings["HOLDFAST_KUBECONFIG"]))
    assert "holdfast up" in Command(nobody)("orphans", code=1).stderr


def test_nothing_is_looked_for_before_the_directory_is_bound(other_controller: OtherController, jobs: Jobs) -> None:
    """Design 9: behind another cluster nothing is removed; the command says why and what to do."""
    controller = other_controller()
    controller.start()
    uid = uid_of(jobs.shell("mine", "sleep 600", gracePeriod="1s"))
    jobs.running("mine")
    controller.stop()
    identity = controller.home / "identity.json"
    identity.write_bytes(json.dumps({**json.loads(identity.read_bytes()), "cluster": "another"}).encode())
    jobs.delete("mine")
    temp = controller.runs / ".trash.x.1.tmp.0123456789abcdef"
    temp.mkdir()
    controller.spawn()
    soon(lambda: "OtherCluster" in controller.readyz()[1], "it is degraded")
    for options in (["--dry-run"], [], ["--settle", f"{uid}.1"]):
        assert "holdfast adopt" in Command(controller)("orphans", *options, code=1).stderr
    assert processes_of(uid) and temp.exists()
    Command(controller)("adopt", "--yes")
    controller.wait_ready()
    soon(lambda: not processes_of(uid) and not temp.exists(), "it is cleaned up")
