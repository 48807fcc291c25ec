"""Lost Pods whose attempt is resumed from a claim, on a real node (requirements 3.5, 4.2; issue 7, item 2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.node.layout import Node
from tests.cluster.jobs.work import Kubectl, attempt_of, pods_of, printed, run
from tests.eventually import eventually_sync
from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.repositories import Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.repositories.homes import Upstream
from tests.integration.repositories.servers import Web, serve

pytestmark = pytest.mark.timeout(900)

# Tells what it finds, leaves something half-done, and waits to be lost; the third attempt ends.
SCRIPT = """
echo "found $(ls draft 2>/dev/null || echo clean) $(cat $HOLDFAST_CHECKPOINT_DIR/step 2>/dev/null || echo none)" \
"${HOLDFAST_RESUMED_FROM:--} in $PWD"
case $HOLDFAST_ATTEMPT in *.3) exit 0;; esac
echo text >draft && echo "half of ${HOLDFAST_ATTEMPT##*.}" >$HOLDFAST_CHECKPOINT_DIR/step && echo half-done
sleep 1000
"""


@pytest.fixture
def claim(tmp_path: Path, node: Node, jobs: Jobs) -> Iterator[str]:
    """A PersistentVolumeClaim that is bound to a directory of this machine, which any user may write to."""
    directory = tmp_path / "volume"
    directory.mkdir()
    directory.chmod(0o777)
    core, name = "/api/v1", f"kept-{jobs.namespace}"
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    volume = {**common, "capacity": {"storage": "1Gi"}, "hostPath": {"path": str(directory)}}
    wanted = {**common, "volumeName": name, "resources": {"requests": {"storage": "1Gi"}}}
    volume["claimRef"] = {"namespace": jobs.namespace, "name": "kept"}
    for path, body in (
        (f"{core}/persistentvolumes", {"metadata": {"name": name}, "spec": volume}),
        (f"{core}/namespaces/{jobs.namespace}/persistentvolumeclaims", {"metadata": {"name": "kept"}, "spec": wanted}),
    ):
        answer = jobs.http.post(path, json=body)
        assert answer.is_success, answer.text
    yield "kept"
    jobs.http.delete(f"{core}/persistentvolumes/{name}")


def lose(jobs: Jobs, kubectl: Kubectl, uid: str, *, by_force: bool) -> None:
    """The Pod of the running attempt is evicted, or deleted by force."""
    name = next(pod["metadata"]["name"] for pod in pods_of(kubectl, uid) if pod["status"]["phase"] == "Running")
    if by_force:
        kubectl("delete", "pod", name, "--force", "--grace-period=0")
        return
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    assert jobs.http.post(f"/api/v1/namespaces/{jobs.namespace}/pods/{name}/eviction", json=eviction).is_success


def lose_twice(controller: RunningController, jobs: Jobs, kubectl: Kubectl, name: str, uid: str) -> dict[str, Any]:
    """Lose two attempts once they are half done; the job at its end."""
    for number, by_force in ((1, False), (2, True)):
        printed(controller, uid, b"half-done", number)
        eventually_sync(lambda n=number: attempt_of(jobs.running(name))["number"] == n, 120, "it is recorded")  # type: ignore[misc]
        lose(jobs, kubectl, uid, by_force=by_force)
    return jobs.finished(name, "Succeeded", timeout=240)


def test_resumed_from_a_claim(
    controller: RunningController,
    jobs: Jobs,
    tmp_path: Path,
    node: Node,
    claim: str,
    operator_image: str,
    kubectl: Kubectl,
) -> None:
    """3.5, 5.3: the same checkout of the recorded commit, with its uncommitted file, and the same checkpoints."""
    made = Upstream.make(tmp_path / "shop")
    begun = made.commit({"file": "one\n"})
    with serve(Web(tmp_path), node.host_address) as web:
        repositories = Repositories(jobs, tmp_path)
        repositories.declare("shop", f"{web.url}/shop/remote.git", refreshInterval="1h")
        repositories.wait("shop", "Ready")
        pod = {"image": operator_image, "imagePullPolicy": "Never", "workspaceClaim": claim}
        spec = {"pod": pod, "repository": {"name": "shop"}, "onLost": "Resume", "gracePeriod": "1s"}
        uid = uid_of(jobs.shell("job", f"git rev-parse HEAD; {SCRIPT}", **spec))
        printed(controller, uid, b"half-done")
        made.commit({"file": "two\n"})
        job = lose_twice(controller, jobs, kubectl, "job", uid)
    printed(controller, uid, f"{begun}\nfound clean none - in /workspace/shop\n".encode())
    printed(controller, uid, f"{begun}\nfound draft half of 1 1 in /workspace/shop\n".encode(), 2)
    printed(controller, uid, f"{begun}\nfound draft half of 2 2 in /workspace/shop\n".encode(), 3)
    attempt = attempt_of(job)
    assert (attempt["resumedFrom"], attempt["origin"], job["status"]["losses"]) == (2, 1, 2)
    assert job["status"]["repository"]["commit"] == begun
    assert [path.name for path in (tmp_path / "volume" / "holdfast").iterdir()] == [f"{uid}.1"]


def test_resumed_without_a_repository(controller: RunningController, jobs: Jobs, claim: str, kubectl: Kubectl) -> None:
    """3.5: its working directory is kept too, over a controller that is killed and a status that is wiped meanwhile."""
    uid = run(jobs, "job", SCRIPT, onLost="Resume", pod={"workspaceClaim": claim})
    printed(controller, uid, b"half-done")
    controller.kill()
    jobs.wipe("job")
    controller.start()
    job = lose_twice(controller, jobs, kubectl, "job", uid)
    for number, text in (
        (2, b"found draft half of 1 1 in /workspace\n"),
        (3, b"found draft half of 2 2 in /workspace\n"),
    ):
        printed(controller, uid, text, number)
    assert attempt_of(job)["origin"] == 1


def test_bad_claims(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """Issue 7, "Bad input": without a claim nothing can be resumed; one that is not there is waited for, by name."""
    run(jobs, "unkept", "true", onLost="Resume")
    ended = condition_of(jobs.finished("unkept", "Failed"), "Failed")
    assert ended is not None and ended["reason"] == "Unsupported" and "spec.pod.workspaceClaim" in ended["message"]
    run(jobs, "waits", "true", onLost="Resume", pod={"workspaceClaim": "nowhere"})
    job = jobs.phase("waits", "Starting", reason="Unschedulable")
    told = condition_of(job, "Running")
    assert told is not None and '"nowhere" not found' in told["message"]
    jobs.patch("waits", {"cancel": True})
    jobs.finished("waits", "Canceled")
