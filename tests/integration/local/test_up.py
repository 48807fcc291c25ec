"""`up`, `down` and `status` as a user runs them, and every way in which their processes die."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.api.names import KINDS, WRITTEN
from controller.files import quarantine
from controller.local.components import MARKER, marker_of
from controller.local.home import Home
from controller.local.process import find_marked
from controller.local.records import State
from tests.eventually import eventually_sync
from tests.integration.local.conftest import UserHome, runs

COMPONENTS = ("etcd", "apiserver", "controller-manager", "controller")
JOB = """
apiVersion: holdfast.dev/v1alpha1
kind: BatchJob
metadata: {name: long}
spec: {command: ["sleep", "6000"]}
"""


def test_status_tells_everything_that_runs(home: UserHome) -> None:
    """Issue A 3: pid, state, restarts of each component and the URL of the controller's HTTP server."""

    def told() -> dict[str, Any]:
        status: dict[str, Any] = json.loads(home.holdfast("status", "-o", "json", check=False).stdout)
        assert {component["state"] for component in status["components"].values()} == {"Running"}
        return status

    status = eventually_sync(told, 120, "a look at servers that are not too busy to answer")
    assert set(status["components"]) == set(COMPONENTS)
    for component in status["components"].values():
        assert component["restarts"] == 0
        assert runs(component["pid"])
    assert httpx.get(f"{status['url']}/healthz", timeout=60, trust_env=False).status_code == 200
    assert status["components"]["controller"]["url"] == status["url"]
    assert status["kubeconfig"] == str(home.path / "kubeconfig")
    eventually_sync(lambda: home.holdfast("status", check=False).stdout.count("Running") == 5, 120, "the same, as text")


def test_concurrency_reaches_the_controller(home: UserHome) -> None:
    """Issue A 3: `up --concurrency N`."""
    environment = Path(f"/proc/{home.pids()['controller']}/environ").read_bytes().split(b"\0")
    assert b"HOLDFAST_MAX_RUNNING=3" in environment
    assert f"HOLDFAST_KUBECONFIG={home.path}/kubeconfig".encode() in environment


def test_up_again_says_so(home: UserHome) -> None:
    """Both forms end with 0 and change nothing."""
    before = home.pids()
    assert "already up" in home.up().stderr
    assert "already up" in home.holdfast("up").stderr
    assert home.pids() == before


def test_state_is_the_owners_alone(home: UserHome) -> None:
    """Issue A 3: certificates and kubeconfig 0600, directories 0700."""
    for path in (home.path, *(home.path / name for name in ("pki", "etcd", "logs", "components"))):
        assert path.stat().st_mode & 0o777 == 0o700, path
    for path in (home.path / "kubeconfig", *(home.path / "pki").iterdir(), *(home.path / "logs").iterdir()):
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_servers_listen_on_loopback_only(home: UserHome) -> None:
    """Requirement 6.4 in spirit: nothing of the local control plane is reachable from outside; etcd not even by TCP."""
    listening = subprocess.run(["ss", "-Hltnp"], check=False, capture_output=True, text=True, timeout=60).stdout
    pids = home.pids()
    for name in COMPONENTS:
        lines = [line for line in listening.splitlines() if f"pid={pids[name]}," in line]
        assert {line.split()[3].rpartition(":")[0] for line in lines} <= {"127.0.0.1"}
        assert bool(lines) == (name != "etcd"), lines


def test_two_homes_side_by_side(home: UserHome, make_home: Callable[[], UserHome]) -> None:
    """Issue A 3: each has its own objects; stopping one leaves the other alone."""
    second = make_home()
    second.up("--no-controller")
    second.kubectl("create", "configmap", "only-here")
    assert "only-here" not in home.kubectl("get", "configmap", "-o", "name")
    assert set(second.pids().values()).isdisjoint(set(home.pids().values()) - {None})
    assert second.component("controller")["state"] == "Stopped"
    before = home.pids()
    second.holdfast("down")
    assert home.pids() == before
    home.wait_running()


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_killed_component_is_started_again(home: UserHome, name: str) -> None:
    """Issue A 3: a component that dies is restarted; the others stay."""
    before = home.pids()
    restarts = home.component(name)["restarts"]
    home.kill(name)

    def back() -> bool:
        now = home.component(name)
        return bool(now["state"] == "Running" and now["pid"] != before[name] and now["restarts"] == restarts + 1)

    eventually_sync(back, 120, f"{name} is back")
    after = home.pids()
    assert {key: pid for key, pid in after.items() if key != name} == {k: p for k, p in before.items() if k != name}
    eventually_sync(lambda: home.holdfast("status", check=False).returncode == 0, 120)


def test_servers_of_a_killed_up_are_adopted(home: UserHome) -> None:
    """Design 10: the next `up` adopts what runs: nobody notices."""
    before = home.pids()
    home.kill("up")
    eventually_sync(lambda: home.component("up")["pid"] is None)
    assert home.holdfast("status", check=False).returncode == 3
    home.up("--concurrency", "3")
    after = home.pids()
    assert after.pop("up") not in (None, before.pop("up"))
    assert after == before


def test_servers_with_other_settings_are_not_adopted(home: UserHome) -> None:
    """Another concurrency needs another controller; the servers stay."""
    before = home.pids()
    home.kill("up")
    said = home.up("--concurrency", "4")
    assert said.returncode == 0
    after = home.pids()
    assert {name for name in COMPONENTS if before[name] != after[name]} == {"controller"}
    assert not runs(before["controller"])


def test_a_server_without_a_record_is_found(home: UserHome) -> None:
    """`up` was killed after it started a server and before it recorded it: no second one runs on the same data."""
    before = home.pids()
    home.kill("up")
    (home.path / "components" / "etcd.json").unlink()
    (home.path / "components" / "controller.json").unlink()
    home.up("--concurrency", "4")
    after = home.pids()
    assert {name for name in COMPONENTS if before[name] != after[name]} == {"etcd", "controller"}
    assert not runs(before["etcd"])
    assert not runs(before["controller"])


def test_records_that_are_damaged_while_it_runs_are_written_again(home: UserHome) -> None:
    """7.5: `status`, `down` and another `up` find what runs; nothing is restarted."""
    before, found = home.pids(), Home.at(home.path)
    for path in (found.record("up"), found.record("etcd")):
        path.write_bytes(b'{"name": ')
    home.up("--concurrency", "3")
    eventually_sync(lambda: home.pids() == before, 120, "all are known again")
    aside = {each.path.name.split(".json")[0]: each for each in quarantine.entries(home.path)}
    assert aside.keys() >= {"up", "etcd"}
    for each in aside.values():
        each.path.unlink()


def test_damaged_records_cost_nothing_but_a_restart(home: UserHome) -> None:
    """7.5: garbage goes to quarantine, etcd runs once on its data, and the address of the API server stays."""
    before, found = home.pids(), Home.at(home.path)
    port = json.loads(found.ports.read_bytes())["apiserver"]
    home.kubectl("create", "configmap", "stays")
    home.kill("up")
    for path in (found.record("etcd"), found.record("up"), found.ports):
        path.write_bytes(b'{"name": ')
    said = home.up("--concurrency", "3").stderr
    assert "etcd.json is damaged" in said and "ports.json is damaged" in said
    assert not runs(before["etcd"])
    assert find_marked(MARKER, marker_of(found, "etcd")) == [home.pids()["etcd"]]
    assert json.loads(found.ports.read_bytes())["apiserver"] == port
    assert home.kubectl("get", "configmap", "stays", "-o", "name").strip() == "configmap/stays"
    assert len([*quarantine.entries(home.path)]) == 3


def test_after_the_kill_of_everything_the_data_is_there(home: UserHome) -> None:
    """Issue A 3: as after a reboot; a running job goes on."""
    home.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    home.kubectl("apply", "-f", "-", input=JOB)
    job = eventually_sync(lambda: job_pid(home), 120)
    uid = home.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    home.kill()
    home.up("--concurrency", "3")
    assert home.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"
    assert home.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}") == uid
    assert job_pid(home) == job
    eventually_sync(lambda: home.kubectl("get", "bj", "long", "-o", "jsonpath={.status.phase}") == "Running", 120)


def test_a_port_taken_by_another_program_is_replaced(home: UserHome) -> None:
    """Design 10: ports are remembered; one that is taken in the meantime does not block the start."""
    home.holdfast("down")
    port = json.loads((home.path / "components" / "ports.json").read_text())["apiserver"]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        home.up("--concurrency", "3")
    assert home.component("apiserver")["port"] != port
    assert home.kubectl("get", "namespaces", "-o", "name")


def test_data_that_does_not_open_is_kept_aside(home: UserHome) -> None:
    """Issue A 3: `up` keeps it, says so, and touches no job."""
    job = job_pid(home)
    assert job is not None
    home.holdfast("down")
    damaged = home.path / "etcd" / "data" / "member" / "snap" / "db"
    damaged.write_bytes(b"\xff" * damaged.stat().st_size)
    said = home.up("--concurrency", "3").stderr
    (kept,) = (home.path / "etcd").glob("data.kept-*")
    assert (kept / "member" / "snap" / "db").read_bytes()[:4] == b"\xff" * 4
    for text in (said, home.component("up")["message"], (home.path / "logs" / "up.log").read_text()):
        assert f"kept in {kept}" in text
        assert "holdfast adopt" in text
    assert home.kubectl("get", "crd", "-o", "name").count("holdfast.dev") == len((*KINDS, *WRITTEN))
    assert job_pid(home) == job


def test_down_leaves_jobs_and_stop_jobs_ends_them(home: UserHome) -> None:
    """Issue A 3: `down` leaves running jobs running unless --stop-jobs."""
    job = job_pid(home)
    assert job is not None
    pids = home.pids()
    home.holdfast("down")
    assert [name for name, pid in pids.items() if runs(pid)] == []
    assert runs(job)
    assert home.holdfast("status", check=False).returncode == 3
    said = home.holdfast("down", "--stop-jobs").stderr
    assert "nothing was up" in said
    assert "stopped 1 running jobs" in said
    assert not runs(job)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_foreground_ends_in_order(make_home: Callable[[], UserHome], number: signal.Signals) -> None:
    """Requirement 7.9 for the whole: a signal in mid-start or later stops what was started."""
    home = make_home()
    command = [sys.executable, "-m", "controller.cli.main", "up", "--no-controller"]
    process = subprocess.Popen(command, env=home.environment, stderr=subprocess.PIPE, text=True)
    try:
        # INT comes when all is ready, TERM while the API server starts, or later where that was too quick to be seen.
        waited_for = "up" if number is signal.SIGINT else "apiserver"
        states = {State.RUNNING} if number is signal.SIGINT else {State.STARTING, State.RUNNING}
        eventually_sync(lambda: home.recorded(waited_for) in states, 120)
        pids = [pid for pid in home.pids().values() if pid is not None]
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "running jobs go on" in said
    assert not [pid for pid in pids if runs(pid)]


def test_a_failed_start_shows_the_last_log_lines(make_home: Callable[[], UserHome], tmp_path: Path) -> None:
    """Issue A 2 and 3: a message that a person can act on, and nothing left running."""
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl"):
        program = tmp_path / name
        version = "3.6.0" if name == "etcd" else "1.36.0"
        script = f"case $1 in --version|version) echo v{version}; exit;; esac; echo no {name} today; exit 7"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    home = make_home()
    home.environment["KUBEBUILDER_ASSETS"] = str(tmp_path)
    done = home.up(check=False)
    assert done.returncode == 1
    assert "etcd is not ready: etcd ended with exit code 7" in done.stderr
    assert "no etcd today" in done.stderr
    assert set(home.pids().values()) == {None}


def test_the_unit_names_this_home(make_home: Callable[[], UserHome]) -> None:
    """Issue A 3: `up --print-systemd` prints a unit on stdout and starts nothing."""
    home = make_home()
    unit = home.holdfast("up", "--print-systemd", "--concurrency", "2").stdout
    assert f"Environment=HOLDFAST_HOME={home.path}" in unit
    assert f"ExecStart={sys.executable} -P -m controller.cli.main up --concurrency 2" in unit
    assert "KillMode=process" in unit
    assert not home.path.exists()


def test_settings_show_every_variable(make_home: Callable[[], UserHome]) -> None:
    """Issue A 1: all settings are shown by `holdfast settings`."""
    home = make_home()
    home.environment["HOLDFAST_WORKERS"] = "7"
    rows = {row["env"]: row for row in json.loads(home.holdfast("settings", "-o", "json").stdout)}
    assert rows["HOLDFAST_HOME"]["value"] == str(home.path)
    assert rows["HOLDFAST_HOME"]["default"] != str(home.path)
    assert (rows["HOLDFAST_WORKERS"]["value"], rows["HOLDFAST_WORKERS"]["default"]) == (7, 32)
    assert all(row["description"] for row in rows.values())
    assert "HOLDFAST_WORKERS=7  (default 32)" in home.holdfast("settings").stdout


def job_pid(home: UserHome) -> int | None:
    """Pid of the one job's command, `sleep 6000` in a session of its own, by its run directory in its environment."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cmdline").read_bytes() != b"sleep\x006000\x00":
                continue
            if str(home.path).encode() in (entry / "environ").read_bytes():
                return int(entry.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return None
