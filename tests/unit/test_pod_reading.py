"""What Job and Pod prove about an attempt: every ending and every wait has a row (requirements 2.6, 4.2; design 7)."""

from __future__ import annotations

from typing import Any

import pytest

from controller.decisions.observed import Evidence
from controller.decisions.outcome import DISRUPTIONS, outcome
from controller.executors.pod import names
from controller.executors.pod.views import UNKNOWN
from tests.unit.pod_objects import COMPLETE, FAILED, RUNNING, Object, exited, job, moment, pod, seen, true, waits

STOP = {names.STOPPED: {"reason": "Canceled", "at": moment(-10)}}
VOID = {names.VOIDED: {"reason": "ImagePull", "message": "no such image", "at": moment(-10)}}
SAID = '{"reason": "RefNotFound", "message": "no such branch"}'
END = {names.ENDED: {"code": 7, "reason": "", "at": moment(-9), "startedAt": moment(-20)}}


def disrupted(reason: str) -> Object:
    return true("DisruptionTarget", reason, "because")


def made_by(state: Object) -> Object:
    """A Pod whose workspace's container is in this state."""
    return {"initContainerStatuses": [{"name": "workspace", "state": state}]}


ENDS: list[tuple[str, Object, Object | None, Evidence, int | None, str]] = [
    ("success", job(COMPLETE), pod("Succeeded", exited(0)), Evidence.ENDED, 0, ""),
    ("success, its Pod is gone", job(COMPLETE), None, Evidence.ENDED, 0, ""),
    ("failure", job(FAILED), pod("Failed", exited(7)), Evidence.ENDED, 7, ""),
    ("failure, its Pod is gone", job(FAILED, notes=END), None, Evidence.ENDED, 7, ""),
    ("out of memory", job(FAILED), pod("Failed", exited(137, "OOMKilled")), Evidence.ENDED, 137, "OOMKilled"),
    ("deadline", job(FAILED), pod("Failed", exited(143), reason="DeadlineExceeded"), Evidence.ENDED, 143,
     "DeadlineExceeded"),
    ("preempted", job(FAILED), pod("Failed", exited(143), disrupted("PreemptionByScheduler")), Evidence.ENDED, 143,
     "Preempted"),
    ("drained", job(FAILED), pod("Failed", exited(143), disrupted("EvictionByEvictionAPI")), Evidence.ENDED, 143,
     "Evicted"),
    ("evicted for the node", job(FAILED), pod("Failed", exited(137), disrupted("TerminationByKubelet"),
     reason="Evicted"), Evidence.ENDED, 137, "Evicted"),
    ("evicted for what it used", job(FAILED), pod("Failed", exited(137), reason="Evicted"), Evidence.ENDED, 137,
     "StorageLimitExceeded"),
    ("node gone", job(FAILED), pod("Failed", None, disrupted("DeletionByPodGC")), Evidence.ENDED, None, "NodeLost"),
    ("forgotten by containerd", job(FAILED), pod("Failed", exited(255, "Unknown")), Evidence.ENDED, None,
     "ExitCodeUnknown"),
    ("its own 255", job(FAILED), pod("Failed", exited(255)), Evidence.ENDED, 255, ""),
    ("forgotten, and canceled", job(notes=STOP), pod("Failed", exited(255, "Unknown"), deleted=-5), Evidence.ENDED,
     None, "Canceled"),
    ("node shut down", job(FAILED), pod("Failed", exited(143), disrupted("TerminationByKubelet"),
     reason="Terminated"), Evidence.ENDED, 143, "NodeShutdown"),
    ("deleted by hand", job(FAILED), pod("Failed", exited(143), deleted=-5), Evidence.ENDED, 143, "PodDeleted"),
    ("no such command", job(FAILED), pod("Failed", exited(128, "StartError", 'exec: "/x": stat /x: no such file or '
     "directory: unknown")), Evidence.NEVER_STARTED, None, "CommandNotFound"),
    ("no program", job(FAILED), pod("Failed", exited(128, "StartError", "exec format error")),
     Evidence.NEVER_STARTED, None, "NotExecutable"),
    ("refused by its kubelet", job(FAILED), pod("Failed", reason="OutOfcpu"), Evidence.NEVER_STARTED, None, ""),
    ("no workspace", job(FAILED), pod("Failed", waits("PodInitializing"), **made_by(exited(1, message=SAID))),
     Evidence.NEVER_STARTED, None, "RefNotFound"),
    ("no workspace, for want of memory", job(FAILED), pod("Failed", **made_by(exited(137, "OOMKilled"))),
     Evidence.NEVER_STARTED, None, "WorkspaceFailed"),
    ("evicted while its workspace was made", job(FAILED), pod("Failed", None, disrupted("EvictionByEvictionAPI"),
     **made_by(exited(143))), Evidence.ENDED, None, "Evicted"),
    ("a workspace, and no command", job(FAILED), pod("Failed", exited(7), **made_by(exited(0))), Evidence.ENDED, 7, ""),
    ("stopped", job(notes=STOP), pod("Failed", exited(143), deleted=-5), Evidence.ENDED, 143, "Canceled"),
    ("stopped, with a command that obeys", job(COMPLETE, notes=STOP), pod("Succeeded", exited(0)), Evidence.ENDED, 0,
     "Canceled"),
    ("stopped after it had ended", job(COMPLETE, notes=STOP), pod("Succeeded", exited(0, at=-20)), Evidence.ENDED, 0,
     ""),
    ("stopped, by a node's clock that is behind", job(FAILED, notes=STOP), pod("Failed", exited(143, at=-12),
     deleted=-5), Evidence.ENDED, 143, "Canceled"),
    ("stopped, and obeyed, by such a clock", job(FAILED, notes=STOP), pod("Failed", exited(0, at=-12), deleted=-5),
     Evidence.ENDED, 0, "Canceled"),
    ("ended while it was to be stopped", job(FAILED, notes=STOP), pod("Failed", exited(7, at=-20)), Evidence.ENDED, 7,
     ""),
    ("stopped, never seen again", job(notes=STOP), None, Evidence.ENDED, None, "Canceled"),
    ("voided", job(suspend=True, notes=VOID), None, Evidence.NEVER_STARTED, None, "ImagePull"),
    ("voided, and begun all the same", job(notes=VOID), pod("Failed", exited(3)), Evidence.ENDED, 3, "ImagePull"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "job", "pod", "evidence", "code", "reason"), ENDS, ids=[row[0] for row in ENDS])
def test_ends(name: str, job: Object, pod: Object | None, evidence: Evidence, code: int | None, reason: str) -> None:
    """4.2: evidence, exit code and reason."""
    found = seen(job, *([pod] if pod else []))
    assert found.exit is not None
    assert (found.evidence, found.exit.code, found.exit.reason, found.processes_left) == (evidence, code, reason, 0)


@pytest.mark.parametrize("reason", sorted(DISRUPTIONS))
def test_disruptions_are_losses(reason: str) -> None:
    """4.2: what took its place away counts as lost, not as failed."""
    by = {"Preempted": "PreemptionByScheduler", "Evicted": "EvictionByEvictionAPI", "NodeLost": "DeletionByPodGC"}
    of: dict[str, Any] = {"PodDeleted": {"deleted": -5}, "NodeShutdown": {"reason": "NodeShutdown"}}
    of["ExitCodeUnknown"] = {}
    ended = exited(255, "Unknown") if reason == "ExitCodeUnknown" else exited(143)
    conditions = () if reason in of else (disrupted(by.get(reason, "SomethingNew")),)
    found = outcome(seen(job(FAILED), pod("Failed", ended, *conditions, **of.get(reason, {}))), "")
    assert (found.state.value, found.reason) == ("Lost", reason)


WAITS: list[tuple[str, Object, Object | None, str, bool]] = [
    ("just made", job(), None, "", True),
    ("held by an outside queue", job(suspend=True), None, "Suspended", True),
    ("taken back by an outside queue", job(suspend=True), pod("Pending", deleted=1), "Suspended", True),
    ("deleted before it began", job(), pod("Pending", deleted=1), "", True),
    ("unschedulable", job(), pod("Pending", None, {"type": "PodScheduled", "status": "False",
     "reason": "Unschedulable", "message": "0/1 nodes"}), "Unschedulable", True),
    ("being created", job(), pod("Pending", waits("ContainerCreating")), "", True),
    ("no such image", job(), pod("Pending", waits("ImagePullBackOff", "not found")), "ImagePull", False),
    ("no such Secret", job(), pod("Pending", waits("CreateContainerConfigError", 'secret "s" not found')),
     "EnvironmentNotFound", True),
    ("an image of root", job(), pod("Pending", waits("CreateContainerConfigError", "image will run as root")),
     "CreateContainerConfigError", False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "job", "pod", "reason", "held"), WAITS, ids=[row[0] for row in WAITS])
def test_waits(name: str, job: Object, pod: Object | None, reason: str, held: bool) -> None:
    """4.1: what a launch waits for is told; what others have to end has no time limit."""
    found = seen(job, *([pod] if pod else []))
    assert (found.evidence, found.pending, found.held) == (Evidence.LAUNCHING, reason, held)


def test_a_running_pod_is_alive() -> None:
    """3.3: with the node that it runs on."""
    found = seen(job(), pod("Running", RUNNING))
    assert (found.evidence, found.supervised, found.stop_requested, found.host) == (
        Evidence.ALIVE,
        True,
        False,
        "node-1",
    )
    assert found.started_at is not None


@pytest.mark.parametrize(
    ("own", "state", "asked"),
    [
        (job(notes=STOP), pod("Running", RUNNING), False),
        (job(notes=STOP), pod("Running", RUNNING, deleted=20), True),
        (job(), pod("Running", RUNNING, deleted=20), True),
        (job(deletionTimestamp=moment(-1)), pod("Running", RUNNING), True),
        (None, pod("Running", RUNNING), False),
        (None, pod("Running", RUNNING, deleted=20), True),
    ],
)
def test_a_stop_is_asked_for_until_it_is_carried_out(own: Object | None, state: Object, asked: bool) -> None:
    """3.6: the note on the Job comes first; whoever finds only that, or no Job any more, has to stop the Pod."""
    found = seen(own, state)
    assert (found.evidence, found.stop_requested) == (Evidence.ALIVE, asked)


BEFORE = waits("PodInitializing")
BEGAN: list[tuple[str, Object, bool]] = [
    ("drained while its workspace was made", pod("Failed", BEFORE, disrupted("EvictionByEvictionAPI")), False),
    ("drained in mid-command", pod("Failed", exited(143), disrupted("EvictionByEvictionAPI")), True),
    ("shut down before it began", pod("Failed", BEFORE, reason="NodeShutdown"), False),
    ("too slow to begin", pod("Failed", BEFORE, reason="DeadlineExceeded"), False),
    ("node gone, told as waiting", pod("Failed", BEFORE, disrupted("DeletionByPodGC")), True),
    ("tainted, told as waiting", pod("Failed", BEFORE, disrupted("DeletionByTaintManager")), True),
    ("its container is not known any more", pod("Failed", exited(137, UNKNOWN)), True),
    ("evicted, and nothing told of its containers", pod("Failed", None, disrupted("EvictionByEvictionAPI")), True),
]


@pytest.mark.parametrize(("name", "state", "began"), BEGAN, ids=[row[0] for row in BEGAN])
def test_whether_the_command_was_let_go(name: str, state: Object, began: bool) -> None:
    """3.5: only what is proved never to have begun left nothing to resume."""
    found = seen(job(FAILED), state)
    assert (found.evidence, found.began) == (Evidence.ENDED, began)
    assert began or found.started_at is None


@pytest.mark.parametrize("closing", [true("FailureTarget"), true("SuccessCriteriaMet")])
def test_a_pod_that_is_over_is_not_the_end_of_the_job(closing: Object) -> None:
    """Design 7: the Job has to be closed: nothing short of its terminal condition keeps it from making a Pod."""
    assert seen(job(closing), pod("Failed", exited(1))).evidence is Evidence.ALIVE
    assert seen(job(), pod("Failed", exited(1))).evidence is Evidence.ALIVE


def test_a_job_that_failed_is_not_over_while_a_pod_may_run() -> None:
    """2.6: two never run at once."""
    assert seen(job(FAILED), pod("Running", RUNNING, deleted=5)).evidence is Evidence.ALIVE


@pytest.mark.parametrize("own", [job(), job(FAILED), job(notes=STOP), None])
def test_a_pod_on_a_node_that_does_not_answer_proves_nothing(own: Object | None) -> None:
    """Design 7: Unknown until the kubelet confirms it, whatever the Job says."""
    found = seen(own, pod("Running", RUNNING, deleted=-31))
    assert found.evidence is Evidence.UNKNOWN and "out-of-service" in found.message


def test_what_an_outside_queue_takes_away_is_ended_first() -> None:
    """Design 7: a started attempt's Job is never suspended and resumed: it is stopped before it counts as lost."""
    gone = pod("Failed", exited(143), deleted=-5)
    found = seen(job(suspend=True), last=gone)
    assert (found.evidence, found.processes_left) == (Evidence.GONE, 1)
    stopped = {names.STOPPED: {"reason": "Preempted", "at": moment(-1)}}
    after = seen(job(suspend=True, notes=stopped), last=pod("Failed", exited(143, at=-1), deleted=-5))
    assert outcome(after, "").state.value == "Lost"


def test_a_pod_that_never_began_tells_nothing_once_it_is_gone() -> None:
    """4.1: held back while it was pending: it still waits."""
    assert seen(job(suspend=True), last=pod("Pending", deleted=0)).pending == "Suspended"


def test_nothing_is_absent() -> None:
    """2.6"""
    assert seen(None).evidence is Evidence.ABSENT
    assert seen(None, last=pod("Failed", exited(1))).evidence is Evidence.ABSENT


def test_a_job_of_somebody_else_is_none_of_ours() -> None:
    """Design 7: AlreadyExists counts only with our owner and label; so does everything else."""
    assert seen(job(ownerReferences=[{"uid": "another"}])).evidence is Evidence.ABSENT
    assert seen(job(labels={names.ATTEMPT_LABEL: "x.1"})).evidence is Evidence.ABSENT


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"code": "x", "at": "yesterday"}', '{"code": 256}'])
def test_annotations_that_somebody_changed_break_nothing(text: str) -> None:
    """7.5"""
    own = job(FAILED)
    own["metadata"]["annotations"] = dict.fromkeys((names.ENDED, names.STOPPED, names.CARRIED), text)
    assert seen(own).evidence in (Evidence.ENDED, Evidence.GONE)
