"""`holdfast restore` on the real API server, without a controller (requirement 7.10)."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from controller.api.restored import RESTORED, RESUMABLE
from tests.integration.controller.archived import COUNTS, everything, uid
from tests.integration.controller.jobs import GROUP, MERGE, Jobs, Object
from tests.integration.controller.restoring import PLURALS, Restore, all_of, check_jobs
from tests.running_plane import RunningPlane
from tests.unit.archives import archive


def names(jobs: Jobs) -> dict[str, set[str]]:
    return {kind: set(all_of(jobs, kind)) for kind in PLURALS}


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


def test_uids_are_not_those_of_the_archive(jobs: Jobs, restore: Restore, full: Path) -> None:
    """7.10: nothing in the cluster speaks of an old uid but ids of deliveries, which are hashes."""
    restore(str(full))
    for kind in PLURALS:
        for each in all_of(jobs, kind).values():
            assert uid(0)[:24] not in json.dumps(each), each["metadata"]["name"]
