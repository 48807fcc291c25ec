"""Upgrade under load: the next version adopts what the old one left running, and reads its run directories.

The old version is an older commit, installed as a package of its own. Where the history does not reach back to it, as
in a shallow clone, it is the present tree under another number: then only the taking over is tested, not the formats.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.executors.process.identity import Identity, Verdict, compare
from controller.executors.process.rundir import RunDir
from controller.files import journal
from tests.e2e.installed import CHECKOUT, Installed, source_of
from tests.eventually import eventually_sync
from tests.running_plane import find_binaries, make_directory

OLD_COMMIT = "aa734a0"  # the first one whose users may be asked to upgrade
OLD, NEW = "0.0.1", "99.0.0"
SECONDS = 180.0
SHORT = [f"short-{number}" for number in range(5)]


@pytest.fixture
def installed() -> Iterator[Installed]:
    find_binaries(lambda text: print(text, file=sys.stderr))
    directory = make_directory()
    made = Installed(directory)
    made.install(source_of(OLD_COMMIT, directory / "old"), OLD)
    yield made
    made.holdfast("down", "--stop-jobs")
    shutil.rmtree(directory)


class Load:
    """Jobs that say when they begin, and end when a file appears."""

    def __init__(self, installed: Installed, directory: Path) -> None:
        self.installed = installed
        self.directory = directory

    def manifest(self, name: str, until: str, code: int = 0, **spec: Any) -> dict[str, Any]:
        wait = f"until [ -e {self.directory}/{until} ]; do sleep 0.1; done"
        script = f"echo {name} >>{self.directory}/starts; echo begun; {wait}; echo ends; exit {code}"
        spec |= {"command": ["/bin/sh", "-c", script]}
        return {"apiVersion": "holdfast.dev/v1alpha1", "kind": "BatchJob", "metadata": {"name": name}, "spec": spec}

    def apply(self, *objects: dict[str, Any]) -> None:
        path = self.directory / "objects.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        self.installed.kubectl("apply", "-f", str(path))

    def jobs(self) -> dict[str, dict[str, Any]]:
        found = json.loads(self.installed.kubectl("get", "batchjobs", "-o", "json"))["items"]
        return {job["metadata"]["name"]: job for job in found}

    def have(self, phase: str, *names: str) -> dict[str, dict[str, Any]]:
        """Wait until all of `names` are in `phase`; returns all jobs."""

        def look() -> dict[str, dict[str, Any]]:
            jobs = self.jobs()
            assert {jobs[name].get("status", {}).get("phase") for name in names} == {phase}
            return jobs

        return eventually_sync(look, SECONDS, f"{', '.join(names)}: {phase}")

    def run(self, job: dict[str, Any]) -> RunDir:
        return RunDir.of(str(self.installed.home / "runs"), f"{job['metadata']['uid']}.1")

    def processes(self, job: dict[str, Any]) -> tuple[Identity, Identity, Identity]:
        """Supervisor, recorder and command, as the run directory names them once it does.

        That the command may run is durable, and recorded, a moment before it runs.
        """
        run = self.run(job)

        def look() -> tuple[Identity, Identity, Identity]:
            supervisor, process = run.read_supervisor(), run.read_process()
            assert supervisor is not None and process is not None
            command = run.read_command(process)
            assert command is not None
            return supervisor, process.recorder, command

        return eventually_sync(look, SECONDS, f"{job['metadata']['name']} runs")

    def starts(self) -> list[str]:
        return (self.directory / "starts").read_text().split()


def built_by(installed: Installed) -> str:
    """The version that the running controller says it is."""
    url = json.loads((installed.home / "http.json").read_bytes())["url"]
    lines = httpx.get(f"{url}/metrics", timeout=60, trust_env=False).text.splitlines()
    return next(line for line in lines if line.startswith("holdfast_build_info{"))


@pytest.mark.timeout(900)
def test_upgrade_under_load(installed: Installed, tmp_path: Path) -> None:
    """Issue "Done when": install the next version, `down`, `up`: supervisors adopted, each job ends once and right."""
    load = Load(installed, tmp_path)
    installed.holdfast("up", "--detach", "--concurrency", "8")
    assert f'version="{OLD}"' in built_by(installed)
    load.apply(
        {
            "apiVersion": "holdfast.dev/v1alpha1",
            "kind": "JobQueue",
            "metadata": {"name": "short"},
            "spec": {"concurrency": 1},
        },
        load.manifest("long-0", "go"),
        load.manifest("long-7", "go", 7),
        load.manifest("between", "between", 5),
        *(load.manifest(name, "go", queue="short") for name in SHORT),
    )
    running = ("long-0", "long-7", "between", SHORT[0])
    jobs = load.have("Running", *running)
    before = {name: load.processes(jobs[name]) for name in running}

    installed.install(CHECKOUT, NEW)
    installed.holdfast("down")
    assert all(compare(process) is Verdict.SAME for processes in before.values() for process in processes)
    (tmp_path / "between").touch()
    eventually_sync(lambda: load.run(jobs["between"]).exists("exit.json"), SECONDS, "one ends between the versions")
    installed.holdfast("up", "--detach", "--concurrency", "8")
    assert f'version="{NEW}"' in built_by(installed)

    jobs = load.have("Failed", "between")
    for name in ("long-0", "long-7", SHORT[0]):
        assert jobs[name]["status"]["phase"] == "Running"
        assert load.processes(jobs[name]) == before[name]
        assert all(compare(process) is Verdict.SAME for process in before[name]), name
    assert load.starts().count(SHORT[0]) == 1 and SHORT[1] not in load.starts()
    load.apply(load.manifest("after", "go", 3))
    (tmp_path / "go").touch()
    load.have("Succeeded", "long-0", *SHORT)
    jobs = load.have("Failed", "long-7", "after", "between")

    codes = {name: job["status"]["attempt"]["exitCode"] for name, job in jobs.items()}
    assert codes == {"long-0": 0, "long-7": 7, "between": 5, "after": 3, **dict.fromkeys(SHORT, 0)}
    assert {job["status"]["attempt"]["number"] for job in jobs.values()} == {1}
    assert sorted(load.starts()) == sorted(jobs)
    assert [name for name in load.starts() if name in SHORT] == SHORT
    for name, job in jobs.items():
        assert installed.holdfast("logs", name) == "begun\nends\n"
        told = [entry["event"] for entry in journal.read(load.run(job).journal).entries]
        assert told.count("Launched") == 1 and "Attached" not in told, (name, told)
