"""The holdfast command as a user has it: arguments in, exit code, stdout and stderr out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner, Result

from controller.cli.main import cli
from controller.executors.process.records import Attempt, Exit
from controller.executors.process.rundir import RunDir, build

JOBS = "/apis/holdfast.dev/v1alpha1/namespaces/{}/batchjobs"
QUEUES = "/apis/holdfast.dev/v1alpha1/namespaces/{}/jobqueues"
NOW = "2026-11-20T12:00:00Z"
LIMIT = 120.0


@dataclass(frozen=True)
class Holdfast:
    """Runs the command with a state directory, a kubeconfig and a namespace of its own."""

    home: Path
    kubeconfig: Path
    namespace: str

    @property
    def environment(self) -> dict[str, str]:
        return {"HOLDFAST_HOME": str(self.home), "HOLDFAST_KUBECONFIG": str(self.kubeconfig)}

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        """Run it in this process; the exit code is asserted."""
        command, rest = arguments[0], arguments[1:]
        result = CliRunner().invoke(cli, [command, "-n", self.namespace, *rest], env=self.environment)
        assert result.exit_code == code, f"{arguments}: {result.exit_code}\n{result.stdout}\n{result.stderr}"
        return result

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run it as a process of its own, stdout and stderr piped."""
        command, rest = arguments[0], arguments[1:]
        return subprocess.Popen(
            [sys.executable, "-m", "controller.cli.main", command, "-n", self.namespace, *rest],
            cwd=Path(__file__).resolve().parents[3],
            env={**os.environ, **self.environment, "PYTHONWARNINGS": "error"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def one_line(text: str) -> str:
    """stderr of a failed command: one line (issue item 7)."""
    assert text.count("\n") == 1, text
    assert text.startswith("holdfast: ")
    return text


@dataclass(frozen=True)
class Jobs:
    """BatchJobs of one namespace with a status as the controller would have recorded it."""

    http: httpx.Client
    namespace: str

    def create(self, name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
        body = {
            "apiVersion": "holdfast.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": name, **metadata},
            "spec": {"command": ["true"], **(spec or {})},
        }
        return self._done(self.http.post(JOBS.format(self.namespace), json=body))

    def queue(self, name: str, **spec: Any) -> dict[str, Any]:
        body = {
            "apiVersion": "holdfast.dev/v1alpha1",
            "kind": "JobQueue",
            "metadata": {"name": name},
            "spec": spec,
        }
        return self._done(self.http.post(QUEUES.format(self.namespace), json=body))

    def get(self, name: str) -> dict[str, Any]:
        return self._done(self.http.get(f"{JOBS.format(self.namespace)}/{name}"))

    def status(self, name: str, **status: Any) -> dict[str, Any]:
        return self._done(
            self.http.patch(
                f"{JOBS.format(self.namespace)}/{name}/status",
                content=json.dumps({"status": status}),
                headers={"Content-Type": "application/merge-patch+json"},
            )
        )

    def delete(self, name: str) -> None:
        self._done(self.http.delete(f"{JOBS.format(self.namespace)}/{name}"))

    def end(self, name: str, phase: str = "Succeeded", **attempt: Any) -> dict[str, Any]:
        """Record the end of a job after one attempt."""
        state = phase if phase in ("Succeeded", "Failed", "Canceled") else "Failed"
        recorded = {"id": "u.1", "number": 1, "state": state, "startedAt": NOW, "finishedAt": NOW, **attempt}
        return self.status(
            name, phase=phase, attempt=recorded, finishedAt=NOW, conditions=[condition("Finished", phase)]
        )

    @staticmethod
    def _done(response: httpx.Response) -> dict[str, Any]:
        assert response.is_success, response.text
        return dict(response.json())


def condition(kind: str, reason: str, message: str = "") -> dict[str, Any]:
    """A condition that is True."""
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": NOW}


def run_directory(home: Path, job: dict[str, Any], number: int = 1, output: bytes = b"") -> RunDir:
    """A run directory as the executor builds it, with some output."""
    runs = home / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    uid, metadata = job["metadata"]["uid"], job["metadata"]
    attempt = Attempt(
        id=f"{uid}.{number}",
        state_id="state",
        machine="machine",
        boot="boot",
        namespace=metadata["namespace"],
        job=metadata["name"],
        argv=("true",),
        env={},
        cwd="/",
        created_at=time.time(),
    )
    built = build(str(runs), attempt.id, {"attempt.json": attempt.to_bytes()})
    assert built is not None
    Path(built.output).write_bytes(output)
    return built


def end_run(directory: RunDir, code: int = 0) -> None:
    """The recorder's word that the attempt ended."""
    directory.write_exit(Exit(code=code))
