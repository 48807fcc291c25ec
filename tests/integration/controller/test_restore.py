"""`holdfast restore` on the real API server, with and without a controller (requirement 7.10)."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from controller.api.restored import RESTORED, RESUMABLE
from tests.integration.controller.archived import COUNTS, everything, uid
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import GROUP, MERGE, Jobs, Object, condition_of
from tests.integration.controller.running_controller import ROOT, RunningController, same_process
from tests.integration.controller.test_queue import paused
from tests.integration.controller.test_snapshots import journal
from tests.integration.controller.waits import soon
from tests.running_plane import RunningPlane
from tests.unit.archives import archive

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


@pytest.fixture
def restore(plane: RunningPlane, tmp_path: Path, controller_process: RunningController) -> Restore:
    """No controller runs: a test that wants one starts it, so that its account is of that test alone."""
    controller_process.stop()
    return Restore(tmp_path / "home", plane.kubeconfig)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What a job writes to when it is started."""
    return tmp_path / "started"


@pytest.fixture
def full(jobs: Jobs, tmp_path: Path, marker: Path) -> Iterator[Path]:
    """An archive of 110 jobs in all states and of all other kinds; what it brought is deleted afterwards."""
    path = tmp_path / "archive"
    archive(path, everything(jobs.namespace, str(marker)), namespaces=(jobs.namespace,))
    yield path
    for plural in PLURALS.values():
        jobs.http.delete(f"{GROUP}/{jobs.namespace}/{plural}")


def all_of(jobs: Jobs, kind: str) -> dict[str, Object]:
    items = jobs.http.get(f"{GROUP}/{jobs.namespace}/{PLURALS[kind]}").json()["items"]
    return {each["metadata"]["name"]: each for each in items}


def names(jobs: Jobs) -> dict[str, set[str]]:
    return {kind: set(all_of(jobs, kind)) for kind in PLURALS}


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


def asked_for(plane: RunningPlane, namespace: str) -> list[str]:
    """Jobs that a restore read one by one, by the API server's own account."""
    about = [
        each["objectRef"] for each in plane.audit() if each["verb"] == "get" and "restore" in each.get("userAgent", "")
    ]
    return [each["name"] for each in about if (each["resource"], each.get("namespace")) == ("batchjobs", namespace)]


def test_into_an_empty_cluster(jobs: Jobs, restore: Restore, full: Path, marker: Path, plane: RunningPlane) -> None:
    """7.10: objects and statuses come back; a second run has nothing left to do, and changes nothing."""
    said = restore(str(full))
    check_jobs(jobs, marker)
    assert "suspended: had not finished: 60" in said and "; its run directory is not here" in said
    assert "holdfast resume --restored --all-namespaces" in said
    repository = all_of(jobs, "Repository")["shop"]
    assert repository["status"]["statistics"] == {"operations": 7, "failed": 1} and "lock" not in repository["status"]
    assert set(all_of(jobs, "RepositoryLock")) == {"anna"}  # a released claim would claim again
    batch = all_of(jobs, "JobBatch")["shop-batch"]
    assert batch["metadata"]["ownerReferences"][0]["uid"] == repository["metadata"]["uid"]
    there = all_of(jobs, "BatchJob")
    callbacks = all_of(jobs, "Callback")
    assert Counter(each["status"]["phase"] for each in callbacks.values()) == {"Delivered": 1, "Pending": 1}
    for each in callbacks.values():
        job = there[each["spec"]["job"]["name"]]
        assert each["spec"]["job"]["uid"] == job["metadata"]["uid"] == each["metadata"]["ownerReferences"][0]["uid"]
        assert each["spec"]["id"] == job["status"]["deliveries"][0]["id"]
    assert sum(RESUMABLE in each["metadata"]["labels"] for each in there.values()) == 56  # 4 were a person's
    versions = {name: each["metadata"]["resourceVersion"] for name, each in there.items()}
    again = restore(str(full))
    assert "DONE BEFORE" in again and "CREATED" not in again and not asked_for(plane, jobs.namespace)
    assert versions == {name: each["metadata"]["resourceVersion"] for name, each in all_of(jobs, "BatchJob").items()}


def test_dry_run_writes_nothing(jobs: Jobs, restore: Restore, full: Path) -> None:
    """7.10: it verifies, and tells what would be done."""
    said = restore(str(full), "--dry-run")
    assert "nothing was written" in said and re.search(r"BatchJob +110", said)
    assert not any(names(jobs).values())


@pytest.mark.parametrize("damage", ["flip", "truncate", "newer"])
def test_what_is_not_whole_is_refused(jobs: Jobs, restore: Restore, full: Path, tmp_path: Path, damage: str) -> None:
    """7.10: verified first: nothing is written of a damaged archive, or of one that a newer version wrote."""
    data = full.read_bytes()
    bad = tmp_path / "bad"
    if damage == "flip":
        bad.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
    elif damage == "truncate":
        bad.write_bytes(data[:-100])
    else:
        archive(bad, everything(jobs.namespace, "/nowhere"), format=7, controller="99.0")
    said = restore(str(bad), code=1)
    assert ("format 7" in said and "99.0" in said) if damage == "newer" else "nothing was restored" in said
    assert "Traceback" not in said and not any(names(jobs).values())


@pytest.mark.parametrize("lines", [1, 2, 4, 6])
def test_interrupted_it_goes_on(jobs: Jobs, restore: Restore, full: Path, marker: Path, lines: int) -> None:
    """7.10: killed after so many lines of progress, and again; the same command ends it, and doubles nothing."""
    child = restore.start(str(full))
    assert child.stderr is not None
    for _ in range(lines):
        child.stderr.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)
    restore(str(full))
    check_jobs(jobs, marker)
    assert {kind: len(found) for kind, found in names(jobs).items()} == {
        "JobQueue": 1,
        "Repository": 1,
        "RepositoryLock": 1,
        "JobBatch": 1,
        "Callback": 2,
        "BatchJob": sum(COUNTS.values()),
    }


def test_beside_a_controller_nothing_that_finished_starts(
    controller: RunningController, jobs: Jobs, restore: Restore, full: Path, marker: Path
) -> None:
    """7.10: a controller sees every object between its creation and its status, and lets it be; killed in between too.

    Delivered callbacks are not sent again; the pending one is tried (and finds no Secret). Tokens only grow.
    """
    controller.start()
    child = restore.start(str(full), stands=True)
    soon(lambda: all_of(jobs, "BatchJob"), "jobs are being created")
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)
    half = [each for each in all_of(jobs, "BatchJob").values() if not condition_of(each, "Restored")]
    assert half
    assert not [each["metadata"]["name"] for each in half if (each.get("status") or {}).get("phase")]
    restore(str(full))
    soon(lambda: check_jobs(jobs, marker) or True, "all jobs are as they were")
    soon(lambda: condition_of(pending(jobs), "Delivered"), "the pending one is looked at")
    delivered = [each for each in all_of(jobs, "Callback").values() if each["status"]["phase"] == "Delivered"]
    assert len(delivered) == 1 and delivered[0]["status"]["attempts"] == 1
    soon(lambda: restored_by(controller) == 60, "the account of this start names them")
    controller.restart()
    soon(lambda: restored_by(controller) == 60, "and so does that of the next one")
    check_jobs(jobs, marker)
    assert all_of(jobs, "BatchJob").keys() == archived(jobs, marker).keys()


def restored_by(controller: RunningController) -> int:
    """How many jobs the account of the running controller's start calls restored, with their command."""
    status, page = controller.page("/startup-log")
    newest = page["items"][0] if status == 200 else {}
    commands = [each["command"] for each in newest.get("recommendedActions", ())]
    if "holdfast resume --restored --all-namespaces" not in commands:
        return 0
    return int(newest["counts"]["restored"])


def pending(jobs: Jobs) -> Object:
    return next(each for each in all_of(jobs, "Callback").values() if each["status"].get("phase") != "Delivered")


@pytest.mark.timeout(900)
def test_resumed_they_run_in_their_old_order(
    controller: RunningController, jobs: Jobs, restore: Restore, full: Path, marker: Path
) -> None:
    """7.10, 2.1: each of the 56 once, in the order of their old sequences, and before what is created later."""
    controller.start()
    restore(str(full))
    patch = {"spec": {"paused": True, "concurrency": 1}}
    url = f"{GROUP}/{jobs.namespace}/jobqueues/line"
    jobs.http.patch(url, content=json.dumps(patch), headers=MERGE).raise_for_status()
    soon(lambda: paused(jobs, "line") == "True", "the queue says that it is paused")
    for name, each in all_of(jobs, "BatchJob").items():
        if RESUMABLE in each["metadata"]["labels"]:
            jobs.patch(name, {"suspend": False})
    jobs.create("later", "/bin/sh", "-c", f"echo later >>{marker}", queue="line")
    jobs.phase("later", "Queued")  # and so all before it were seen: queues are told apart from jobs
    jobs.http.patch(url, content='{"spec": {"paused": false}}', headers=MERGE).raise_for_status()
    jobs.finished("later", "Succeeded", timeout=500)
    before = archived(jobs, marker)
    waiting = [each for each in before.values() if each["status"]["phase"] in ("Queued", "Running")]
    wanted = sorted(waiting, key=lambda each: each["status"]["sequence"])
    assert marker.read_text().split() == [str(int(e["metadata"]["name"][-3:])) for e in wanted] + ["later"]


def test_keep_and_replace(jobs: Jobs, restore: Restore, full: Path, marker: Path) -> None:
    """7.10: keep leaves what is there; replace takes the archive's, but never starts what finished or runs here."""
    jobs.queue("line", concurrency=9)
    jobs.create("queued-051", "/bin/sh", "-c", "theirs", queue="other", suspend=True)
    jobs.create("succeeded-001", "theirs", suspend=True)
    jobs.create("queued-052", "theirs", suspend=True)
    ended = {"phase": "Failed", "conditions": [_true("Failed"), _true("Finished")]}
    url = f"{GROUP}/{jobs.namespace}/batchjobs/queued-052/status"
    jobs.http.patch(url, content=json.dumps({"status": ended}), headers=MERGE).raise_for_status()
    said = restore(str(full))
    assert jobs.get("line", "jobqueues")["spec"]["concurrency"] == 9
    assert jobs.get("queued-051")["spec"]["command"] == ["/bin/sh", "-c", "theirs"]
    assert RESTORED not in (jobs.get("queued-051")["metadata"].get("labels") or {})
    assert "kept as the cluster has them: 4" in said
    again = restore(str(full), "--conflict", "replace")
    assert "it has finished here: finished jobs stay finished" in again
    assert jobs.get("line", "jobqueues")["spec"]["concurrency"] == 3
    replaced = jobs.get("queued-051")
    assert replaced["spec"]["queue"] == "line" and replaced["status"]["phase"] == "Suspended"
    assert jobs.get("succeeded-001")["status"]["phase"] == "Succeeded"  # the archive knows that it finished
    assert jobs.get("queued-052")["spec"]["command"] == ["theirs"]
    assert len(all_of(jobs, "BatchJob")) == sum(COUNTS.values())


def _true(kind: str) -> Object:
    moment = "2026-11-20T10:00:00Z"
    return {"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": moment}


def test_snapshot_wipe_restore(
    other_controller: OtherController, jobs: Jobs, plane: RunningPlane, tmp_path: Path, plane_http: httpx.Client
) -> None:
    """7.10: a real Snapshot; after the objects are gone and restored, the ended ones are ended and run once in all."""
    controller = other_controller()
    controller.start()
    marker = tmp_path / "ran"
    for number in range(3):
        jobs.shell(f"done-{number}", f"echo {number} >>{marker}")
    jobs.create("held", suspend=True)
    jobs.all_finished([f"done-{number}" for number in range(3)])
    jobs.phase("held", "Suspended")
    jobs.make("snapshots", "Snapshot", "now", spec={})
    status = soon(lambda: _complete(jobs), "it is taken")
    controller.stop()
    for plural in ("batchjobs", "snapshots"):
        jobs.http.delete(f"{GROUP}/{jobs.namespace}/{plural}").raise_for_status()
    Restore(controller.home, plane.kubeconfig)(status["location"])
    controller.start()
    told = [line for line in map(json.loads, journal(controller.home)) if line["name"] == status["archiveId"]]
    assert [line["event"] for line in told] == ["RestoreBegan", "RestoreEnded"] and told[1]["to"] == "Done"
    back = {name: jobs.finished(f"done-{name}", "Succeeded") for name in range(3)}
    assert all(each["status"]["attempt"]["exitCode"] == 0 for each in back.values())
    assert jobs.get("held")["status"]["phase"] == "Suspended"
    assert sorted(marker.read_text().split()) == ["0", "1", "2"]


def _complete(jobs: Jobs) -> Object | None:
    snapshot = jobs.get("now", "snapshots")
    return snapshot["status"] if condition_of(snapshot, "Complete") else None


def test_a_run_directory_that_is_here(
    other_controller: OtherController, jobs: Jobs, plane: RunningPlane, tmp_path: Path, marker: Path
) -> None:
    """7.10: an attempt that ended after the archive was taken is recorded as ended, one that still runs is left alone.

    The restored job does not start while the old attempt is alive, and its run directory is no orphan.
    """
    controller = other_controller()
    controller.start()
    go = tmp_path / "go"
    jobs.shell("ends", f"while ! [ -e {go} ]; do sleep 0.1; done; echo ended >>{marker}")
    jobs.shell("stays", f"echo started >>{marker}; sleep 600")
    running = {name: jobs.running(name) for name in ("ends", "stays")}
    soon(marker.exists, "the command of the other one has begun")
    jobs.make("snapshots", "Snapshot", "now", spec={})
    location = soon(lambda: _complete(jobs), "it is taken")["location"]
    controller.stop()
    go.touch()
    ends = controller.run(running["ends"]["metadata"]["uid"])
    soon(ends.read_exit, "the attempt has ended")
    jobs.http.delete(f"{GROUP}/{jobs.namespace}/batchjobs").raise_for_status()
    said = Restore(controller.home, plane.kubeconfig)(location)
    assert "still runs here" in said and "ended since the archive was taken" in said and "Succeeded" in said
    assert jobs.get("ends")["status"]["phase"] == "Succeeded"
    assert jobs.get("stays")["status"]["phase"] == "Suspended"
    controller.start()
    jobs.patch("stays", {"suspend": False})
    jobs.phase("stays", "Queued", reason="RestoredAttemptRuns")
    assert same_process(controller.command(running["stays"]["metadata"]["uid"]))
    assert marker.read_text().split() == ["started", "ended"]


def test_uids_are_not_those_of_the_archive(jobs: Jobs, restore: Restore, full: Path) -> None:
    """7.10: nothing in the cluster speaks of an old uid but ids of deliveries, which are hashes."""
    restore(str(full))
    for kind in PLURALS:
        for each in all_of(jobs, kind).values():
            assert uid(0)[:24] not in json.dumps(each), each["metadata"]["name"]
