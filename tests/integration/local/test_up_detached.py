"""`up --detach` beside another `up`: one that stops, one that is gone, one that is stopped in mid-start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from controller.files import atomic
from controller.local.home import Home
from controller.local.records import State
from tests.eventually import eventually_sync
from tests.integration.local.conftest import UserHome
from tests.running_plane import find_binaries

PATIENCE = 240.0  # a whole start, or a stop and a start, on a busy machine


def test_a_detached_up_waits_for_one_that_stops(make_home: Callable[[], UserHome]) -> None:
    """It took the stopping one for one that is up, started nothing, and waited for it for four minutes."""
    home = make_home()
    home.up("--no-controller")
    pids = {name: pid for name, pid in home.pids().items() if pid is not None}
    before = pids.pop("up")
    with ExitStack() as held:
        with ExitStack() as servers:  # so that the stop is not over before it is seen
            for pid in pids.values():
                servers.enter_context(stopped(pid))
            os.kill(before, signal.SIGTERM)
            eventually_sync(lambda: home.recorded("up") is State.STOPPING, 60)
            held.enter_context(stopped(before))
        process = held.enter_context(detached_up(home))
        assert process.stderr is not None
        assert "is stopping" in process.stderr.readline()
        os.kill(before, signal.SIGCONT)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert home.component("up")["state"] == "Running"
    assert home.pids()["up"] != before


def test_a_detached_up_notices_that_the_one_it_found_is_gone(make_home: Callable[[], UserHome], tmp_path: Path) -> None:
    """Whom it waited for died in mid-start: it starts one itself."""
    home = make_home()
    with held_start(home, tmp_path), detached_up(home) as first:
        pid = eventually_sync(lambda: home.component("up")["pid"], 60)
        with detached_up(home) as process:
            assert process.stderr is not None
            assert "already up" in process.stderr.readline()
            os.kill(pid, signal.SIGKILL)
            (tmp_path / "go").touch()
            _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        # The first one says that its own was killed.
        first.communicate(timeout=PATIENCE)
        assert first.returncode == 1
    assert home.component("up")["state"] == "Running"


def test_a_detached_up_that_is_stopped_in_mid_start_says_so(make_home: Callable[[], UserHome], tmp_path: Path) -> None:
    """`down` while it starts: it is not started again, and the one who waits is told at once."""
    home = make_home()
    with held_start(home, tmp_path), detached_up(home) as process:
        pid = eventually_sync(lambda: home.component("up")["pid"], 60)
        os.kill(pid, signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "up was stopped while it started" in said
    assert set(home.pids().values()) == {None}


def test_a_detached_up_leaves_no_second_one_behind(make_home: Callable[[], UserHome]) -> None:
    """The record was unreadable for a moment: what it had started meanwhile took over from one that was killed next."""
    home = make_home()
    home.up("--no-controller")
    record, up = Home.at(home.path).record("up"), home.pids()["up"]
    assert up is not None
    with stopped(up), detached_up(home) as process:  # else it would soon write its record again
        whole = record.read_bytes()
        record.write_bytes(b'{"name": ')
        try:
            starts = eventually_sync(lambda: started_by(process), 60)
        finally:
            atomic.write_atomic(record, whole)
        os.kill(up, signal.SIGCONT)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        assert not [each for each in starts if each.is_running()]


def started_by(detached: subprocess.Popen[str]) -> list[psutil.Process]:
    """The `up` that a detached one has started; it also asks binaries for their versions."""
    children = psutil.Process(detached.pid).children()
    return [each for each in children if "up" in (line := each.cmdline()) and "--detach" not in line]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still, from the moment on at which all of it does; it goes on afterwards where it lives."""
    process = psutil.Process(pid)
    process.suspend()
    threads = Path(f"/proc/{pid}/task")
    eventually_sync(lambda: all(state(thread) == "T" for thread in threads.iterdir()), 60, f"{pid} stands still")
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def state(thread: Path) -> str:
    """As proc(5) has it."""
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def held_start(home: UserHome, directory: Path) -> Iterator[None]:
    """Whoever starts this home waits for its etcd, until the file `go` is in the directory; then for one that works."""
    found = find_binaries(print)
    real = {"etcd": found.etcd, "kube-apiserver": found.apiserver, "kubectl": found.kubectl}
    for name, path in {**real, "kube-controller-manager": found.controller_manager}.items():
        (directory / name).symlink_to(path)
    held = directory / "etcd"
    held.unlink()
    wait = f"until [ -e {directory}/go ]; do sleep 0.1; done"
    held.write_text(f'#!/bin/sh\ncase $1 in --version) ;; *) {wait} ;; esac\nexec {found.etcd} "$@"\n')
    held.chmod(0o755)
    before = home.environment.get("KUBEBUILDER_ASSETS")
    home.environment["KUBEBUILDER_ASSETS"] = str(directory)
    try:
        yield
    finally:
        (directory / "go").touch()
        del home.environment["KUBEBUILDER_ASSETS"]
        if before is not None:
            home.environment["KUBEBUILDER_ASSETS"] = before


@contextmanager
def detached_up(home: UserHome) -> Iterator[subprocess.Popen[str]]:
    """`holdfast up --detach` at work, without the controller."""
    command = [sys.executable, "-m", "controller.cli.main", "up", "--detach", "--no-controller"]
    process = subprocess.Popen(command, env=home.environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)
