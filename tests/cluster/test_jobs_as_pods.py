"""BatchJobs that run as Pods, with a real controller and a real node (requirements 4.1, 4.2; issue 7, item 1)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hack.node.images import BUSYBOX
from tests.cluster.namespaces import serve_kinds
from tests.cluster.running_node import Cluster
from tests.eventually import eventually_sync
from tests.integration.controller.conftest import assert_no_defect
from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.running_controller import RunningController

IMAGE = {"image": BUSYBOX, "imagePullPolicy": "Never"}
LONG = "echo begun; sleep 1000"
Kubectl = Callable[..., Any]


@pytest.fixture(scope="session")
def pods_controller(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningController]:
    """A controller of jobs as Pods, on this machine, with the node's cluster."""
    serve_kinds(cluster)
    directory = tmp_path_factory.mktemp("pods-controller")
    settings = {
        "HOLDFAST_EXECUTORS": "Pod",
        "HOLDFAST_POD_OUTPUT": str(directory / "kept"),
        "HOLDFAST_START_TIMEOUT_SECONDS": "12",
    }
    made = RunningController(directory, cluster.kubeconfig, settings)
    yield made
    made.stop()


@pytest.fixture
def controller(pods_controller: RunningController) -> Iterator[RunningController]:
    since = pods_controller.log_size()
    pods_controller.ensure()
    yield pods_controller
    assert_no_defect(pods_controller, since)


@pytest.fixture(scope="session")
def http(cluster: Cluster) -> Iterator[httpx.Client]:
    """Plain HTTP to the node's API server as its administrator."""
    from controller.cli.access import load

    access = load(cluster.kubeconfig)
    with httpx.Client(
        base_url=access.server, verify=access.tls or True, headers=dict(access.headers), timeout=20, trust_env=False
    ) as made:
        yield made


@pytest.fixture
def jobs(http: httpx.Client, namespace: str) -> Jobs:
    return Jobs(http, namespace)


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
    eventually_sync(lambda: text in kept(controller, uid, number), 60, f"output {text!r}")


def test_success_and_its_output_after_the_pod(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """4.1, 4.2: the end, its code, the node; the output is kept and the Pod goes; nobody wrote more than he had to."""
    uid = run(jobs, "success", "echo out; sleep 0.3; echo err >&2")
    job = jobs.finished("success", "Succeeded")
    attempt = attempt_of(job)
    assert (attempt["executor"], attempt["exitCode"], attempt["reason"]) == ("Pod", 0, "Succeeded")
    assert attempt["startedAt"] and attempt["stateId"] == ""
    eventually_sync(lambda: not pods_of(kubectl, uid), 60, "the Pod is gone")
    assert kept(controller, uid) == b"out\nerr\n"
    assert job["status"]["output"]["location"].endswith(f"/{uid}.1/output.log")
    owners = json.loads(kubectl("get", "jobs", "--output=json").stdout)["items"][0]["metadata"]["ownerReferences"]
    assert [owner["uid"] for owner in owners] == [uid]


def test_exit_code(controller: RunningController, jobs: Jobs) -> None:
    """4.2"""
    uid = run(jobs, "seven", "echo no; exit 7")
    attempt = attempt_of(jobs.finished("seven", "Failed"))
    assert (attempt["exitCode"], attempt["reason"]) == (7, "NonZeroExitCode")
    printed(controller, uid, b"no\n")


def test_retry(controller: RunningController, jobs: Jobs) -> None:
    """2.4: each attempt is a Job of its own with its own output."""
    uid = run(jobs, "again", "echo $HOLDFAST_ATTEMPT; exit 3", retry={"limit": 1, "backoff": "1s"})
    job = jobs.finished("again", "Failed")
    assert attempt_of(job)["number"] == 2 and job["status"]["failures"] == 2
    for number in (1, 2):
        printed(controller, uid, f"{uid}.{number}\n".encode(), number)


def test_a_command_that_is_not_in_the_image(controller: RunningController, jobs: Jobs) -> None:
    """Bad input: Failed with the reason, not repeated."""
    jobs.create("nothing", "/no/such/command", pod=IMAGE, retry={"limit": 3})
    attempt = attempt_of(jobs.finished("nothing", "Failed"))
    assert (attempt["number"], attempt["reason"]) == (1, "CommandNotFound")
    assert "/no/such/command" in attempt["message"]


def test_an_image_that_does_not_exist(controller: RunningController, jobs: Jobs) -> None:
    """Bad input: seen while it waits, Failed with ImagePull after the limit of a start."""
    run(jobs, "no-image", "true", pod={"image": "holdfast.local/none:1"})
    jobs.phase("no-image", "Starting", reason="ImagePull")
    attempt = attempt_of(jobs.finished("no-image", "Failed"))
    assert attempt["reason"] == "ImagePull" and "holdfast.local/none:1" in attempt["message"]


def test_larger_than_any_node(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Bad input: it waits for as long as it takes, says why, and can be canceled."""
    uid = run(jobs, "large", "true", limits={"memory": "100Ti"})
    jobs.phase("large", "Starting", reason="Unschedulable")
    running = condition_of(jobs.get("large"), "Running")
    assert running is not None and "Insufficient memory" in running["message"]
    jobs.patch("large", {"cancel": True})
    jobs.finished("large", "Canceled")
    eventually_sync(lambda: not pods_of(kubectl, uid), 60, "the Pod is gone")


def test_quota(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Bad input: a quota that is used up holds it back, is told, and it goes on when there is room."""
    kubectl("create", "quota", "none", "--hard=pods=0")
    run(jobs, "held", "true")
    jobs.phase("held", "Starting", reason="QuotaExceeded", timeout=90)
    kubectl("delete", "quota", "none")
    jobs.finished("held", "Succeeded", timeout=110)


def test_cancel(controller: RunningController, jobs: Jobs) -> None:
    """2.4, 3.6: TERM, and what the command says to it is kept."""
    script = "trap 'echo bye; exit 5' TERM; echo begun; while :; do sleep 0.1; done"
    uid = run(jobs, "canceled", script, gracePeriod="20s")
    printed(controller, uid, b"begun")
    jobs.running("canceled")
    jobs.patch("canceled", {"cancel": True})
    attempt = attempt_of(jobs.finished("canceled", "Canceled"))
    assert attempt["exitCode"] == 5
    printed(controller, uid, b"bye")


def test_suspend_and_resume(controller: RunningController, jobs: Jobs) -> None:
    """2.4: suspending ends the attempt; resuming makes a new Job."""
    uid = run(jobs, "paused", "echo $HOLDFAST_ATTEMPT; case $HOLDFAST_ATTEMPT in *.1) sleep 1000;; esac")
    printed(controller, uid, f"{uid}.1".encode())
    jobs.running("paused")
    jobs.patch("paused", {"suspend": True})
    jobs.phase("paused", "Suspended")
    jobs.patch("paused", {"suspend": False})
    job = jobs.finished("paused", "Succeeded")
    assert attempt_of(job)["number"] == 2 and job["status"].get("failures", 0) == 0


def test_deadline(controller: RunningController, jobs: Jobs) -> None:
    """2.4"""
    run(jobs, "slow", LONG, deadline="3s")
    assert attempt_of(jobs.finished("slow", "Failed"))["reason"] == "DeadlineExceeded"


def test_out_of_memory(controller: RunningController, jobs: Jobs) -> None:
    """4.2"""
    run(jobs, "hungry", "tail /dev/zero", limits={"memory": "20Mi"})
    attempt = attempt_of(jobs.finished("hungry", "Failed"))
    assert (attempt["exitCode"], attempt["reason"]) == (137, "OOMKilled")


def test_environment_by_reference(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """3.7: Secrets reach the command and stay references everywhere else; what is missing is waited for."""
    env = [
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        {"name": "PLAIN", "value": "$(TOKEN) $$"},
    ]
    sources = [{"prefix": "P_", "configMapRef": {"name": "settings"}}]
    uid = run(jobs, "reader", 'echo "$PLAIN|$P_A|$(printf %s "$TOKEN" | md5sum)"', env=env, envFrom=sources)
    jobs.phase("reader", "Starting", reason="EnvironmentNotFound")
    jobs.config_map("settings", A="b")
    jobs.secret("keys", token="hunter2-7c")
    jobs.finished("reader", "Succeeded", timeout=110)
    printed(controller, uid, b"$(TOKEN) $$|b|")
    everything = kubectl("get", "jobs,events,batchjobs", "--output=json").stdout
    assert "hunter2-7c" not in everything and "hunter2-7c" not in controller.log.read_text()


def test_the_controller_is_killed_in_the_middle(controller: RunningController, jobs: Jobs) -> None:
    """3.3, 4.2: the attempt goes on, is taken up again, and its output has no gap."""
    uid = run(jobs, "survivor", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 1; done; exit 4")
    jobs.running("survivor")
    printed(controller, uid, b"2\n")
    controller.kill()
    controller.start()
    job = jobs.finished("survivor", "Failed")
    assert (attempt_of(job)["number"], attempt_of(job)["exitCode"]) == (1, 4)
    eventually_sync(lambda: kept(controller, uid).split() == b"1 2 3 4 5 6 7 8".split(), 60, "all of the output")


def test_the_status_is_wiped_while_it_runs(controller: RunningController, jobs: Jobs) -> None:
    """1.3: rebuilt from the Job, not started twice; also after the end and the Pod are gone."""
    uid = run(jobs, "wiped", "echo once; sleep 3; exit 6")
    jobs.running("wiped")
    jobs.wipe("wiped")
    assert attempt_of(jobs.finished("wiped", "Failed"))["exitCode"] == 6
    jobs.wipe("wiped")
    job = jobs.finished("wiped", "Failed")
    assert (attempt_of(job)["number"], attempt_of(job)["exitCode"]) == (1, 6)
    assert kept(controller, uid) == b"once\n"


def test_the_job_is_deleted_by_hand(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Faults: it is lost, and started again as onLost says."""
    uid = run(jobs, "deleted", "echo $HOLDFAST_ATTEMPT; case $HOLDFAST_ATTEMPT in *.1) sleep 1000;; esac")
    jobs.running("deleted")
    kubectl("delete", "jobs", f"--selector=holdfast.dev/job-uid={uid}")
    job = jobs.finished("deleted", "Succeeded", timeout=110)
    assert (attempt_of(job)["number"], job["status"]["losses"], job["status"].get("failures", 0)) == (2, 1, 0)


def test_the_pod_is_deleted_by_hand(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Faults: no second Pod of the same attempt; it is lost, not failed."""
    uid = run(jobs, "robbed", "echo $HOLDFAST_ATTEMPT; case $HOLDFAST_ATTEMPT in *.1) sleep 1000;; esac")
    jobs.running("robbed")
    kubectl("delete", "pods", f"--selector=holdfast.dev/job-uid={uid}", "--wait=false")
    job = jobs.finished("robbed", "Succeeded", timeout=110)
    assert (attempt_of(job)["number"], job["status"]["losses"], job["status"].get("failures", 0)) == (2, 1, 0)
    lost = job["status"]["history"][0]
    assert (lost["state"], lost["reason"]) == ("Lost", "PodDeleted")


def test_evicted(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """4.2: an eviction counts as lost, with its reason."""
    uid = run(jobs, "evicted", "echo $HOLDFAST_ATTEMPT; case $HOLDFAST_ATTEMPT in *.1) sleep 1000;; esac")
    jobs.running("evicted")
    name = pods_of(kubectl, uid)[0]["metadata"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name["name"]}}
    path = f"/api/v1/namespaces/{jobs.namespace}/pods/{name['name']}/eviction"
    assert jobs.http.post(path, json=eviction).is_success
    job = jobs.finished("evicted", "Succeeded", timeout=110)
    assert [old["reason"] for old in job["status"]["history"]] == ["Evicted"]
    assert job["status"]["losses"] == 1


def test_the_batchjob_is_deleted(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """7.6: its Job, Pod and output go."""
    uid = run(jobs, "dropped", LONG)
    printed(controller, uid, b"begun")
    jobs.delete("dropped")
    eventually_sync(lambda: not pods_of(kubectl, uid), 60, "the Pod is gone")
    eventually_sync(lambda: not kept(controller, uid), 60, "its output is gone")
    assert not json.loads(kubectl("get", "jobs", "--output=json").stdout)["items"]


def test_an_outside_queue_holds_it(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """4.1, issue 7 item 3: labels are passed on; a Job that somebody holds suspended is Waiting, and goes on."""
    run(jobs, "queued", "true", limits={"memory": "100Ti"}, pod={"labels": {"kueue.x-k8s.io/queue-name": "team"}})
    jobs.phase("queued", "Starting", reason="Unschedulable")
    found = json.loads(kubectl("get", "jobs", "--output=json").stdout)["items"][0]["metadata"]
    assert found["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    kubectl("patch", "job", found["name"], "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    jobs.phase("queued", "Waiting", reason="Suspended")
    jobs.patch("queued", {"cancel": True})
    jobs.finished("queued", "Canceled")


def holdfast(cluster: Cluster, jobs: Jobs, *arguments: str) -> subprocess.Popen[bytes]:
    """The command, as a user of the cluster who has nothing of the controller's."""
    argv = [sys.executable, "-m", "controller.cli.main", *arguments, f"--namespace={jobs.namespace}"]
    env = {**os.environ, "HOLDFAST_KUBECONFIG": str(cluster.kubeconfig), "HOLDFAST_HOME": "/nonexistent"}
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_logs(controller: RunningController, jobs: Jobs, cluster: Cluster, kubectl: Kubectl) -> None:
    """3.2, 4.2: the same command follows a Pod, from the first line to the last, and shows it once the Pod is gone."""
    uid = run(jobs, "told", "for i in 1 2 3 4 5; do echo line $i; sleep 1; done; printf end")
    following = holdfast(cluster, jobs, "logs", "-f", "told")
    output, errors = following.communicate(timeout=110)
    expected = b"line 1\nline 2\nline 3\nline 4\nline 5\nend"
    assert (following.returncode, output) == (0, expected), errors
    jobs.finished("told", "Succeeded")
    eventually_sync(lambda: not pods_of(kubectl, uid), 60, "the Pod is gone")
    again = holdfast(cluster, jobs, "logs", "--tail", "2", "told")
    assert again.communicate(timeout=60)[0] == b"line 5\nend"
