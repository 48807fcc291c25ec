"""Pushes of jobs in Pods that are published upstream (issue 7.2; requirements 3.7, 4.1, 4.2, 5.4, 5.5)."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from controller.executors.pod import names
from controller.executors.process import identity
from controller.local import records
from hack.node import cgroups
from hack.node.layout import Node
from tests.cluster.jobs.shop import TOKEN, start
from tests.cluster.jobs.work import Kubectl, attempt_of, holdfast, kept, pods_of, printed
from tests.cluster.running_node import Cluster, up
from tests.eventually import eventually_sync
from tests.integration.controller.jobs import Jobs, condition_of
from tests.integration.controller.running_controller import RunningController
from tests.integration.repositories.homes import Upstream, git
from tests.integration.repositories.servers import Web

pytestmark = pytest.mark.timeout(600)

UPSTREAM = {"push": "Upstream"}
PUSH = "git commit -q --allow-empty -m mine && git push -q origin HEAD && echo pushed $(git rev-parse HEAD)"
LOOK = "env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; cat .git/config ../.origin.git/config; ls -aR /tmp"
# What git would run or believe if it worked in the repository that the command pushes to.
EVIL = """
printf '#!/bin/sh\\nenv >/workspace/ran; kill -9 1\\n' >/workspace/mark && chmod 755 /workspace/mark
mkdir -p ../.origin.git/hooks
for hook in pre-push reference-transaction pre-receive update post-update; do
  cp /workspace/mark ../.origin.git/hooks/$hook.later
done
cat >>../.origin.git/config <<'END'
[core]
\tsshCommand = /workspace/mark
\tfsmonitor = /workspace/mark
\thooksPath = /workspace/.origin.git/hooks
\talternateRefsCommand = /workspace/mark
\taskPass = /workspace/mark
[credential]
\thelper = !/workspace/mark
[http]
\tproxy = http://127.0.0.1:9
[url "http://127.0.0.1:9/"]
\tinsteadOf = http://
END
for hook in ../.origin.git/hooks/*.later; do mv $hook ${hook%.later}; done
cp ../.origin.git/config ~/.gitconfig; cp ../.origin.git/config /tmp/.gitconfig
"""


def at_remote(shop: Upstream) -> str:
    return git(shop.bare, "rev-parse", "main").stdout.strip()


def published(job: dict[str, Any]) -> tuple[str, str]:
    """Status and reason of its condition Published."""
    found = condition_of(job, "Published")
    assert found is not None, job["status"]
    return found["status"], found["reason"]


def test_published_as_on_a_host(
    controller: RunningController,
    jobs: Jobs,
    shop: Upstream,
    operator_image: str,
    kubectl: Kubectl,
    cluster: Cluster,
) -> None:
    """4.1, 5.5, 3.7: `git push origin HEAD` is published once it has succeeded; who comes next begins there."""
    begun = shop.head()
    uid = start(jobs, operator_image, "first", f"echo begun; sleep 2; {LOOK}; {PUSH}; exit 0", use=UPSTREAM)
    next_one = start(jobs, operator_image, "second", f"git rev-parse HEAD; {PUSH}", use=UPSTREAM)
    following = holdfast(cluster, jobs, "logs", "-f", "first")
    job = jobs.finished("first", "Succeeded")
    commit = job["status"]["repository"]["published"]
    assert published(job) == ("True", "Published") and job["status"]["repository"]["commit"] == begun
    assert (attempt_of(job)["exitCode"], attempt_of(job)["reason"]) == (0, "Succeeded")
    said, _ = following.communicate(timeout=120)
    assert following.returncode == 0 and said.startswith(b"begun\n") and f"pushed {commit}".encode() in said
    printed(controller, uid, f"pushed {commit}\n".encode())
    eventually_sync(lambda: kept(controller, uid) == said, 60, "what was followed is what is kept")
    after = jobs.finished("second", "Succeeded")
    assert after["status"]["repository"]["commit"] == commit
    assert at_remote(shop) == after["status"]["repository"]["published"]
    printed(controller, next_one, f"{commit}\n".encode())
    assert git(shop.bare, "rev-list", "--count", f"{begun}..main").stdout == "2\n"
    everything = kubectl("get", "jobs,pods,events,batchjobs,repositories,repositorylocks", "--output=json").stdout
    assert all(TOKEN not in text for text in (said.decode(), everything, controller.log.read_text()))
    eventually_sync(lambda: not pods_of(kubectl, uid), 120, "the Pod is gone")
    jobs.wipe("first")
    again = jobs.finished("first", "Succeeded")
    assert again["status"]["repository"]["published"] == commit and published(again) == ("True", "Published")


def test_what_is_not_published(
    controller: RunningController, jobs: Jobs, shop: Upstream, operator_image: str, kubectl: Kubectl
) -> None:
    """4.2, 5.5: of a command that fails, that pushes nothing, that does not exist; each has its own end."""
    before = at_remote(shop)
    start(jobs, operator_image, "fails", f"{PUSH}; exit 7", use=UPSTREAM)
    start(jobs, operator_image, "idle", "git commit -q --allow-empty -m mine", use=UPSTREAM)
    ended = jobs.finished("fails", "Failed")
    assert (attempt_of(ended)["exitCode"], attempt_of(ended)["reason"]) == (7, "NonZeroExitCode")
    assert condition_of(ended, "Published") is None
    ended = jobs.finished("idle", "Succeeded")
    assert not ended["status"]["repository"].get("published")
    pod = {"image": operator_image, "imagePullPolicy": "Never"}
    jobs.create("none", "/no/such/command", pod=pod, repository={"name": "shop", **UPSTREAM})
    assert attempt_of(jobs.finished("none", "Failed"))["reason"] == "CommandNotFound"
    greedy = "python3 -c 'x = bytearray(2000000000)'"
    start(jobs, operator_image, "greedy", greedy, use=UPSTREAM, limits={"memory": "64Mi"})
    assert attempt_of(jobs.finished("greedy", "Failed"))["reason"] == "OOMKilled"
    start(jobs, operator_image, "late", "sleep 1000", use=UPSTREAM, deadline="8s")
    assert attempt_of(jobs.finished("late", "Failed"))["reason"] == "DeadlineExceeded"
    assert at_remote(shop) == before


def test_the_remote_moved_on(controller: RunningController, jobs: Jobs, shop: Upstream, operator_image: str) -> None:
    """Issue 4: nothing is forced; the command's exit code stays what it was."""
    uid = start(jobs, operator_image, "behind", f"{PUSH}; echo waiting; sleep 20", use=UPSTREAM)
    printed(controller, uid, b"waiting")
    theirs = shop.commit({"theirs": "1\n"})
    job = jobs.finished("behind", "Failed")
    assert job["status"]["reason"] == "NonFastForward" and published(job) == ("False", "NonFastForward")
    assert attempt_of(job)["exitCode"] == 0 and at_remote(shop) == theirs


def test_canceled(
    controller: RunningController, jobs: Jobs, shop: Upstream, web: Web, operator_image: str, kubectl: Kubectl
) -> None:
    """2.4, 3.6: while the command runs, and while it is published: nothing is, and the lock is free."""
    before = at_remote(shop)
    script = f"{PUSH}; trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.1; done"
    uid = start(jobs, operator_image, "running", script, use=UPSTREAM, gracePeriod="20s")
    printed(controller, uid, b"begun")
    jobs.running("running")
    jobs.patch("running", {"cancel": True})
    assert attempt_of(jobs.finished("running", "Canceled"))["exitCode"] == 0
    printed(controller, uid, b"bye")
    uid = start(jobs, operator_image, "publishing", f"{PUSH}; echo waiting; sleep 20", use=UPSTREAM)
    printed(controller, uid, b"waiting")
    web.hang = True
    jobs.wait("publishing", "Published", "Unknown")
    jobs.patch("publishing", {"suspend": True})  # it has succeeded: that is too late
    jobs.patch("publishing", {"cancel": True})
    ended = attempt_of(jobs.finished("publishing", "Canceled"))
    web.hang = False
    assert "was not published: it was cut off" in ended["message"] and at_remote(shop) == before
    uid = start(jobs, operator_image, "after", "true")
    jobs.finished("after", "Succeeded")


def test_the_controller_is_killed_while_it_is_published(
    controller: RunningController, jobs: Jobs, shop: Upstream, web: Web, operator_image: str
) -> None:
    """2.6, 3.3, 5.4: the Pod goes on; one run, one push, and who waits gets the lock after it."""
    uid = start(jobs, operator_image, "survivor", f"{PUSH}; echo waiting; sleep 20", use=UPSTREAM)
    start(jobs, operator_image, "next", "true", use=UPSTREAM)
    printed(controller, uid, b"waiting")
    web.hang = True
    jobs.wait("survivor", "Published", "Unknown")
    controller.kill()
    assert not condition_of(jobs.get("next"), "LockGranted")
    web.hang = False
    commit = eventually_sync(lambda: at_remote(shop) != shop.head() and at_remote(shop), 90, "it is published")
    controller.start()
    job = jobs.finished("survivor", "Succeeded")
    assert (attempt_of(job)["number"], job["status"]["repository"]["published"]) == (1, commit)
    after = jobs.finished("next", "Succeeded")
    assert after["status"]["repository"]["commit"] == commit
    assert kept(controller, uid).count(b"pushed") == 1


def test_the_pod_is_gone_when_the_controller_is_back(
    controller: RunningController, jobs: Jobs, shop: Upstream, operator_image: str, kubectl: Kubectl
) -> None:
    """4.2, 5.5: its Job tells that it succeeded, nobody which commit it pushed; who comes next begins there."""
    uid = start(jobs, operator_image, "survivor", f"{PUSH}; echo waiting; sleep 4", use=UPSTREAM)
    start(jobs, operator_image, "next", "true", use=UPSTREAM)
    printed(controller, uid, b"waiting")
    jobs.running("survivor")
    controller.kill()
    mine = f"--selector={names.ATTEMPT_LABEL}={uid}.1"
    kubectl("wait", "jobs", mine, "--for=condition=Complete", "--timeout=90s")
    kubectl("delete", "pods", mine)
    commit = at_remote(shop)
    assert commit != shop.head()
    controller.start()
    job = jobs.finished("survivor", "Succeeded")
    assert published(job) == ("True", "CommitUnknown") and attempt_of(job)["number"] == 1
    assert jobs.finished("next", "Succeeded")["status"]["repository"]["commit"] == commit


def test_the_lock_is_taken_away(
    controller: RunningController, jobs: Jobs, shop: Upstream, operator_image: str, kubectl: Kubectl
) -> None:
    """5.4, 5.5: it runs on, and is not published; who got the lock meanwhile is."""
    uid = start(jobs, operator_image, "robbed", f"{PUSH}; echo waiting; sleep 45; echo done", use=UPSTREAM)
    start(jobs, operator_image, "heir", PUSH, use=UPSTREAM)
    printed(controller, uid, b"waiting")
    jobs.running("robbed")
    holder = jobs.get("shop", "repositories")["status"]["lock"]["holders"][0]
    jobs.patch(holder["claim"], {"forceRelease": holder["uid"]}, "repositorylocks")
    jobs.wait("robbed", "LockGranted", "False")
    job = jobs.finished("robbed", "Failed")
    assert job["status"]["reason"] == "StaleToken" and published(job) == ("False", "StaleToken")
    assert attempt_of(job)["exitCode"] == 0
    printed(controller, uid, b"done")
    after = jobs.finished("heir", "Succeeded")
    assert at_remote(shop) == after["status"]["repository"]["published"]
    assert git(shop.bare, "rev-list", "--count", f"{shop.head()}..main").stdout == "1\n"


def test_the_kubelet_is_killed_while_the_command_runs(
    controller: RunningController, jobs: Jobs, shop: Upstream, node: Node, operator_image: str
) -> None:
    """2.6: an init container is not begun again by the next kubelet; its end is published."""
    uid = start(jobs, operator_image, "steady", f"echo ran; sleep 40; {PUSH}", use=UPSTREAM)
    printed(controller, uid, b"ran")
    record = records.read(node.home.record("kubelet"))
    assert record is not None and record.process is not None and identity.send(record.process, signal.SIGKILL)
    up(node.path)
    job = jobs.finished("steady", "Succeeded")
    assert attempt_of(job)["number"] == 1 and job["status"]["repository"]["published"] == at_remote(shop)
    assert kept(controller, uid).count(b"ran\n") == 1


def test_all_processes_of_the_pod_are_killed(
    controller: RunningController, jobs: Jobs, shop: Upstream, node: Node, operator_image: str, kubectl: Kubectl
) -> None:
    """2.6, 4.2: also without its sandbox an init container of a Pod is not begun again, and nothing is published."""
    before = at_remote(shop)
    uid = start(jobs, operator_image, "struck", f"{PUSH}; echo ran; sleep 1000", use=UPSTREAM)
    printed(controller, uid, b"ran")
    pod = pods_of(kubectl, uid)[0]["metadata"]["uid"]
    for pid in cgroups.pids_of_pod(node.cgroup, pod):
        process = identity.of_pid(pid)
        assert process is None or identity.send(process, signal.SIGKILL)
    ended = jobs.finished("struck", "Failed")
    assert attempt_of(ended)["number"] == 1 and attempt_of(ended)["exitCode"] == 137
    assert kept(controller, uid).count(b"ran\n") == 1 and at_remote(shop) == before


def test_an_evil_workspace_gets_nothing(
    controller: RunningController, jobs: Jobs, shop: Upstream, web: Web, operator_image: str, kubectl: Kubectl
) -> None:
    """3.7: what the command leaves in configuration, hooks and homes is not run where the credentials are."""
    spy = {
        "name": "spy",
        "image": operator_image,
        "imagePullPolicy": "Never",
        "restartPolicy": "Always",
        "command": ["sh", "-c", "while :; do cat /workspace/ran /proc/[0-9]*/environ; sleep 0.2; done 2>/dev/null"],
        "volumeMounts": [{"name": "workspace", "mountPath": "/workspace"}],
    }
    template = {"spec": {"initContainers": [spy]}}
    script = f"{PUSH}; {EVIL}"
    uid = start(jobs, operator_image, "evil", script, use=UPSTREAM, pod={"template": template})
    printed(controller, uid, b"pushed")
    pod = pods_of(kubectl, uid)[0]["metadata"]["name"]
    spied = kubectl("logs", pod, "--container=spy", "--follow", timeout=120).stdout
    job = jobs.finished("evil", "Succeeded")
    assert job["status"]["repository"]["published"] == at_remote(shop) != shop.head()
    assert "HOLDFAST_ATTEMPT" not in spied and TOKEN not in spied and "HOLDFAST_GIT" not in spied
    assert web.passwords and TOKEN.encode() not in kept(controller, uid)


def test_what_a_pod_cannot_publish_is_refused(
    controller: RunningController, jobs: Jobs, shop: Upstream, operator_image: str, kubectl: Kubectl
) -> None:
    """4.1: with the field and the way out; nothing is made."""
    template = {"spec": {"containers": [{"name": "log", "image": operator_image}]}}
    uid = start(jobs, operator_image, "beside", "true", use=UPSTREAM, pod={"template": template})
    ended = jobs.finished("beside", "Failed")
    found = condition_of(ended, "Failed")
    assert ended["status"]["reason"] == "Unsupported" and found is not None
    assert found["message"].startswith("spec.pod.template.spec.containers[log]: ") and not pods_of(kubectl, uid)
