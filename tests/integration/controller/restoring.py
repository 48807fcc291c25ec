"""`holdfast restore` as tests run it, and what every restore owes (requirement 7.10)."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.integration.controller.archived import everything
from tests.integration.controller.jobs import GROUP, Jobs, Object, condition_of
from tests.integration.controller.running_controller import ROOT

PLURALS = {
    "JobQueue": "jobqueues",
    "Repository": "repositories",
    "RepositoryLock": "repositorylocks",
    "JobBatch": "jobbatches",
    "Callback": "callbacks",
    "BatchJob": "batchjobs",
}
UNFINISHED = ("Queued", "Running", "Suspended")
# The command as it is, but that it stands still once all jobs are created, before the status of the first of them.
STANDS = """
import asyncio
from controller.cli.main import cli
from controller.recovery.restore.run import Restore
Restore._look_at_jobs = lambda self: asyncio.sleep(3600)
cli()
"""


@dataclass(frozen=True)
class Restore:
    """The command, with a kubeconfig and a state directory of its own."""

    home: Path
    kubeconfig: Path

    def start(self, *arguments: str, stands: bool = False) -> subprocess.Popen[str]:
        """Begin; with `stands` it never writes the status of a job."""
        env = {**os.environ, "HOLDFAST_HOME": str(self.home), "HOLDFAST_KUBECONFIG": str(self.kubeconfig)}
        program = ["-c", STANDS] if stands else ["-m", "controller.cli.main"]
        argv = [sys.executable, *program, "restore", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        child = self.start(*arguments)
        out, err = child.communicate(timeout=120)
        assert child.returncode == code, f"{out}\n{err}"
        return out + err


def all_of(jobs: Jobs, kind: str) -> dict[str, Object]:
    items = jobs.http.get(f"{GROUP}/{jobs.namespace}/{PLURALS[kind]}").json()["items"]
    return {each["metadata"]["name"]: each for each in items}


def archived(jobs: Jobs, marker: Path) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in everything(jobs.namespace, str(marker))["BatchJob"]}


def check_jobs(jobs: Jobs, marker: Path) -> None:
    """What every restore owes: all there, finished ones as they were, the others suspended in their old order."""
    before, now = archived(jobs, marker), all_of(jobs, "BatchJob")
    assert set(now) == set(before)
    for name, old in before.items():
        status, new = now[name]["status"], now[name]
        assert condition_of(new, "Restored"), name
        if old["status"]["phase"] in UNFINISHED:
            assert status["phase"] == "Suspended" and new["spec"]["suspend"] is True
            assert status.get("attempt", {}).get("state") in (None, "Lost")
        else:
            assert status["phase"] == old["status"]["phase"] and condition_of(new, "Finished")
            assert status["attempt"]["exitCode"] == old["status"]["attempt"]["exitCode"]
            assert status["attempt"]["id"] == f"{new['metadata']['uid']}.1"
    in_order = sorted(before, key=lambda name: before[name]["status"]["sequence"])
    sequences = [now[name]["status"]["sequence"] for name in in_order]
    assert sequences == sorted(sequences) and max(sequences) < 0
    assert len(set(sequences)) == len(sequences)
    assert not marker.exists(), f"started: {marker.read_text().split()}"
