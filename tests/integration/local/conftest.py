"""Homes that are brought up by the `holdfast` command itself, as a user would."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.executors.process.identity import of_pid
from controller.local import records
from controller.local.home import Home
from controller.local.status import look
from tests.eventually import eventually_sync
from tests.running_plane import find_binaries, make_directory

COMMAND_SECONDS = 270.0  # more than a detached `up` may take by its own limit


class UserHome:
    """One HOLDFAST_HOME and the commands that a user runs on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {**os.environ, "HOLDFAST_HOME": str(path), "HOLDFAST_MIN_FREE_BYTES": "0"}
        self.environment.pop("KUBECONFIG", None)

    def holdfast(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "controller.cli.main", *arguments],
            check=False,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert not check or done.returncode == 0, f"holdfast {' '.join(arguments)}: {done.stderr}"
        return done

    def up(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.holdfast("up", "--detach", *arguments, check=check)

    def status(self) -> dict[str, Any]:
        """As `holdfast status -o json` says it; read in this process, since tests look often."""
        return asyncio.run(look(self.path)).as_dict()

    def component(self, name: str) -> dict[str, Any]:
        status = self.status()
        return dict(status["up"] if name == "up" else status["components"][name])

    def pids(self) -> dict[str, int | None]:
        """Of everything, from one look."""
        status = self.status()
        return {"up": status["up"]["pid"], **{name: found["pid"] for name, found in status["components"].items()}}

    def recorded(self, name: str) -> records.State | None:
        """State by the record alone, without asking the server: quick enough to see states that pass."""
        record = records.read(Home.at(self.path).record(name))
        return None if record is None else record.state

    def wait_running(self) -> None:
        """Until a look finds all of it ready: one at a server that is busy may find it unready for a moment."""
        eventually_sync(lambda: asyncio.run(look(self.path)).all_running, 120, "everything runs")

    def kill(self, *names: str) -> None:
        """SIGKILL the components, all after one look, and wait until they are gone: what comes next is to find them so.

        Of those that `up` starts again at once it is the killed process that is gone.
        """
        pids = self.pids()
        killed = [pid for name in names or tuple(pids) if (pid := pids[name]) is not None]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        eventually_sync(lambda: not any(map(runs, killed)), 60, "the killed ones are gone")

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            [find_binaries(print).kubectl, f"--kubeconfig={self.path / 'kubeconfig'}", *arguments],
            check=False,
            env={**self.environment, "HOME": str(self.path)},
            input=input,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def make_home() -> Iterator[Callable[[], UserHome]]:
    """Makes homes of this module; all of them are down and gone at its end."""
    made: list[UserHome] = []

    def make() -> UserHome:
        home = UserHome(make_directory() / "home")
        made.append(home)
        return home

    try:
        yield make
    finally:
        for home in made:
            done = home.holdfast("down", "--stop-jobs", check=False)
            assert done.returncode == 0, done.stderr
            shutil.rmtree(home.path.parent)


@pytest.fixture(scope="module")
def home(make_home: Callable[[], UserHome]) -> UserHome:
    """One home that is up with its controller when the module's first test begins."""
    made = make_home()
    made.up("--concurrency", "3")
    made.wait_running()  # the controller manager is not waited for by `up`
    return made


def runs(pid: int | None) -> bool:
    """Whether the process runs; a zombie that nobody has reaped does not."""
    return pid is not None and of_pid(pid) is not None
