"""Jobs on repositories as Pods: the workspace, its credentials, the lock (issue 7.2; requirements 3.7, 5.3, 5.4)."""

from __future__ import annotations

import json
from pathlib import Path

from hack.node.layout import Node
from tests.cluster.jobs.shop import TOKEN, start
from tests.cluster.jobs.work import Kubectl, attempt_of, kept, pods_of, printed
from tests.eventually import eventually_sync
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.repositories import Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.repositories.homes import Upstream
from tests.integration.repositories.servers import Web, sshd

LOOK = """
echo commit $(git rev-parse HEAD) on $(git symbolic-ref --short HEAD) in $(pwd) with $(cat file)
echo $HOLDFAST_REPOSITORY $HOLDFAST_WORKSPACE token $HOLDFAST_LOCK_TOKEN
git commit -q --allow-empty -m mine && echo committed by $(git log -1 --format=%ae)
git push -q origin HEAD:main || echo not pushed
cat .git/config; env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; ls -a /tmp /workspace
echo looked; sleep 1000
"""


def test_the_workspace_and_its_credentials(
    controller: RunningController, jobs: Jobs, shop: Upstream, operator_image: str, kubectl: Kubectl
) -> None:
    """3.7, 5.3: the recorded commit in a checkout of its own; the credentials are nowhere that the command can look."""
    uid = start(jobs, operator_image, "looker", LOOK)
    printed(controller, uid, b"looked")
    job = jobs.running("looker")
    said, token = kept(controller, uid).decode(), attempt_of(job)["lockToken"]
    assert f"commit {shop.head()} on main in /workspace/shop with one\n" in said
    assert f"shop /workspace/shop token {token}\n" in said
    assert "committed by holdfast@localhost" in said and "not pushed" in said
    assert job["status"]["repository"]["commit"] == shop.head()
    pod = pods_of(kubectl, uid)[0]["metadata"]["name"]
    log = kubectl("logs", pod, "--container=workspace").stdout
    assert "Succeeded" in log
    everything = kubectl("get", "jobs,pods,events,batchjobs,repositories,repositorylocks", "--output=json").stdout
    assert all(TOKEN not in text for text in (said, log, everything, controller.log.read_text()))
    jobs.patch("looker", {"cancel": True})
    jobs.finished("looker", "Canceled")


def test_what_cannot_be_checked_out(
    controller: RunningController, jobs: Jobs, shop: Upstream, web: Web, operator_image: str, kubectl: Kubectl
) -> None:
    """5.2, issue 7 "Bad input": each says why, and the command does not begin."""
    uid = start(jobs, operator_image, "lost-ref", "true", use={"ref": "nowhere"})
    ended = attempt_of(jobs.finished("lost-ref", "Failed"))
    assert ended["reason"] == "RefNotFound" and "nowhere" in ended["message"]
    assert not pods_of(kubectl, uid)
    web.token = "another"
    start(jobs, operator_image, "refused", "true")
    ended = attempt_of(jobs.finished("refused", "Failed"))
    assert ended["reason"] == "AuthenticationFailed" and "credentialsRef" in ended["message"]
    web.token = TOKEN
    start(jobs, operator_image, "pusher", "true", use={"push": "Mirror"})
    assert jobs.finished("pusher", "Failed")["status"]["reason"] == "Unsupported"
    jobs.patch("shop", {"prepare": {"command": ["true"]}}, "repositories")
    start(jobs, operator_image, "prepared", "true")
    assert jobs.finished("prepared", "Failed")["status"]["reason"] == "Unsupported"


def test_never_two_at_once(controller: RunningController, jobs: Jobs, shop: Upstream, operator_image: str) -> None:
    """5.4: Exclusive holders one after the other, each with a larger token."""
    for name in ("first", "second"):
        start(jobs, operator_image, name, "sleep 3")
    first, second = (attempt_of(jobs.finished(name, "Succeeded")) for name in ("first", "second"))
    assert first["finishedAt"] <= second["startedAt"]
    assert first["lockToken"] < second["lockToken"]


def test_the_controller_is_killed_in_the_middle(
    controller: RunningController, jobs: Jobs, shop: Upstream, operator_image: str, kubectl: Kubectl
) -> None:
    """3.3, 5.4, 2.6: one run, which keeps its lock and its commit, also without a status."""
    begun = shop.head()
    uid = start(jobs, operator_image, "survivor", "echo at $(git rev-parse HEAD); sleep 30")
    waits = start(jobs, operator_image, "next", "echo at $(git rev-parse HEAD)")
    token = attempt_of(jobs.running("survivor"))["lockToken"]
    controller.kill()
    shop.commit({"file": "two\n"})
    jobs.wipe("survivor")
    controller.start()
    job = jobs.finished("survivor", "Succeeded")
    assert (attempt_of(job)["number"], attempt_of(job)["lockToken"]) == (1, token)
    assert job["status"]["repository"]["commit"] == begun
    printed(controller, uid, f"at {begun}\n".encode())
    follower = jobs.finished("next", "Succeeded")
    assert attempt_of(follower)["startedAt"] >= attempt_of(job)["finishedAt"]
    printed(controller, waits, f"at {follower['status']['repository']['commit']}\n".encode())
    selector = f"--selector=holdfast.dev/job-uid={uid}"
    eventually_sync(lambda: not pods_of(kubectl, uid), 120, "the Pod is gone")
    assert len(json.loads(kubectl("get", "jobs", selector, "--output=json").stdout)["items"]) == 1


def test_ssh(
    controller: RunningController, jobs: Jobs, tmp_path: Path, node: Node, operator_image: str, kubectl: Kubectl
) -> None:
    """3.7: key and known hosts are the Repository's; the job's user has a name in the image, which ssh asks for."""
    made = Upstream.make(tmp_path / "shop")
    head = made.commit({"file": "one\n"})
    repositories = Repositories(jobs, tmp_path)
    with sshd(tmp_path / "sshd", node.host_address) as server:
        jobs.secret("remote", sshKey=server.key, knownHosts=server.known_hosts)
        repositories.declare("shop", server.url(made.bare), credentialsRef={"name": "remote"})
        repositories.wait("shop", "Ready")
        uid = start(jobs, operator_image, "by-ssh", "git rev-parse HEAD; id -u; cat /proc/[0-9]*/environ; ls -aR /tmp")
        jobs.finished("by-ssh", "Succeeded")
    printed(controller, uid, f"{head}\n1000\n".encode())
    assert b"PRIVATE KEY" not in kept(controller, uid)
