"""What happens to a running attempt from outside (requirements 1.3, 3.3, 4.2, 7.6)."""

from __future__ import annotations

import json
import signal

import psutil

from controller.executors.process import identity
from controller.local import records
from hack.node import cgroups
from hack.node.layout import Node
from tests.cluster.jobs.work import FIRST_IS_LONG, LONG, Kubectl, attempt_of, kept, pods_of, printed, run
from tests.cluster.running_node import up
from tests.eventually import eventually_sync
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.running_controller import RunningController


def test_the_controller_is_killed_in_the_middle(controller: RunningController, jobs: Jobs) -> None:
    """3.3, 4.2: the attempt goes on, is taken up again, and its output has no gap."""
    uid = run(jobs, "survivor", "for i in $(seq 20); do echo $i; sleep 1; done; exit 4")
    jobs.running("survivor")
    printed(controller, uid, b"2\n")
    controller.kill()
    controller.start()
    job = jobs.finished("survivor", "Failed")
    assert (attempt_of(job)["number"], attempt_of(job)["exitCode"]) == (1, 4)
    eventually_sync(
        lambda: kept(controller, uid).split() == [b"%d" % n for n in range(1, 21)], 120, "all of the output"
    )


def test_the_status_is_wiped_while_it_runs(controller: RunningController, jobs: Jobs) -> None:
    """1.3: rebuilt from the Job, not started twice; also after the end and the Pod are gone."""
    uid = run(jobs, "wiped", "echo once; sleep 15; exit 6")
    jobs.running("wiped")
    jobs.wipe("wiped")
    assert attempt_of(jobs.finished("wiped", "Failed"))["exitCode"] == 6
    jobs.wipe("wiped")
    job = jobs.finished("wiped", "Failed")
    assert (attempt_of(job)["number"], attempt_of(job)["exitCode"]) == (1, 6)
    eventually_sync(lambda: kept(controller, uid) == b"once\n", 60, "its output is kept, of one run")


def test_the_job_is_deleted_by_hand(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Faults: it is lost, and started again as onLost says."""
    uid = run(jobs, "deleted", FIRST_IS_LONG)
    jobs.running("deleted")
    kubectl("delete", "jobs", f"--selector=holdfast.dev/job-uid={uid}")
    job = jobs.finished("deleted", "Succeeded")
    assert (attempt_of(job)["number"], job["status"]["losses"], job["status"].get("failures", 0)) == (2, 1, 0)


def test_the_pod_is_deleted_by_hand(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Faults: no second Pod of the same attempt; it is lost, not failed."""
    uid = run(jobs, "robbed", FIRST_IS_LONG)
    jobs.running("robbed")
    kubectl("delete", "pods", f"--selector=holdfast.dev/job-uid={uid}", "--wait=false")
    job = jobs.finished("robbed", "Succeeded")
    assert (attempt_of(job)["number"], job["status"]["losses"], job["status"].get("failures", 0)) == (2, 1, 0)
    lost = job["status"]["history"][0]
    assert (lost["state"], lost["reason"]) == ("Lost", "PodDeleted")


def test_the_container_runtime_forgets_it(
    controller: RunningController, jobs: Jobs, kubectl: Kubectl, node: Node
) -> None:
    """4.2: containerd was away while the command ended, and gives 255 for a code that nobody knows: it is lost."""
    uid = run(jobs, "forgotten", FIRST_IS_LONG)
    jobs.running("forgotten")
    printed(controller, uid, b"1\n")
    pids = cgroups.pids_of_pod(node.cgroup, pods_of(kubectl, uid)[0]["metadata"]["uid"])
    shims = {each.pid for pid in pids for each in psutil.Process(pid).parents() if "containerd-shim" in each.name()}
    record = records.read(node.home.record("containerd"))
    assert record is not None and record.process is not None and identity.send(record.process, signal.SIGKILL)
    for pid in (*shims, *pids):
        process = identity.of_pid(pid)
        assert process is None or identity.send(process, signal.SIGKILL)
    up(node.path)
    job = jobs.finished("forgotten", "Succeeded")
    assert shims and (attempt_of(job)["number"], job["status"]["losses"]) == (2, 1)
    lost = job["status"]["history"][0]
    assert (lost["state"], lost["reason"], lost.get("exitCode")) == ("Lost", "ExitCodeUnknown", None)


def test_evicted(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """4.2: an eviction counts as lost, with its reason."""
    uid = run(jobs, "evicted", FIRST_IS_LONG)
    jobs.running("evicted")
    name = pods_of(kubectl, uid)[0]["metadata"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name["name"]}}
    path = f"/api/v1/namespaces/{jobs.namespace}/pods/{name['name']}/eviction"
    assert jobs.http.post(path, json=eviction).is_success
    job = jobs.finished("evicted", "Succeeded")
    assert [old["reason"] for old in job["status"]["history"]] == ["Evicted"]
    assert job["status"]["losses"] == 1


def test_the_batchjob_is_deleted(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """7.6: its Job, Pod and output go."""
    uid = run(jobs, "dropped", LONG)
    printed(controller, uid, b"begun")
    jobs.delete("dropped")
    eventually_sync(lambda: not pods_of(kubectl, uid), 120, "the Pod is gone")
    eventually_sync(lambda: not kept(controller, uid), 60, "its output is gone")
    eventually_sync(
        lambda: not json.loads(kubectl("get", "jobs", "--output=json").stdout)["items"], 60, "its Job is gone"
    )
