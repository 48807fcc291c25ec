"""Controllers as the tests start, kill and stop them: the other end of `launcher`'s pipes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

ANSWER_SECONDS = 120.0
STOP_SECONDS = 60.0
# Shorter than in production, so that a run is short: a lost wake-up costs a sweep, which a run would have to wait for.
QUICK = {"HOLDFAST_SWEEP_SECONDS": "1", "HOLDFAST_RUNNING_RECORD_DELAY_MS": "50", "HOLDFAST_MIN_FREE_BYTES": "1000000"}
CGROUPS = "/sys/fs/cgroup"


class Preloaded:
    """One preloaded process; not for use by two threads at once."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-m", "tests.crash.launcher"]
        self._process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(ANSWER_SECONDS)
        self._process.stdout.close()

    def start(self, home: Path, kubeconfig: Path, name: str, kill_at: int = 0, **settings: str) -> Controller:
        """Start a controller on the state directory `home`, to be killed before crossing `kill_at` (0: never)."""
        environment = {"PATH": os.environ["PATH"], "HOLDFAST_HOME": str(home), "HOLDFAST_KUBECONFIG": str(kubeconfig)}
        log, trace = home.with_name(f"{name}.log"), home.with_name(f"{name}.crossings")
        order = {
            "environment": environment | QUICK | {"HOLDFAST_LOG_FORMAT": "json"} | settings,
            "log": str(log),
            "trace": str(trace),
            "roots": [f"{home}/", CGROUPS],
            "kill_at": kill_at,
        }
        return Controller(self, self._ask({"start": order})["pid"], log, trace)

    def wait(self, pid: int, seconds: float) -> int | None:
        """The wait status of a process that was started here, None while it runs."""
        status: int | None = self._ask({"wait": pid, "seconds": seconds})["status"]
        return status

    def children(self) -> list[str]:
        """Controllers that run, and what ended ones left behind: supervisors, helpers."""
        found: list[str] = self._ask({"children": True})["children"]
        return found

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], ANSWER_SECONDS)[0]:
            raise TimeoutError("the preloaded process does not answer")
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@dataclass(frozen=True, slots=True)
class Controller:
    """One controller process and what it left to read."""

    preloaded: Preloaded
    pid: int
    log: Path
    trace: Path

    def ended(self, seconds: float = 0.0) -> int | None:
        """Exit status (negative: the signal that ended it), None while it runs after `seconds`."""
        status = self.preloaded.wait(self.pid, seconds)
        return None if status is None else os.waitstatus_to_exitcode(status)

    def ready(self, home: Path) -> bool:
        """Whether its first pass is over."""
        try:
            told = json.loads((home / "http.json").read_bytes())
            return (
                told["pid"] == self.pid
                and httpx.get(f"{told['url']}/readyz", timeout=20, trust_env=False).status_code == 200
            )
        except (FileNotFoundError, httpx.TransportError):
            return False

    def stop(self) -> int | None:
        """SIGTERM, then wait; the exit status, None where it did not end in time and was killed."""
        if (status := self.ended()) is not None:
            return status
        os.kill(self.pid, signal.SIGTERM)
        if (status := self.ended(STOP_SECONDS)) is None:
            self.kill()
        return status

    def kill(self) -> None:
        """SIGKILL; only the controller: supervisors go on."""
        if self.ended() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.ended(ANSWER_SECONDS)

    def crossings(self) -> list[str]:
        """What it crossed, in order, as `name what`."""
        return [" ".join(line.split("\t")[1:]) for line in self.trace.read_text(errors="replace").splitlines()]

    def defects(self) -> list[str]:
        """Log lines that speak of a defect of the controller, or of what it could not log properly."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line[:2000] for line in lines if '"a defect' in line or ": a defect" in line or "Traceback" in line]
