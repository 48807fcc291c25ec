"""Snapshots in a real object store (requirement 7.10)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controller.recovery.archive.read import verify
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import GROUP, Jobs, Object
from tests.integration.controller.running_controller import ROOT, RunningController, within
from tests.integration.controller.test_snapshots import SNAPSHOTS, ended, take
from tests.integration.controller.waits import PATIENCE, soon
from tests.object_store import SECRET, ObjectStore


@pytest.fixture(autouse=True)
def no_snapshots(plane_http: httpx.Client) -> Iterator[None]:
    """Retention counts those of all namespaces."""
    yield
    for each in plane_http.get("/apis/holdfast.dev/v1alpha1/snapshots").json()["items"]:
        meta = each["metadata"]
        plane_http.delete(f"{GROUP}/{meta['namespace']}/{SNAPSHOTS}/{meta['name']}")


def settings(store: ObjectStore, bucket: str, **more: str) -> dict[str, str]:
    return {**store.environment, "HOLDFAST_SNAPSHOT_DESTINATION": f"s3://{bucket}/backup", **more}


def said(jobs: Jobs, name: str, text: str) -> Object:
    """The status of a Snapshot that waits for its next try, once its message has `text`."""

    def look() -> Object | None:
        status: Object = jobs.get(name, SNAPSHOTS).get("status") or {}
        return status if text in str(status.get("message")) and status["phase"] == "Pending" else None

    found = soon(look, f"Snapshot {name} says {text!r}", 2 * PATIENCE)
    assert found is not None
    return found


def restore(controller: RunningController, store: ObjectStore, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "controller.cli.main", "restore", *arguments]
    environment = {**os.environ, **controller.settings, **store.environment}
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_taken_kept_and_restored(
    other_controller: OtherController, object_store: ObjectStore, jobs: Jobs, tmp_path: Path
) -> None:
    """7.10: whole in the bucket and nothing beside it; retention removes it, a deleted object leaves it; a damaged one
    is refused as a whole; credentials are nowhere, nor in the environment of a job (3.7)."""
    bucket = object_store.bucket()
    controller = other_controller(settings(object_store, bucket, HOLDFAST_SNAPSHOT_KEEP="2"))
    controller.start()
    job = jobs.shell("look", "env")
    jobs.finished("look", "Succeeded")
    assert b"AWS_" not in controller.output(job["metadata"]["uid"]) and SECRET.encode() not in controller.output(
        job["metadata"]["uid"]
    )
    status = {name: take(jobs, name)["status"] for name in ("a", "b", "c")}
    assert all(each["phase"] == "Complete" for each in status.values()), status

    def key(name: str) -> str:
        return str(status[name]["location"]).removeprefix(f"s3://{bucket}/")

    soon(lambda: set(object_store.objects(bucket)) == {key("b"), key("c")}, "retention removed the oldest")
    archive = object_store.objects(bucket)[key("c")]
    assert verify(archive).id == status["c"]["archiveId"] and not object_store.uploads(bucket)
    jobs.http.delete(f"{GROUP}/{jobs.namespace}/{SNAPSHOTS}/b").raise_for_status()

    jobs.http.delete(f"{GROUP}/{jobs.namespace}/batchjobs/look").raise_for_status()
    soon(lambda: not jobs.exists("look"), "the job is gone")
    dry = restore(controller, object_store, status["c"]["location"], "--dry-run")
    assert dry.returncode == 0 and "dry run" in dry.stdout and not jobs.exists("look"), dry.stderr
    done = restore(controller, object_store, status["c"]["location"])
    assert done.returncode == 0, done.stderr
    assert jobs.get("look")["status"]["phase"] == "Succeeded"
    assert key("b") in object_store.objects(bucket)

    archive.write_bytes(archive.read_bytes()[:-9] + b"?" * 9)
    damaged = restore(controller, object_store, status["c"]["location"], "--dry-run")
    assert damaged.returncode == 1 and "what was read is not what was stored" in damaged.stderr
    gone = restore(controller, object_store, f"s3://{bucket}/none")
    assert gone.returncode == 1 and f"there is no archive s3://{bucket}/none" in gone.stderr
    assert SECRET not in controller.log.read_text()
    assert controller.terminate() == 0


def test_a_store_that_is_wrong_or_away_heals(
    other_controller: OtherController, object_store: ObjectStore, jobs: Jobs
) -> None:
    """7.10: bucket missing, server away, server that says nothing: each is said with the field, others' work goes on,
    a stop is quick, and the Snapshot is taken once the cause is gone, without a restart and after one."""
    bucket = "not-there-yet"
    controller = other_controller(settings(object_store, bucket))
    controller.start()
    jobs.make(SNAPSHOTS, "Snapshot", "early", spec={})
    assert said(jobs, "early", "the bucket is not there")["message"].startswith("HOLDFAST_SNAPSHOT_DESTINATION: s3://")
    (object_store.buckets / bucket).mkdir()
    assert ended(jobs, "early", "Complete")["status"]["message"] == ""

    object_store.stop()
    jobs.make(SNAPSHOTS, "Snapshot", "away", spec={})
    said(jobs, "away", "Could not connect to the endpoint")
    object_store.start()
    ended(jobs, "away", "Complete")

    object_store.freeze()
    jobs.make(SNAPSHOTS, "Snapshot", "silent", spec={})
    soon(lambda: (jobs.get("silent", SNAPSHOTS).get("status") or {}).get("phase") == "Running", "it has begun")
    for number in range(12):
        jobs.create(f"beside-{number}")
    for number in range(12):
        jobs.finished(f"beside-{number}", "Succeeded")
    assert jobs.get("silent", SNAPSHOTS)["status"]["phase"] in ("Running", "Pending")
    within(30, controller.terminate)
    assert controller.child is not None and controller.child.returncode == 0
    controller.start()
    object_store.thaw()
    ended(jobs, "silent", "Complete")
    assert len(object_store.objects(bucket)) == 3


def test_killed_in_the_middle(other_controller: OtherController, object_store: ObjectStore, jobs: Jobs) -> None:
    """7.10: whole or not there; the next controller takes it, and nothing else is left."""
    bucket = object_store.bucket()
    controller = other_controller(settings(object_store, bucket))
    controller.start()
    object_store.freeze()
    jobs.make(SNAPSHOTS, "Snapshot", "cut", spec={})
    soon(lambda: (jobs.get("cut", SNAPSHOTS).get("status") or {}).get("phase") == "Running", "it has begun")
    assert controller.child is not None
    controller.child.send_signal(signal.SIGKILL)
    controller.child.wait(60)
    object_store.thaw()
    assert all(".tmp." in key for key in object_store.objects(bucket))
    controller.start()
    status = ended(jobs, "cut", "Complete")["status"]
    assert [f"s3://{bucket}/{key}" for key in object_store.objects(bucket)] == [status["location"]]


def test_credentials_in_an_address_are_refused_by_the_api_server(jobs: Jobs) -> None:
    """6.4, 7.10: so that they are never stored."""
    with pytest.raises((AssertionError, httpx.HTTPError), match="credentials do not belong into an address"):
        jobs.make(SNAPSHOTS, "Snapshot", "bad", spec={"destination": "s3://key:secret@bucket/x"})
