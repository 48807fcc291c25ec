"""The node itself: what the other tests here stand on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

from hack.node.images import BUSYBOX
from tests.cluster.pods import Pods
from tests.cluster.running_node import Cluster

JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "greeting"},
    "spec": {
        "backoffLimit": 0,
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "main",
                        "image": BUSYBOX,
                        "imagePullPolicy": "Never",
                        "command": ["sh", "-c", "echo hello from $(hostname)"],
                    }
                ],
            }
        },
    },
}


def test_the_node_is_ready(cluster: Cluster) -> None:
    """Issue 7, "Tests on a real node": it takes Pods."""
    nodes = cluster.get("nodes")["items"]
    conditions = {condition["type"]: condition["status"] for condition in nodes[0]["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert not nodes[0]["spec"].get("taints")


def test_a_job_runs_and_its_log_is_read_through_the_api_server(
    cluster: Cluster, namespace: str, kubectl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Requirement 4: an attempt is a batch/v1 Job whose output is read through the API."""
    cluster.apply(JOB, namespace=namespace)
    kubectl("wait", "--for=condition=Complete", "job/greeting", "--timeout=120s", timeout=150)
    assert kubectl("logs", "job/greeting").stdout.startswith("hello from greeting-")


def test_a_pod_reaches_nothing_else_of_the_service_range(pods: Pods) -> None:
    """There is one rule and no kube-proxy: what the README says a test may count on."""
    assert pods.run("nc", "-w", "2", "10.0.0.2", "443").exit_code != 0


def test_the_exit_code_of_a_pod_is_seen(pods: Pods) -> None:
    """The helper tells how a container ended, and its output."""
    ended = pods.run("sh", "-c", "echo out; exit 3")
    assert (ended.exit_code, json.dumps(ended.output)) == (3, '"out\\n"')
