"""BatchJobs that run as Pods, and what is looked at of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hack.node.images import BUSYBOX
from tests.cluster.running_node import Cluster
from tests.eventually import eventually_sync
from tests.integration.controller.jobs import Jobs, uid_of
from tests.integration.controller.running_controller import RunningController

IMAGE = {"image": BUSYBOX, "imagePullPolicy": "Never"}
LONG = "echo begun; sleep 1000"
FIRST_IS_LONG = "echo $HOLDFAST_ATTEMPT; case $HOLDFAST_ATTEMPT in *.1) sleep 1000;; esac"
Kubectl = Callable[..., Any]


def run(jobs: Jobs, name: str, script: str, **spec: Any) -> str:
    """A BatchJob that runs a script as a Pod; returns its uid."""
    pod = {**IMAGE, **spec.pop("pod", {})}
    return uid_of(jobs.shell(name, script, **{"gracePeriod": "1s", "pod": pod, **spec}))


def attempt_of(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["status"]["attempt"])


def kept(controller: RunningController, uid: str, number: int = 1) -> bytes:
    """What was kept of an attempt's output."""
    path = Path(controller.settings["HOLDFAST_POD_OUTPUT"]) / f"{uid}.{number}" / "output.log"
    return path.read_bytes() if path.exists() else b""


def pods_of(kubectl: Kubectl, uid: str) -> list[dict[str, Any]]:
    found = kubectl("get", "pods", f"--selector=holdfast.dev/job-uid={uid}", "--output=json").stdout
    return list(json.loads(found)["items"])


def printed(controller: RunningController, uid: str, text: bytes, number: int = 1) -> None:
    eventually_sync(lambda: text in kept(controller, uid, number), 120, f"output {text!r}")


def holdfast(cluster: Cluster, jobs: Jobs, *arguments: str) -> subprocess.Popen[bytes]:
    """The command, as a user of the cluster who has nothing of the controller's."""
    argv = [sys.executable, "-m", "controller.cli.main", *arguments, f"--namespace={jobs.namespace}"]
    env = {**os.environ, "HOLDFAST_KUBECONFIG": str(cluster.kubeconfig), "HOLDFAST_HOME": "/nonexistent"}
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
