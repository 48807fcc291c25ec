"""Jobs that cannot start as Pods, or not yet: each says why (issue 7, "Bad input")."""

from __future__ import annotations

import json

import httpx

from hack.node.images import BUSYBOX
from tests.cluster.jobs.work import IMAGE, LONG, Kubectl, attempt_of, pods_of, printed, run
from tests.eventually import eventually_sync
from tests.integration.controller.jobs import Jobs, condition_of
from tests.integration.controller.running_controller import RunningController
from tests.outside_queue import OutsideQueue


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
    eventually_sync(lambda: not pods_of(kubectl, uid), 120, "the Pod is gone")


def test_quota(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Bad input: a quota that is used up holds it back, is told, and it goes on when there is room."""
    kubectl("create", "quota", "none", "--hard=pods=0")
    run(jobs, "held", "true")
    jobs.phase("held", "Starting", reason="QuotaExceeded")
    kubectl("delete", "quota", "none")
    jobs.finished("held", "Succeeded")


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


def test_an_outside_queue_limits_in_place_of_the_jobqueue(
    controller: RunningController, jobs: Jobs, kubectl: Kubectl, http: httpx.Client
) -> None:
    """Issue 7, item 3: no slot is taken and none is waited for; what runs in the end is not over the JobQueue's limit
    of those that it does limit (2.3)."""
    team = OutsideQueue(http, jobs.namespace)
    team.install()
    jobs.queue("one", concurrency=1)
    uid = run(jobs, "holds", LONG, queue="one")
    jobs.running("holds")
    named = {"pod": {"labels": {"kueue.x-k8s.io/queue-name": "team"}}, "queue": "one"}
    for name in ("first", "second"):
        run(jobs, name, "echo let go", **named)
    run(jobs, "next", "true", queue="one")
    for name in ("first", "second"):
        jobs.phase(name, "Waiting", reason="Suspended")
    eventually_sync(lambda: team.held() == {"first": "team", "second": "team"}, 60, "both are held")
    for name in ("second", "first"):
        team.let_go(name)
        jobs.finished(name, "Succeeded")
    assert jobs.phase("next", "Queued")["status"].get("attempt") is None
    assert jobs.get("holds")["status"]["phase"] == "Running" and len(pods_of(kubectl, uid)) == 1
    jobs.patch("holds", {"cancel": True})
    jobs.finished("next", "Succeeded")
    team.remove()


def test_pod_security_restricted(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Issue 7, item 2: a job needs nothing that a namespace of the strictest profile does not admit."""
    kubectl("label", "namespace", jobs.namespace, "pod-security.kubernetes.io/enforce=restricted")
    uid = run(jobs, "strict", 'id -u; pwd; touch "$HOME/file" && ls /var/run/secrets')
    jobs.finished("strict", "Failed")
    printed(controller, uid, b"1000\n/home/job\n")
    printed(controller, uid, b"No such file")  # no token is mounted


def test_a_name_that_belongs_to_somebody_else(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Design 7: a Job of that name counts only with our owner and label; it is left alone."""
    uid = run(jobs, "taken", "true", suspend=True)
    name = f"taken-{uid[:8]}-1"
    kubectl("create", "job", name, f"--image={BUSYBOX}", "--", "sleep", "1000")
    jobs.patch("taken", {"suspend": False})
    attempt = attempt_of(jobs.finished("taken", "Failed"))
    assert attempt["reason"] == "NameConflict" and f"{jobs.namespace}/{name}" in attempt["message"]
    assert kubectl("get", "job", name, check=False).returncode == 0


def test_an_admission_that_refuses(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Bad input: what the API server will not have as a Job ends it, with the field that it names."""
    template = {"spec": {"containers": [{"name": "main", "volumeMounts": [{"name": "none", "mountPath": "/x"}]}]}}
    run(jobs, "refused", "true", pod={"template": template})
    attempt = attempt_of(jobs.finished("refused", "Failed"))
    assert "volumeMounts" in attempt["message"]
