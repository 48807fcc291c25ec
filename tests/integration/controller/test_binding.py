"""Another cluster, an older backup, an empty mount: nothing is started or stopped until a person says so (design 9)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.cli.main import cli
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.running_controller import RunningController, processes_of, same_process
from tests.integration.controller.waits import soon


def adopt(controller: RunningController) -> None:
    result = CliRunner().invoke(cli, ["adopt", "--yes"], env=controller.settings)
    assert result.exit_code == 0, result.stderr


def degraded(controller: RunningController, reason: str) -> None:
    """Wait until /readyz and the metric say why nothing is done."""

    def look() -> bool:
        status, text = controller.readyz()
        assert status == 503 and reason in text and "holdfast adopt" in text, text
        return True

    soon(look, f"degraded for {reason}")
    assert controller.metric(f'holdfast_degraded{{reason="{reason}"}}') == 1
    assert controller.metric("holdfast_bound") == 0


def change_identity(home: Path, **changes: object) -> None:
    path = home / "identity.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


CAUSES: dict[str, Callable[[Path], None]] = {
    "OtherCluster": lambda home: change_identity(home, cluster="11111111-2222-3333-4444-555555555555"),
    "OlderBackup": lambda home: change_identity(home, highestVersion=10**12),
}


@pytest.mark.parametrize("reason", CAUSES)
def test_another_cluster_or_an_older_backup(other_controller: OtherController, jobs: Jobs, reason: str) -> None:
    """Design 9: behind the wrong API server nothing is started, stopped or removed; `holdfast adopt` lets it go on."""
    one = other_controller()
    one.start()
    uid = uid_of(jobs.shell("runs", "sleep 600", gracePeriod="1s"))
    removed = uid_of(jobs.create("removed"))
    jobs.finished("removed")
    jobs.running("runs")
    command = one.command(uid)
    one.kill()
    CAUSES[reason](one.home)
    jobs.patch("runs", {"cancel": True})
    jobs.delete("removed")
    jobs.create("new")
    one.spawn()
    degraded(one, reason)
    assert same_process(command) and (one.runs / f"{removed}.1").is_dir()
    assert "status" not in jobs.get("new") and jobs.get("runs")["status"]["phase"] == "Running"
    adopt(one)
    one.wait_ready()
    jobs.finished("runs", "Canceled")
    jobs.finished("new", "Succeeded")
    soon(lambda: not (one.runs / f"{removed}.1").exists(), "the deleted job's directory is removed")
    assert one.metric("holdfast_bound") == 1
    one.restart()


def test_empty_mount(other_controller: OtherController, jobs: Jobs, tmp_path: Path) -> None:
    """Design 9: with runs and identity.json away the start is degraded; once they are back it goes on by itself."""
    one = other_controller()
    one.start()
    uid = uid_of(jobs.shell("runs", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 3"))
    jobs.running("runs")
    command = one.command(uid)
    one.kill()
    aside = tmp_path / "aside"
    aside.mkdir()
    for name in ("runs", "identity.json"):
        shutil.move(one.home / name, aside / name)
    one.spawn()
    degraded(one, "EmptyStateDirectory")
    assert same_process(command) and jobs.get("runs")["status"]["phase"] == "Running"
    for name in ("runs", "identity.json"):
        shutil.move(aside / name, one.home / name)
    one.wait_ready()
    assert same_process(command)
    (tmp_path / "go").touch()
    assert jobs.finished("runs", "Failed")["status"]["attempt"]["exitCode"] == 3


def test_adopted_empty_mount(other_controller: OtherController, jobs: Jobs, tmp_path: Path) -> None:
    """Design 9: adopted without its run directories, attempts of the old one stay Unknown until a person decides."""
    one = other_controller()
    one.start()
    jobs.queue("one", concurrency=1)
    log = tmp_path / "starts"
    script = f"echo x >>{log}; until [ -e {tmp_path}/go ]; do sleep 0.1; done"
    uid = uid_of(jobs.shell("runs", script, queue="one"))
    jobs.running("runs")
    one.kill()
    shutil.move(one.home / "runs", tmp_path / "old-runs")
    (one.home / "identity.json").unlink()
    one.spawn()
    degraded(one, "EmptyStateDirectory")
    adopt(one)
    one.wait_ready()
    needs = condition_of(jobs.wait("runs", "NeedsDecision"), "NeedsDecision")
    assert needs is not None and "processes of the attempt run" in needs["message"]
    jobs.create("waits", queue="one")
    jobs.phase("waits", "Queued")
    assert jobs.get("runs")["status"]["attempt"]["number"] == 1
    (tmp_path / "go").touch()
    soon(lambda: not processes_of(uid), "the old one has ended")
    jobs.patch("runs", {"decision": {"attempt": 1, "action": "Restart"}})
    assert jobs.finished("runs", "Succeeded")["status"]["attempt"]["number"] == 2
    jobs.finished("waits", "Succeeded")
    assert log.read_text() == "x\nx\n"


def test_run_directories_missing(other_controller: OtherController, jobs: Jobs, tmp_path: Path) -> None:
    """Design 9: `runs` missing although unfinished jobs were started here degrades the start."""
    one = other_controller()
    one.start()
    uid = uid_of(jobs.shell("runs", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"))
    jobs.running("runs")
    command = one.command(uid)
    one.kill()
    shutil.move(one.home / "runs", tmp_path / "old-runs")
    one.spawn()
    degraded(one, "MissingRunDirectories")
    assert same_process(command)
    shutil.move(tmp_path / "old-runs", one.home / "runs")
    one.wait_ready()
    (tmp_path / "go").touch()
    assert jobs.finished("runs", "Succeeded")["status"]["attempt"]["number"] == 1


@pytest.mark.parametrize("name", ["runs", "operations"])
def test_unreadable_run_directories(other_controller: OtherController, jobs: Jobs, tmp_path: Path, name: str) -> None:
    """7.3, 8.3: what cannot be read is not lost: told with its path, nothing done, adopted or not, until it is back."""
    one = other_controller()
    one.start()
    log = tmp_path / "starts"
    uid = uid_of(jobs.shell("runs", f"echo x >>{log}; until [ -e {tmp_path}/go ]; do sleep 0.1; done"))
    jobs.running("runs")
    command = one.command(uid)
    one.kill()
    place = one.home / name
    shutil.move(place, tmp_path / "right")
    place.write_text("no directory")
    one.spawn()

    def told() -> bool:
        status, text = one.readyz()
        assert status == 503 and "StateDirectory" in text and str(place) in text and "put the right one back" in text
        return True

    soon(told, "/readyz says so")
    assert one.metric('holdfast_degraded{reason="StateDirectory"}') == 1
    adopt(one)
    assert one.alive and same_process(command) and place.read_text() == "no directory"
    assert jobs.get("runs")["status"]["attempt"]["state"] == "Running"
    with one.standing_still():  # else it may find none at all in between, which `adopt` has allowed by now
        place.unlink()
        shutil.move(tmp_path / "right", place)
    one.wait_ready()
    (tmp_path / "go").touch()
    assert jobs.finished("runs", "Succeeded")["status"]["attempt"]["number"] == 1
    assert log.read_text() == "x\n"


DAMAGE = {"torn": b'{"stateId": "tor', "garbage": b"\x00\xff no json", "empty": b"", "wrong": b'{"stateId": null}'}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_identity(other_controller: OtherController, jobs: Jobs, tmp_path: Path, kind: str) -> None:
    """7.5: a damaged identity.json degrades the start; adopted, it is set aside and what runs is still our own."""
    one = other_controller()
    one.start()
    identity = one.home / "identity.json"
    before = json.loads(identity.read_bytes())
    uid = uid_of(jobs.shell("runs", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 3"))
    jobs.running("runs")
    command = one.command(uid)
    one.kill()
    identity.write_bytes(DAMAGE[kind])
    jobs.create("new")
    one.spawn()
    degraded(one, "IdentityDamaged")
    assert str(identity) in one.readyz()[1]
    told = [entry for entry in one.log_lines() if entry.get("reason") == "IdentityDamaged"]
    assert told and str(identity) in told[0]["message"] and "holdfast adopt" in told[0]["message"]
    assert one.alive and same_process(command) and identity.read_bytes() == DAMAGE[kind]
    assert "status" not in jobs.get("new")
    adopt(one)
    one.wait_ready()
    assert same_process(command)
    kept = [path for path in (one.home / "quarantine").glob("identity.json.*") if path.suffix != ".reason"]
    assert [path.read_bytes() for path in kept] == [DAMAGE[kind]]
    assert {**json.loads(identity.read_bytes()), "highestVersion": 0} == {**before, "highestVersion": 0}
    (tmp_path / "go").touch()
    assert jobs.finished("runs", "Failed")["status"]["attempt"]["exitCode"] == 3
    jobs.finished("new", "Succeeded")
    one.restart()
    assert one.metric("holdfast_bound") == 1


def test_repaired_identity(other_controller: OtherController) -> None:
    """7.3, 7.5: once the right identity.json is back, the controller goes on by itself."""
    one = other_controller()
    one.start()
    one.terminate()
    whole = (one.home / "identity.json").read_bytes()
    (one.home / "identity.json").write_bytes(b"")
    one.spawn()
    degraded(one, "IdentityDamaged")
    (one.home / "repaired").write_bytes(whole)
    (one.home / "repaired").rename(one.home / "identity.json")
    one.wait_ready()
    assert not list(one.home.glob("identity.json.damaged.*"))


def test_many_ownerless_attempts_wait_for_a_person(other_controller: OtherController, jobs: Jobs) -> None:
    """Design 9: more than 3 running attempts without a BatchJob at once: a person decides; adopted, they are ended."""
    one = other_controller()
    one.start()
    uids = [uid_of(jobs.shell(f"j{n}", "sleep 600", gracePeriod="1s")) for n in range(5)]
    for n in range(5):
        jobs.running(f"j{n}")
    one.kill()
    for n in range(5):
        jobs.delete(f"j{n}")
    one.spawn()
    degraded_for_ownerless(one)
    jobs.create("bystander")
    jobs.finished("bystander", "Succeeded")
    assert all(processes_of(uid) for uid in uids)
    adopt(one)
    soon(lambda: not any(map(processes_of, uids)), "they are ended")
    soon(lambda: not any((one.runs / f"{uid}.1").exists() for uid in uids), "and removed")
    soon(lambda: one.metric('holdfast_degraded{reason="ManyOwnerless"}') == 0, "the gauge says so")
    one.wait_ready()


def degraded_for_ownerless(one: RunningController) -> None:
    soon(lambda: "holdfast adopt" in one.readyz()[1], "it says that a person decides")
    soon(lambda: one.metric('holdfast_degraded{reason="ManyOwnerless"}') == 1, "the gauge says so")
