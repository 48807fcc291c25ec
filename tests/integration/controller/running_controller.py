"""A real controller as a child process with a state directory of its own: started, killed, stopped, started again.

One plane takes one controller at a time: each of them sees the jobs of the whole cluster.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from controller.executors.process.identity import Identity, Verdict, compare, send
from controller.executors.process.records import RecordError
from controller.executors.process.rundir import RunDir
from controller.executors.process.tree import Scope, members, signal_each
from tests.integration.controller.waits import PATIENCE, soon

ROOT = Path(__file__).resolve().parents[3]
STOP_SECONDS = 120.0
ANSWER_SECONDS = 60.0  # of its HTTP server: it may stand still for a moment on a busy machine
SETTINGS = {
    "HOLDFAST_MIN_FREE_BYTES": str(1024**2),
    "HOLDFAST_MAX_RUNNING": "8",
    "HOLDFAST_SWEEP_SECONDS": "1",
    "HOLDFAST_LOG_FORMAT": "json",
    "HOLDFAST_LOG_LEVEL": "debug",
    "HOLDFAST_GIT_SCHEMES": "http,file",
    "HOLDFAST_SNAPSHOT_ALLOW": tempfile.gettempdir(),
    "PYTHONWARNINGS": "default",
}


class RunningController:
    """See the module.

    Args:
        directory: of the test; gets the state directory `home` and the file `controller.log`.
        settings: environment beside SETTINGS.
        home: the state directory, where it is not to be `directory/home`.
    """

    def __init__(
        self, directory: Path, kubeconfig: Path, settings: dict[str, str] | None = None, home: Path | None = None
    ) -> None:
        self.home = home or directory / "home"
        self.log = directory / "controller.log"
        self.settings = {
            **SETTINGS,
            "HOLDFAST_HOME": str(self.home),
            "HOLDFAST_KUBECONFIG": str(kubeconfig),
            **(settings or {}),
        }
        self.child: subprocess.Popen[bytes] | None = None
        self.log.touch()

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    # --- its life

    @property
    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process and wait for nothing. It ends with the process that runs the tests."""
        assert not self.alive
        argv = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "controller.cli.main", "controller"]
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                argv, cwd=ROOT, env={**os.environ, **self.settings}, stdout=log, stderr=log, start_new_session=True
            )
        return self.child

    def start(self) -> None:
        """Start it and wait until its first pass is over."""
        self.spawn()
        self.wait_ready()

    def wait_ready(self, timeout: float = PATIENCE) -> None:
        soon(self._is_ready, "the controller is ready", timeout)

    def _is_ready(self) -> bool:
        status, text = self.readyz() if self._running() else (0, "")
        tail = self.log.read_text(errors="replace")[-2000:]
        assert status == 200, f"alive: {self.alive}, /readyz: {status} {text}\nits log ends with:\n{tail}"
        return True

    def readyz(self) -> tuple[int, str]:
        """Status and text of GET /readyz; 0 where nothing answers."""
        return self._get("/readyz")

    def healthz(self) -> tuple[int, str]:
        return self._get("/healthz")

    def page(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a page that wants the token."""
        url = json.loads((self.home / "http.json").read_bytes())["url"]
        token = {"Authorization": f"Bearer {(self.home / 'token').read_text()}"}
        answer = httpx.get(url + path, headers=token, timeout=60, trust_env=False)
        return answer.status_code, answer.json()

    def metric(self, name: str) -> float:
        """The value of one line of /metrics, named with its labels."""
        status, text = self._get("/metrics")
        assert status == 200, text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, f"{name} is no metric of the controller"
        return float(found.group(1))

    def metric_sum(self, name: str) -> float:
        """The sum over all labels of one metric."""
        lines = re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", self._get("/metrics")[1], re.MULTILINE)
        return sum(map(float, lines))

    def kill(self) -> None:
        """SIGKILL."""
        assert self.child is not None
        self.child.kill()
        self.child.wait(STOP_SECONDS)

    def terminate(self, timeout: float = STOP_SECONDS) -> int:
        """SIGTERM; returns the exit status."""
        assert self.child is not None
        self.child.terminate()
        return self.child.wait(timeout)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """SIGSTOP meanwhile: none of its threads runs from the beginning on."""
        assert self.child is not None
        tasks = Path(f"/proc/{self.child.pid}/task")
        self.child.send_signal(signal.SIGSTOP)
        try:
            soon(lambda: all(map(_stands, tasks.iterdir())), "all of its threads stand")
            yield
        finally:
            self.child.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """SIGKILL, and a new one that is ready."""
        self.kill()
        self.start()

    def ensure(self) -> None:
        """Have it run, whatever a test before did to it."""
        if not self.alive:
            self.start()

    def stop(self) -> None:
        """End it if it runs."""
        if self.alive:
            self.kill()

    def _running(self) -> bool:
        assert self.alive, f"the controller ended: {self.log_tail()}"
        return True

    def _get(self, path: str) -> tuple[int, str]:
        try:
            address = json.loads((self.home / "http.json").read_bytes())
            if self.child is None or address["pid"] != self.child.pid:
                return 0, "http.json is of an earlier controller"
            answer = httpx.get(address["url"] + path, timeout=ANSWER_SECONDS, trust_env=False)
        except (OSError, ValueError, httpx.HTTPError) as error:
            return 0, str(error)
        return answer.status_code, answer.text

    # --- its log

    def log_size(self) -> int:
        return self.log.stat().st_size

    def log_lines(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """The entries of its log from byte `since` on; what is no JSON becomes {"event": line}."""
        with self.log.open("rb") as file:
            file.seek(since)
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    yield {"event": line.decode(errors="replace")}

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    # --- what runs under it

    def run(self, uid: str, number: int = 1) -> RunDir:
        """The run directory of an attempt."""
        return RunDir.of(str(self.runs), f"{uid}.{number}")

    def recorder(self, uid: str, number: int = 1) -> Identity:
        """Identity of the recorder of a started attempt."""
        return soon(self.run(uid, number).read_process, "it is started").recorder

    def supervisor(self, uid: str, number: int = 1) -> Identity:
        return soon(self.run(uid, number).read_supervisor, "a supervisor has signed")

    def command(self, uid: str, number: int = 1) -> Identity:
        """Identity of the command itself, which may be recorded after Running is."""
        run = self.run(uid, number)

        def look() -> Identity | None:
            process = run.read_process()
            return run.read_command(process) if process else None

        return soon(look, "the command runs")

    def lose(self, uid: str, number: int = 1) -> None:
        """SIGKILL supervisor and recorder of an attempt, the supervisor first: it would reap the command."""
        supervisor, recorder = self.supervisor(uid, number), self.recorder(uid, number)
        assert send(supervisor, signal.SIGKILL) and send(recorder, signal.SIGKILL)

    def output(self, uid: str, number: int = 1) -> bytes:
        path = Path(self.run(uid, number).output)
        return path.read_bytes() if path.exists() else b""

    def clean(self) -> None:
        """End what jobs of this state directory left running, each process by its identity."""
        for path in self.runs.iterdir() if self.runs.is_dir() else ():
            run = RunDir(str(path))
            try:
                supervisor, process = run.read_supervisor(), run.read_process()
            except (RecordError, OSError):
                supervisor = process = None
            for identity in (supervisor, process.recorder if process else None):
                if identity is not None:
                    send(identity, signal.SIGKILL)
            signal_each(members(Scope(path.name, exclude=frozenset({os.getpid()}))), signal.SIGKILL)


def _stands(task: Path) -> bool:
    """Whether a thread is stopped, or gone."""
    try:
        state = (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "TtZX"


def same_process(identity: Identity) -> bool:
    """Whether exactly this process is alive."""
    return compare(identity) is Verdict.SAME


def processes_of(uid: str, number: int = 1) -> list[int]:
    """Pids of the live processes that carry the attempt's marker."""
    return [stat.pid for stat in members(Scope(f"{uid}.{number}", exclude=frozenset({os.getpid()})))]


def within(seconds: float, work: Callable[[], Any]) -> float:
    """Run `work` and return how long it took; more than `seconds` is a failure."""
    began = time.monotonic()
    work()
    took = time.monotonic() - began
    assert took <= seconds, f"took {took:.1f} s, the limit is {seconds:g} s"
    return took
