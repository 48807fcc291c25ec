"""Where the demo plays: its own state directory, the holdfast command, the real kubectl, and what can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from controller.executors.process import identity
from controller.executors.process.rundir import RunDir
from controller.local import status
from controller.local.records import State

T = TypeVar("T")
CHECKOUT = Path(__file__).resolve().parents[2]
HOLDFAST = CHECKOUT / ".venv" / "bin" / "holdfast"
COMMAND_SECONDS = 270.0
POLL_SECONDS = 0.05
SLOTS = 16  # more than all jobs of the demo without a queue of their own, so that only the queue limits anything


class DemoFailed(Exception):
    """Something that the demo waits for did not come, or a command failed; the text says what."""


@dataclass(frozen=True)
class Stage:
    """One demo's directory.

    Args:
        root: holds `home` (HOLDFAST_HOME) and `files` (what the jobs work on).
        kubectl_binary: the real one.
    """

    root: Path
    kubectl_binary: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def files(self) -> Path:
        return self.root / "files"

    def start_up(self) -> subprocess.Popen[str]:
        """Begin `holdfast up --detach`; it ends when all is ready."""
        argv = [str(HOLDFAST), "up", "--detach", "--concurrency", str(SLOTS)]
        return subprocess.Popen(
            argv,
            env=self._environment(),
            start_new_session=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def holdfast(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> str:
        """Run the holdfast command; returns what it printed.

        Raises:
            DemoFailed: its exit code is not one of `ok`.
        """
        return self._run([str(HOLDFAST), *arguments], ok=ok)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl; raises DemoFailed where it fails."""
        return self._run([str(self.kubectl_binary), f"--cache-dir={self.root / 'kubectl'}", *arguments], given)

    def components(self) -> dict[str, dict[str, Any]]:
        """Each component's pid, state, restarts, as `holdfast status -o json` has them."""
        found: dict[str, dict[str, Any]] = json.loads(self.holdfast("status", "-o", "json", ok=(0, 3)))["components"]
        return found

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Every BatchJob by name, as kubectl has them."""
        items = json.loads(self.kubectl("get", "batchjobs", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item for item in items}

    def run_directory(self, job: dict[str, Any]) -> RunDir:
        """The run directory of a job's only attempt."""
        return RunDir(str(self.home / "runs" / f"{job['metadata']['uid']}.1"))

    def why_not_ready(self) -> str:
        """What of the four components and the controller's first pass is still missing; "" where all is there."""
        found = asyncio.run(status.look(self.home))
        absent = [part for part in found.components if part.state is not State.RUNNING]
        missing = [f"{part.name} is {part.state}: {part.message}" for part in absent]
        if missing or found.url is None:
            return "; ".join(missing) or "the controller says no URL"
        try:
            with urllib.request.urlopen(f"{found.url}/readyz", timeout=20):
                return ""
        except (urllib.error.URLError, OSError) as error:
            return f"{found.url}/readyz: {error}"

    def _run(self, argv: list[str], given: str | None = None, ok: tuple[int, ...] = (0,)) -> str:
        # In a session of its own, so that Ctrl-C ends the demo and not the command that cleans up.
        done = subprocess.run(
            argv,
            check=False,
            env=self._environment(),
            input=given,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            start_new_session=True,
        )
        if done.returncode not in ok:
            raise DemoFailed(f"{Path(argv[0]).name} {' '.join(argv[1:])}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        foreign = ("HOLDFAST_HOME", "HOLDFAST_KUBECONFIG", "HOLDFAST_MAX_RUNNING", "HOLDFAST_HTTP_PORT")
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        # What a killed process leaves in its temporary directory goes with the demo, too.
        (self.root / "tmp").mkdir(exist_ok=True)
        ours = {"HOLDFAST_HOME": self.home, "KUBECONFIG": self.home / "kubeconfig", "TMPDIR": self.root / "tmp"}
        return kept | {name: str(path) for name, path in ours.items()}


def kill_pid(pid: int) -> None:
    """SIGKILL a process and wait until it is gone."""
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _await_end(pidfd, pid)
    finally:
        os.close(pidfd)


def kill_supervisor(run: RunDir) -> int:
    """SIGKILL the supervisor that `lock` of a run directory names; returns its pid."""
    recorded = run.read_supervisor()
    pidfd = None if recorded is None else identity.open_pidfd(recorded)
    if recorded is None or pidfd is None:
        raise DemoFailed(f"{run.path}/lock names no process that lives")
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _await_end(pidfd, recorded.pid)
    finally:
        os.close(pidfd)
    return recorded.pid


def _await_end(pidfd: int, pid: int) -> None:
    if not select.select([pidfd], [], [], 60)[0]:
        raise DemoFailed(f"process {pid} survived SIGKILL for 60 s")


def wait_for(condition: Callable[[], T], limit_seconds: float, what: str) -> T:
    """Look until `condition` returns something true; raises DemoFailed after the limit."""
    deadline = time.monotonic() + limit_seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise DemoFailed(f"not within {limit_seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)
    return found


def python() -> str:
    """The Python that the jobs run with."""
    return sys.executable
