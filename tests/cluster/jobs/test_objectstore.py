"""Outputs of real Pods in a real object store (requirements 3.2, 3.7, 4.2)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.jobs.work import Kubectl, pods_of, run
from tests.cluster.running_node import Cluster
from tests.eventually import eventually_sync
from tests.integration.controller.conftest import assert_no_defect
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.running_controller import RunningController
from tests.object_store import SECRET, ObjectStore

pytestmark = pytest.mark.timeout(900)  # with the node's start, where it is the first


@pytest.fixture
def bucket(object_store: ObjectStore) -> str:
    return object_store.bucket()


@pytest.fixture
def storing(
    pods_controller: RunningController, cluster: Cluster, object_store: ObjectStore, bucket: str, tmp_path: Path
) -> Iterator[RunningController]:
    """A controller that keeps outputs in the bucket; the package's stands still meanwhile."""
    pods_controller.stop()
    settings = {
        **object_store.environment,
        "HOLDFAST_EXECUTORS": "Pod",
        "HOLDFAST_POD_OUTPUT": f"s3://{bucket}/output",
    }
    made = RunningController(tmp_path, cluster.kubeconfig, settings)
    made.start()
    yield made
    made.stop()
    assert_no_defect(made)
    assert SECRET not in made.log.read_text()


def logs(cluster: Cluster, jobs: Jobs, name: str, environment: dict[str, str]) -> tuple[bytes, str]:
    """What `holdfast logs` prints, and what it says about it."""
    argv = [sys.executable, "-m", "controller.cli.main", "logs", name, f"--namespace={jobs.namespace}"]
    own = {"HOLDFAST_KUBECONFIG": str(cluster.kubeconfig), "HOLDFAST_HOME": "/nonexistent"}
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    done = subprocess.run(argv, env={**clean, **own, **environment}, capture_output=True, timeout=120, check=False)
    return done.stdout, done.stderr.decode()


def test_kept_in_a_bucket(
    storing: RunningController,
    jobs: Jobs,
    kubectl: Kubectl,
    cluster: Cluster,
    object_store: ObjectStore,
    bucket: str,
) -> None:
    """4.2: the Pod goes once its output is there, `holdfast logs` reads it with the same environment.

    While the store is away the Pod stays and an Event says why; the Pod has none of our credentials (3.7); the output
    of a deleted job goes.
    """
    uid = run(jobs, "kept", "echo out; env")
    job = jobs.finished("kept", "Succeeded")
    key = f"output/{uid}.1/output.log"
    assert job["status"]["output"]["location"] == f"s3://{bucket}/{key}"
    eventually_sync(lambda: not pods_of(kubectl, uid), 180, "the Pod is gone")
    text = object_store.objects(bucket)[key].read_bytes()
    assert text.startswith(b"out\n") and b"AWS_" not in text and SECRET.encode() not in text
    assert logs(cluster, jobs, "kept", object_store.environment) == (text, "")
    without = {name: "" for name in object_store.environment if name.startswith("AWS_") and "KEY" in name}
    printed, said = logs(cluster, jobs, "kept", {**object_store.environment, **without})
    assert printed == b"" and "cannot be read from here" in said and "AWS_ACCESS_KEY_ID" in said, said

    object_store.stop()
    other = run(jobs, "waits", "echo later")
    jobs.finished("waits", "Succeeded")

    def told() -> bool:
        events = json.loads(kubectl("get", "events", "--output=json").stdout)["items"]
        return any(
            each["reason"] == "OutputNotKept" and each["message"].startswith("HOLDFAST_POD_OUTPUT: s3://")
            for each in events
        )

    eventually_sync(told, 180, "an Event says that the output is not kept")
    assert pods_of(kubectl, other)
    storing.restart()  # the store is still away: a start does not need it
    object_store.start()
    eventually_sync(lambda: not pods_of(kubectl, other), 120, "the Pod is gone")
    assert object_store.objects(bucket)[f"output/{other}.1/output.log"].read_bytes() == b"later\n"
    jobs.delete("kept")
    eventually_sync(lambda: key not in object_store.objects(bucket), 120, "the output of the deleted job is gone")
