"""The chart on a real node, as a user has it: installed, killed, upgraded, rolled back, uninstalled (issue 7.5)."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.node.images import BUSYBOX
from tests.cluster.installed import users_jobs
from tests.cluster.receiver import Receiver, receiving
from tests.cluster.release import CHART, NAME, NAMESPACE, Call, Release
from tests.cluster.running_node import PATIENT_SECONDS
from tests.eventually import eventually_sync
from tests.integration.controller.jobs import Jobs, uid_of
from tests.integration.controller.sinks import SECRET
from tests.integration.repositories.homes import Upstream
from tests.integration.repositories.servers import Web, serve

pytestmark = pytest.mark.timeout(PATIENT_SECONDS)

POD = {"image": BUSYBOX, "imagePullPolicy": "Never"}
LONG = "until [ -e /tmp/go ]; do sleep 0.2; done"
TAKE_OVER_SECONDS = 45.0  # lease 15 s, its last call 3 s; the machine may be busy
KILL_ALL = """import os
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) not in (1, os.getpid()):
        os.kill(int(name), 9)
"""

KINDS = ("callbacks", "jobbatches", "jobqueues", "repositories", "repositorylocks", "snapshots")
UNUSED: dict[Call, str] = {
    **{
        ("holdfast.dev", kind, "get"): "after a write that met a conflict, and when a re-check finds it newer"
        for kind in KINDS
    },
    ("holdfast.dev", "batchjobs", "get"): "whether the owner of what is left over is gone",
    ("", "events", "get"): "when an Event of that name is there, of an earlier controller",
    ("", "events", "patch"): "when the same is told again",
    ("", "events", "list"): "why a Job has no Pod: a quota, an admission webhook",
    ("batch", "jobs", "get"): "when a Job of that name is there: ours or somebody else's",
    ("", "pods", "patch"): "a Pod whose lock was taken away must not publish: tests/cluster/jobs/test_pushes.py",
    ("batch", "jobs", "delete"): "where output is kept outside the state directory, Jobs and Pods go at the end",
    ("holdfast.dev", "callbacks", "patch"): "a dead letter is no longer owned by its job",
    ("holdfast.dev", "callbacks", "delete"): "it is delivered and its job is gone",
    ("holdfast.dev", "recoveryreports", "get"): "after a write that met a conflict",
    ("holdfast.dev", "recoveryreports", "delete"): "those beyond the number that is kept",
    ("holdfast.dev", "jobbatches/status", "patch"): "a preparation that a person declares",
    ("holdfast.dev", "jobbatches", "delete"): "a preparation that nobody uses any more",
    ("holdfast.dev", "repositorylocks/status", "patch"): "a lock that a person claims",
    ("holdfast.dev", "repositorylocks", "delete"): "a claim of a job that is over, of a time when jobs ran on a host",
}
"""Granted, and not used by these tests: why it is granted nevertheless."""


@pytest.fixture(scope="module")
def receiver(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with receiving(release.node.host_address, tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture(scope="module")
def jobs(installed: Release) -> Iterator[Jobs]:
    with users_jobs(installed.cluster) as made:
        yield made


def start(jobs: Jobs, name: str, script: str = "true", **spec: Any) -> str:
    """A BatchJob as a Pod; returns its uid."""
    return uid_of(jobs.shell(name, script, **{"executor": "Pod", "gracePeriod": "1s", "pod": POD, **spec}))


def let_go(release: Release, jobs: Jobs, name: str) -> None:
    """Have a LONG job end."""
    selector = f"--selector=holdfast.dev/job={name}"
    namespace = f"--namespace={jobs.namespace}"
    pod = release.cluster.get("pods", selector, namespace)["items"][0]["metadata"]["name"]
    release.cluster.kubectl("exec", pod, namespace, "--", "touch", "/tmp/go")


def one_attempt(jobs: Jobs, name: str) -> None:
    """It ended well, and was never started a second time."""
    status = jobs.finished(name, "Succeeded")["status"]
    assert (status["attempt"]["number"], status.get("losses", 0), status.get("failures", 0)) == (1, 0, 0)


def test_one_command_and_the_next_one(installed: Release) -> None:
    """Issue 7.5: into an empty cluster; `helm test`, which NOTES name, has a job run to Complete."""
    installed.settled()
    notes = installed.run("get", "notes", NAME).stdout
    assert f"helm --namespace {NAMESPACE} test {NAME}" in notes
    assert "Succeeded" in installed.run("test", NAME, "--timeout=100s").stdout


def test_a_second_release_is_refused(installed: Release) -> None:
    """Faults: two releases on one cluster would both run each job."""
    done = installed.run("install", "second", str(CHART), check=False)
    assert done.returncode != 0
    assert f"release {NAME} in namespace {NAMESPACE} runs the BatchJobs of the whole cluster already" in done.stderr


def takes_over(release: Release, jobs: Jobs, before: str, name: str) -> None:
    """Another one leads and has a new job run; the old job goes on."""
    began = time.monotonic()
    eventually_sync(lambda: release.leader() not in ("", before), TAKE_OVER_SECONDS, "another one leads")
    print(f"another one led after {time.monotonic() - began:.1f} s")
    start(jobs, f"after-{name}")
    jobs.finished(f"after-{name}", "Succeeded")
    let_go(release, jobs, name)
    one_attempt(jobs, name)
    release.settled()


def test_the_leaders_pod_is_deleted_by_force(installed: Release, jobs: Jobs) -> None:
    """10.5: the standby takes over with what the cluster knows; the running job is adopted, not repeated."""
    installed.settled()
    start(jobs, "forced", LONG)
    jobs.running("forced")
    leader = installed.leader()
    installed.kubectl("delete", "pod", leader, "--force", "--grace-period=0")
    takes_over(installed, jobs, leader, "forced")


def test_the_leader_is_killed(installed: Release, jobs: Jobs) -> None:
    """10.5: SIGKILL, so that the Lease is not released."""
    installed.settled()
    start(jobs, "killed", LONG)
    jobs.running("killed")
    leader = installed.leader()
    installed.kubectl("exec", leader, "--", "python3", "-c", KILL_ALL, check=False)
    takes_over(installed, jobs, leader, "killed")


def test_upgrade_and_rollback_with_a_job_running(installed: Release, jobs: Jobs, tmp_path: Path) -> None:
    """Issue 7.5: to the next version of the chart and back; the job goes on through both."""
    installed.settled()
    newer = tmp_path / NAME
    shutil.copytree(CHART, newer)
    text = (newer / "Chart.yaml").read_text()
    (newer / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*", "version: 99.0.0", text))
    start(jobs, "through", LONG)
    jobs.running("through")
    before = set(installed.pods())
    installed.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={newer / 'crds'}")
    installed.run("upgrade", NAME, str(newer), "--reuse-values", "--wait", "--timeout=150s")
    installed.settled()
    assert not before & set(installed.pods()), "the new version's Pods"
    start(jobs, "upgraded")
    jobs.finished("upgraded", "Succeeded")
    installed.run("rollback", NAME, "1", "--wait", "--timeout=150s")
    installed.settled()
    start(jobs, "rolled-back")
    jobs.finished("rolled-back", "Succeeded")
    let_go(installed, jobs, "through")
    one_attempt(jobs, "through")


def test_the_rights_are_what_is_used(installed: Release, jobs: Jobs, receiver: Receiver) -> None:
    """Issue 7.5: the audit log knows no refused call, and of what is granted all is used but what is listed here."""
    installed.settled()
    exercise(installed, jobs, receiver)
    granted = installed.granted()
    assert set(UNUSED) <= granted, "listed, but not granted any more"

    def all_used() -> bool:
        used = {call for call, _ in installed.calls()}
        assert sorted(granted - used - set(UNUSED)) == []
        return True

    eventually_sync(
        all_used, 200, "every right is used: Snapshots are removed when the next one of the schedule is there"
    )
    assert sorted({call for call, _ in installed.calls()} - granted) == []
    assert not {call for call, code in installed.calls() if code == 403}


def exercise(release: Release, jobs: Jobs, receiver: Receiver) -> None:
    """Have the operator do what it can do; the tests before have had it do the rest."""
    jobs.queue("line", concurrency=1)
    jobs.secret("signing", key=SECRET)
    hook = {"name": "done", "url": f"{receiver.url}/hook", "secretRef": {"name": "signing", "key": "key"}}
    start(jobs, "told", "exit 3", queue="line", callbacks=[hook])
    jobs.finished("told", "Failed")
    eventually_sync(lambda: receiver.posted, 120, "the callback arrived")
    start(jobs, "stopped", "sleep 1000")
    jobs.running("stopped")
    jobs.patch("stopped", {"cancel": True})
    jobs.finished("stopped", "Canceled")
    start(jobs, "stuck", pod={**POD, "image": "holdfast.local/none:1"})
    jobs.phase("stuck", "Starting", reason="ImagePull")
    jobs.patch("stuck", {"cancel": True})
    jobs.make("repositories", "Repository", "project", spec={"url": f"{receiver.url}/project.git"})
    became(jobs, "repositories", "project", "Ready")
    start(jobs, "on-a-repository", "cat README", repository={"name": "project"})
    jobs.finished("on-a-repository", "Succeeded")
    start(jobs, "short-lived", ttlAfterFinished="1s")
    eventually_sync(lambda: not jobs.exists("short-lived"), 120, "the job is removed")
    for name in ("one", "two"):
        jobs.make("snapshots", "Snapshot", name, spec={})
        became(jobs, "snapshots", name, "Complete")


def became(jobs: Jobs, plural: str, name: str, phase: str) -> None:
    def look() -> bool:
        status = jobs.get(name, plural).get("status") or {}
        assert status.get("phase") == phase, status
        return True

    eventually_sync(look, 180, f"{name} is {phase}")


def test_the_container_restarts_in_the_middle_of_a_clone(installed: Release, jobs: Jobs, tmp_path: Path) -> None:
    """5.2, 3.3: the clone ended with the container's first process; with one replica the same Pod goes on, anew."""
    Upstream.make(tmp_path / "cut-off").commit({"file": "one\n"})
    installed.kubectl("scale", f"deployment/{NAME}", "--replicas=1")
    eventually_sync(lambda: list(installed.pods()) == [installed.leader()], TAKE_OVER_SECONDS, "one is left and leads")
    leader = installed.leader()
    with serve(Web(tmp_path, hang=True), installed.node.host_address) as web:
        jobs.make("repositories", "Repository", "cut-off", spec={"url": f"{web.url}/cut-off/remote.git"})
        became(jobs, "repositories", "cut-off", "Cloning")
        eventually_sync(lambda: web.requests, 120, "the clone waits for the server")
        installed.kubectl("exec", leader, "--", "python3", "-c", KILL_ALL, check=False)
        web.hang = False
        became(jobs, "repositories", "cut-off", "Ready")
    assert [*installed.pods()] == [leader]
    installed.kubectl("scale", f"deployment/{NAME}", "--replicas=2")
    installed.settled()


def test_uninstall_keeps_what_is_the_users(installed: Release, jobs: Jobs) -> None:
    """Issue 7.5: CRDs and objects stay, a running job too; installed anew, everything goes on."""
    start(jobs, "left", LONG)
    jobs.running("left")
    values = json.loads(installed.run("get", "values", NAME, "--output=json").stdout)
    installed.run("uninstall", NAME, "--wait", "--timeout=100s")
    crds = {each["metadata"]["name"] for each in installed.cluster.get("customresourcedefinitions")["items"]}
    assert {f"{path.stem}.holdfast.dev" for path in (CHART / "crds").glob("*.yaml")} <= crds
    assert jobs.get("left")["status"]["phase"] == "Running"
    roles = installed.cluster.kubectl("get", "clusterroles,clusterrolebindings", "--output=name").stdout
    assert "holdfast" not in roles
    installed.run("install", NAME, str(CHART), f"--set-json={_flat(values)}", "--wait", "--timeout=150s")
    installed.settled()
    let_go(installed, jobs, "left")
    one_attempt(jobs, "left")


def _flat(values: dict[str, Any]) -> str:
    return ",".join(f"{name}={json.dumps(value)}" for name, value in values.items())
