"""`up --detach` beside another `up`: one that stops, one that is gone, one that is stopped in mid-start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from controller.files import atomic
from controller.local.home import Home
from tests.eventually import eventually_sync
from tests.integration.local.conftest import UserHome


def test_a_detached_up_waits_for_one_that_stops(make_home: Callable[[], UserHome]) -> None:
    """It took the stopping one for one that is up, started nothing, and waited for it for four minutes."""
    home = make_home()
    home.up("--no-controller")
    before = home.pids()["up"]
    assert before is not None
    os.kill(before, signal.SIGTERM)
    eventually_sync(lambda: home.component("up")["state"] == "Stopping", 20)
    os.kill(before, signal.SIGSTOP)
    with detached_up(home) as process:
        try:
            assert process.stderr is not None
            assert "is stopping" in process.stderr.readline()
        finally:
            os.kill(before, signal.SIGCONT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert home.component("up")["state"] == "Running"
    assert home.pids()["up"] != before


def test_a_detached_up_notices_that_the_one_it_found_is_gone(make_home: Callable[[], UserHome]) -> None:
    """Whom it waited for died in mid-start: it starts one itself."""
    home = make_home()
    with detached_up(home) as first:
        pid = eventually_sync(lambda: home.component("up")["pid"], 60)
        os.kill(pid, signal.SIGSTOP)
        with detached_up(home) as process:
            try:
                assert process.stderr is not None
                assert "already up" in process.stderr.readline()
            finally:
                os.kill(pid, signal.SIGKILL)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        # The first one says that its own was killed.
        first.communicate(timeout=60)
        assert first.returncode == 1
    assert home.component("up")["state"] == "Running"


def test_a_detached_up_that_is_stopped_in_mid_start_says_so(make_home: Callable[[], UserHome]) -> None:
    """`down` while it starts: it is not started again, and the one who waits is told at once."""
    home = make_home()
    with detached_up(home) as process:
        pid = eventually_sync(lambda: home.component("up")["pid"], 60)
        os.kill(pid, signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "up was stopped while it started" in said
    assert set(home.pids().values()) == {None}


def test_a_detached_up_leaves_no_second_one_behind(make_home: Callable[[], UserHome]) -> None:
    """The record was unreadable for a moment: what it had started meanwhile took over from one that was killed next."""
    home = make_home()
    home.up("--no-controller")
    record = Home.at(home.path).record("up")
    whole = record.read_bytes()
    record.write_bytes(b'{"name": ')
    with detached_up(home) as process:
        try:
            starts = eventually_sync(psutil.Process(process.pid).children, 60)
        finally:
            atomic.write_atomic(record, whole)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert not [each for each in starts if each.is_running()]


@contextmanager
def detached_up(home: UserHome) -> Iterator[subprocess.Popen[str]]:
    """`holdfast up --detach` at work, without the controller."""
    command = [sys.executable, "-m", "controller.cli.main", "up", "--detach", "--no-controller"]
    process = subprocess.Popen(command, env=home.environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)
