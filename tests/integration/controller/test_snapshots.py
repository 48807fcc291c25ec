"""Snapshots taken by a real controller (requirement 7.10)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from controller.errors import Terminal
from controller.recovery.archive.read import extract_audit, objects, verify
from controller.recovery.archive.write import file_sha256
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import GROUP, Jobs, Object, condition_of, found
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon

SNAPSHOTS = "snapshots"


@pytest.fixture(autouse=True)
def no_snapshots(plane_http: httpx.Client) -> Iterator[None]:
    """Retention counts those of all namespaces."""
    yield
    for each in plane_http.get("/apis/holdfast.dev/v1alpha1/snapshots").json()["items"]:
        meta = each["metadata"]
        plane_http.delete(f"{GROUP}/{meta['namespace']}/{SNAPSHOTS}/{meta['name']}")


def take(jobs: Jobs, name: str, **spec: object) -> Object:
    jobs.make(SNAPSHOTS, "Snapshot", name, spec=spec)
    return ended(jobs, name)


def ended(jobs: Jobs, name: str, condition: str = "Finished") -> Object:
    def look() -> Object | None:
        snapshot = jobs.get(name, SNAPSHOTS)
        now = condition_of(snapshot, condition)
        return snapshot if now is not None and now["status"] == "True" else None

    return found(soon(look, f"Snapshot {name} is {condition}"))


def test_apply_of_one_makes_one(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """7.10: all objects with their status at one version, no Secret; the status tells what is where."""
    jobs.secret("password", value="hunter2")
    jobs.queue("slow", concurrency=1)
    jobs.create("done")
    jobs.finished("done", "Succeeded")
    jobs.create("held", suspend=True)
    jobs.phase("held", "Suspended")
    status = take(jobs, "now", destination=str(tmp_path / "out"))["status"]
    assert status["phase"] == "Complete", status
    path = Path(status["location"])
    assert path.parent == tmp_path / "out" and path.stat().st_mode & 0o777 == 0o600
    assert (path.stat().st_size, file_sha256(path)) == (status["bytes"], status["sha256"])
    manifest = verify(path)
    assert manifest.id == status["archiveId"] and manifest.resource_version == status["resourceVersion"]
    assert dict(manifest.counts) == {each["kind"]: each["count"] for each in status["objects"]}
    ours = {
        (kind, each["metadata"]["name"]): each
        for kind, each in objects(path)
        if each["metadata"]["namespace"] == jobs.namespace
    }
    assert ours["BatchJob", "done"]["status"] == jobs.get("done")["status"]
    assert ours["JobQueue", "slow"]["spec"] == {"concurrency": 1, "paused": False}
    assert all(int(each["metadata"]["resourceVersion"]) <= int(manifest.resource_version) for each in ours.values())
    assert b"hunter2" not in path.read_bytes() and not any(kind == "Secret" for kind, _ in ours)
    soon(lambda: controller.metric("holdfast_snapshot_last_success_timestamp_seconds") > 0, "the gauge shows it")
    assert not (controller.home / "spool").exists()


def test_a_place_that_is_not_allowed_or_cannot_be_written(controller: RunningController, jobs: Jobs) -> None:
    """7.10: Failed with a message, and the controller goes on."""
    refused = take(jobs, "refused", destination="/etc/holdfast-backup")["status"]
    assert refused["phase"] == "Failed" and "HOLDFAST_SNAPSHOT_ALLOW" in refused["message"]
    assert condition_of({"status": refused}, "Failed")


def test_the_audit_journal_goes_with_it(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """7.10, 9.3: by the object's own wish; the archive gives it back as it was, and not over anything that is there."""
    jobs.create("done")
    uid = jobs.finished("done", "Succeeded")["metadata"]["uid"]
    soon(lambda: any(uid in line for line in journal(controller.home)), "the journal tells of it")
    path = Path(take(jobs, "with", includeAudit=True)["status"]["location"])
    assert "audit.jsonl" in extract_audit(path, tmp_path / "out")
    assert uid in (tmp_path / "out" / "audit.jsonl").read_text()
    with pytest.raises(Terminal):
        extract_audit(path, tmp_path / "out")
    assert extract_audit(Path(take(jobs, "without")["status"]["location"]), tmp_path / "none") == []


def test_killed_in_the_middle_it_is_taken_all_the_same(
    other_controller: OtherController, jobs: Jobs, plane_http: httpx.Client
) -> None:
    """7.10: the archive is whole or not there, and the next controller takes it."""
    controller = other_controller()
    controller.start()
    for number in range(40):
        jobs.create(f"held-{number}", suspend=True)
    jobs.make(SNAPSHOTS, "Snapshot", "cut", spec={})
    soon(lambda: (jobs.get("cut", SNAPSHOTS).get("status") or {}).get("phase"), "it has begun")
    controller.restart()
    status = ended(jobs, "cut", "Complete")["status"]
    assert verify(Path(status["location"])).id == status["archiveId"]
    assert [path.name for path in (controller.home / "snapshots").iterdir()] == [Path(status["location"]).name]


def test_several_at_once_are_taken_one_after_the_other(other_controller: OtherController, jobs: Jobs) -> None:
    """7.10: found by one start or applied together, each is taken once and gets an archive of its own.

    One that waits says so, and is taken when the one before it has ended.
    """
    controller = other_controller()
    controller.start()
    controller.kill()
    names = [f"snap-{number}" for number in range(4)]
    for name in names:
        jobs.make(SNAPSHOTS, "Snapshot", name, spec={})
    controller.start()
    for name in ("late-0", "late-1"):
        jobs.make(SNAPSHOTS, "Snapshot", name, spec={})
    names += ["late-0", "late-1"]
    done = {name: ended(jobs, name)["status"] for name in names}
    for name, status in done.items():
        assert (status["phase"], status["tries"]) == ("Complete", 1), (name, status)
        path = Path(status["location"])
        assert (path.stat().st_size, file_sha256(path)) == (status["bytes"], status["sha256"])
        assert verify(path).snapshot == f"{jobs.namespace}/{name}"
        assert {event["reason"] for event in jobs.events(name)} <= {"Complete"}
    assert len({status["archiveId"] for status in done.values()}) == len(names)
    soon(lambda: {(name, "Complete") for name in names} <= told(controller.home), "the audit journal tells of all")
    begun = [line["name"] for line in lines_about(controller.home) if line.get("to") == "Running"]
    assert sorted(begun) == sorted(names)
    pending = [line for line in lines_about(controller.home) if line.get("to") == "Pending"]
    assert {line["message"] for line in pending} == {"another one is being taken"} and len(pending) >= 3
    assert not (controller.home / "spool").exists()


def test_one_that_was_interrupted_waits_for_the_one_that_is_taken(
    other_controller: OtherController, jobs: Jobs
) -> None:
    """7.10: a start finds one Running and others: whichever comes first, each gets an archive of its own.

    What a killed controller left in the spool is gone afterwards.
    """
    controller = other_controller()
    controller.start()
    jobs.make(SNAPSHOTS, "Snapshot", "cut", spec={})
    soon(lambda: (jobs.get("cut", SNAPSHOTS).get("status") or {}).get("phase"), "it has begun")
    controller.kill()
    merge = {"Content-Type": "application/merge-patch+json"}
    running = {"status": {"phase": "Running", "conditions": None, "finishedAt": None}}  # as it was in the middle
    url = f"{GROUP}/{jobs.namespace}/{SNAPSHOTS}/cut/status"
    jobs.http.patch(url, content=json.dumps(running), headers=merge).raise_for_status()
    for left in ("packed", "no-such-uid/packed"):
        (controller.home / "spool" / left).parent.mkdir(parents=True, exist_ok=True)
        (controller.home / "spool" / left).write_bytes(b"left")
    names = ["cut", *(f"other-{number}" for number in range(3))]
    for name in names[1:]:
        jobs.make(SNAPSHOTS, "Snapshot", name, spec={})
    controller.start()
    for name in names:
        status = ended(jobs, name)["status"]
        assert (status["phase"], status["tries"]) == ("Complete", 2 if name == "cut" else 1), (name, status)
        assert verify(Path(status["location"])).snapshot == f"{jobs.namespace}/{name}"
        assert {event["reason"] for event in jobs.events(name)} <= {"Complete"}
    soon(lambda: not (controller.home / "spool").exists(), "the spool is gone")


def test_the_schedule_and_retention(
    other_controller: OtherController, jobs: Jobs, kubectl: Callable[..., object]
) -> None:
    """7.10: one at once when it is switched on, none twice over a restart; old ones go with their archives."""
    controller = other_controller(
        {
            "HOLDFAST_SNAPSHOT_SCHEDULE": "0 0 1 1 *",
            "HOLDFAST_SNAPSHOT_KEEP": "2",
            "HOLDFAST_NAMESPACE": jobs.namespace,
        }
    )
    controller.start()

    def names() -> list[str]:
        items = jobs.http.get(f"{GROUP}/{jobs.namespace}/{SNAPSHOTS}").json()["items"]
        return sorted(each["metadata"]["name"] for each in items)

    soon(lambda: len(names()) == 1 and names()[0].startswith("scheduled-"), "the schedule has one taken")
    scheduled = names()[0]
    kept = ended(jobs, scheduled, "Complete")
    controller.restart()
    soon(lambda: controller.metric("holdfast_snapshot_scheduled") == 1, "the gauge shows it")
    locations = {name: take(jobs, name)["status"]["location"] for name in ("a", "b", "c")}

    def tidy() -> bool:
        assert names() == ["b", "c", scheduled], names()
        return True

    soon(tidy, "only the newest two and the schedule's last one are left")
    assert not Path(locations["a"]).exists() and Path(locations["b"]).exists()
    assert Path(kept["status"]["location"]).exists()
    soon(lambda: told(controller.home) >= {("a", "Complete"), ("a", "Removed")}, "the audit journal tells of both")
    # Deleting the object leaves the backup.
    jobs.http.delete(f"{GROUP}/{jobs.namespace}/{SNAPSHOTS}/b").raise_for_status()
    assert Path(locations["b"]).exists()


def told(home: Path) -> set[tuple[str, str]]:
    """Name, and new phase or event, of each line about Snapshots in the audit journal."""
    return {(line["name"], line.get("to", line["event"])) for line in lines_about(home)}


def lines_about(home: Path) -> list[Object]:
    """The lines about Snapshots in the audit journal."""
    lines = map(json.loads, journal(home))
    return [line for line in lines if line["category"] == "snapshot"]


def journal(home: Path) -> list[str]:
    """The whole lines of the audit journal: it may be written just now, or not be there yet."""
    path = home / "audit" / "audit.jsonl"
    text = path.read_text() if path.exists() else ""
    return text.split("\n")[:-1]
