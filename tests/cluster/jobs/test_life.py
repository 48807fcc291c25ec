"""A job's life as a Pod (requirements 2.4, 3.2, 3.6, 3.7, 4.1, 4.2)."""

from __future__ import annotations

import json

from hack.node.layout import Node
from tests.cluster.jobs.work import FIRST_IS_LONG, LONG, Kubectl, attempt_of, holdfast, kept, pods_of, printed, run
from tests.cluster.running_node import Cluster, audited
from tests.eventually import eventually_sync
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.running_controller import RunningController


def test_success_and_its_output_after_the_pod(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """4.1, 4.2: the end, its code, the node; the output is kept and the Pod goes; nobody wrote more than he had to."""
    uid = run(jobs, "success", "echo out; sleep 0.3; echo err >&2")
    job = jobs.finished("success", "Succeeded")
    attempt = attempt_of(job)
    assert (attempt["executor"], attempt["exitCode"], attempt["reason"]) == ("Pod", 0, "Succeeded")
    assert attempt["startedAt"] and attempt["stateId"] == ""
    eventually_sync(lambda: not pods_of(kubectl, uid), 120, "the Pod is gone")
    eventually_sync(lambda: kept(controller, uid) == b"out\nerr\n", 60, "its output is kept")
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
    uid = run(jobs, "paused", FIRST_IS_LONG)
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
    jobs.finished("reader", "Succeeded")
    printed(controller, uid, b"$(TOKEN) $$|b|")
    everything = kubectl("get", "jobs,events,batchjobs", "--output=json").stdout
    assert "hunter2-7c" not in everything and "hunter2-7c" not in controller.log.read_text()


def test_logs(controller: RunningController, jobs: Jobs, cluster: Cluster, kubectl: Kubectl) -> None:
    """3.2, 4.2: the same command follows a Pod, from the first line to the last, and shows it once the Pod is gone."""
    uid = run(jobs, "told", "for i in 1 2 3 4 5; do echo line $i; sleep 1; done; printf end")
    following = holdfast(cluster, jobs, "logs", "-f", "told")
    output, errors = following.communicate(timeout=240)
    expected = b"line 1\nline 2\nline 3\nline 4\nline 5\nend"
    assert (following.returncode, output) == (0, expected), errors
    jobs.finished("told", "Succeeded")
    eventually_sync(lambda: not pods_of(kubectl, uid), 120, "the Pod is gone")
    again = holdfast(cluster, jobs, "logs", "--tail", "2", "told")
    assert again.communicate(timeout=120)[0] == b"line 5\nend"


def test_writes_of_a_plain_job(controller: RunningController, jobs: Jobs, kubectl: Kubectl, node: Node) -> None:
    """10.1, issue 7 "Speed": what the controller writes for one job, Events apart."""
    uid = run(jobs, "plain", "sleep 1")
    jobs.finished("plain", "Succeeded")
    eventually_sync(lambda: not pods_of(kubectl, uid), 120, "the Pod is gone")
    writes = [
        (entry["verb"], entry["objectRef"]["resource"])
        for entry in audited(node.audit_log)
        if str(entry.get("userAgent")).startswith("holdfast-controller")
        and entry.get("objectRef", {}).get("namespace") == jobs.namespace
        and entry["verb"] in ("create", "patch", "update", "delete")
        and entry["objectRef"]["resource"] != "events"
    ]
    assert writes.count(("create", "jobs")) == 1
    assert len(writes) <= 6, writes
