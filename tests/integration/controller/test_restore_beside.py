"""`holdfast restore` beside a controller, or between two of its starts (requirement 7.10)."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx
import pytest

from controller.api.restored import RESUMABLE
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import GROUP, MERGE, Jobs, Object, condition_of
from tests.integration.controller.restoring import Restore, all_of, archived, check_jobs
from tests.integration.controller.running_controller import RunningController, same_process
from tests.integration.controller.test_queue import paused
from tests.integration.controller.test_snapshots import journal
from tests.integration.controller.waits import soon
from tests.running_plane import RunningPlane


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
