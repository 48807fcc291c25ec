"""A Pod that publishes what its command pushed: how it is declared, and what it proves (3.7, 4.2, 5.4, 5.5)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.api.batchjob_status import AttemptState
from controller.api.pod_use import PodUse
from controller.decisions.inputs import StepState
from controller.decisions.observed import Evidence, Observation, Publication
from controller.decisions.outcome import outcome
from controller.executors.base import AttemptId, LaunchSpec, Limits, PodClaim, PodRequest, PodSetup
from controller.executors.pod import names
from controller.executors.pod.ends import to_note
from controller.executors.pod.manifest import job_of
from controller.reconcile.pod_pushes import publication_step
from tests.unit.pod_objects import (
    COMPLETE,
    FAILED,
    RUNNING,
    Object,
    exited,
    job,
    moment,
    pod,
    seen,
    true,
    waits,
)

COMMIT = "c" * 40
WORKSPACE = PodSetup("git:1", ("python3", "checkout"), "/workspace", "creds", {"T": ("token", False)})
PUBLISH = PodSetup("git:1", ("python3", "$(X)"), "/workspace", "creds", {"T": ("token", False)})
SIDECAR = {"name": "proxy", "image": "b", "restartPolicy": "Always"}


def declared(template: Object | None = None, claim: PodClaim | None = None, **use: Any) -> Object:
    """The Pod of a job whose push is published."""
    given = PodUse.model_validate({"image": "a", "template": {"spec": template or {}}, **use})
    spec = LaunchSpec(AttemptId("0f1e2d3c-1", 1), "n", "build", ["x"], limits=Limits(deadline_seconds=60))
    made: Object = job_of(spec, PodRequest(given, setup=WORKSPACE, publish=PUBLISH, claim=claim))["spec"]["template"][
        "spec"
    ]
    return made


def test_the_command_comes_before_its_publication() -> None:
    """5.5: init containers run one after the other, and one that fails ends the Pod; the author's come before ours."""
    made = declared(
        {"initContainers": [SIDECAR, {"name": "main", "image": "evil"}, {"name": "publish", "image": "evil"}]}
    )
    assert [one["name"] for one in made["initContainers"]] == ["workspace", "proxy", "main"]
    assert [one["name"] for one in made["containers"]] == ["publish"]
    assert (made["initContainers"][-1]["image"], made["initContainers"][-1]["command"]) == ("a", ["x"])
    assert (made["restartPolicy"], made["activeDeadlineSeconds"]) == ("Never", 60)


def test_only_ours_have_the_credentials() -> None:
    """3.7: by reference; nobody shares their processes, and the workspace is only read."""
    made = declared({"initContainers": [SIDECAR], "shareProcessNamespace": True, "hostPID": True})
    publish, *before = made["containers"][0], *made["initContainers"]
    assert [one["name"] for one in before if "creds" in json.dumps(one)] == ["workspace"]
    assert {"name": "T", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "token"}}} in publish["env"]
    assert "shareProcessNamespace" not in made and "hostPID" not in made
    assert {"name": "workspace", "mountPath": "/workspace", "readOnly": True} in publish["volumeMounts"]
    assert {"name": "publish-tmp", "emptyDir": {}} in made["volumes"]
    assert "publish-tmp" not in json.dumps(before)
    assert publish["securityContext"]["readOnlyRootFilesystem"] and publish["command"] == ["python3", "$$(X)"]


def test_what_is_kept_is_published_from_its_claim() -> None:
    """3.5, 5.5: the three containers work on the same directory, and what publishes only reads it."""
    made = declared(claim=PodClaim("kept", "holdfast/u.1"))
    workspace = {"name": "kept", "mountPath": "/workspace", "subPath": "holdfast/u.1/workspace"}
    assert all(workspace in one["volumeMounts"] for one in made["initContainers"])
    assert {**workspace, "readOnly": True} in made["containers"][0]["volumeMounts"]
    assert "workspace" not in {one["name"] for one in made["volumes"]}


def test_it_reads_whether_it_is_fenced_when_it_begins() -> None:
    """5.5: from an annotation of its own Pod, which the controller writes while the command runs."""
    env = {one["name"]: one.get("valueFrom") for one in declared()["containers"][0]["env"]}
    assert env["HOLDFAST_FENCED"] == {"fieldRef": {"fieldPath": "metadata.annotations['holdfast.dev/fenced']"}}
    running = publishing("Pending", RUNNING)
    assert not seen(job(), running).fenced
    running["metadata"]["annotations"] = {names.FENCED: "why"}
    assert seen(job(), running).fenced


def test_it_needs_no_more_of_the_node_than_the_command() -> None:
    """5.3: a GPU is the command's alone."""
    made = declared(resources={"limits": {"cpu": "2", "memory": "64Mi", "nvidia.com/gpu": "1"}})
    assert made["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "512Mi"}


@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
def test_a_command_is_never_run_again(policy: str) -> None:
    """2.6: an init container with restartPolicy Always would be a sidecar; no container of an attempt has one."""
    main = {"name": "main", "restartPolicy": policy, "restartPolicyRules": [{"action": "Restart"}]}
    assert "restartPolicy" not in json.dumps(declared({"containers": [main]})["initContainers"][-1])


def said(reason: str, commit: str = "", message: str = "") -> str:
    return json.dumps({"reason": reason, "message": message, "commit": commit})


def publishing(
    phase: str, command: Object | None, publish: Object | None = None, *conditions: Object, **more: Any
) -> Object:
    """A Pod whose command is an init container."""
    states = [("workspace", exited(0)), ("main", command)]
    init = [{"name": name, "state": state} for name, state in states if state is not None]
    last = [{"name": "publish", "state": publish or waits("PodInitializing")}]
    found = pod(phase, None, *conditions, initContainerStatuses=init, containerStatuses=last, **more)
    found["spec"]["containers"] = [{"name": "publish"}]
    return found


PUBLISHED = exited(0, message=said("Succeeded", COMMIT), at=-2)
REFUSED = exited(1, message=said("NonFastForward", message="the remote moved on"), at=-2)


def test_the_command_is_what_runs() -> None:
    """3.3: although the Pod is Pending for Kubernetes until all init containers have ended."""
    found = seen(job(), publishing("Pending", RUNNING))
    assert (found.evidence, found.publication) == (Evidence.ALIVE, None) and found.started_at is not None
    waiting = seen(job(), publishing("Pending", waits("PodInitializing")))
    assert (waiting.evidence, waiting.pending) == (Evidence.LAUNCHING, "")
    pulling = seen(job(), publishing("Pending", waits("ImagePullBackOff", "none")))
    assert (pulling.evidence, pulling.pending) == (Evidence.LAUNCHING, "ImagePull")


@pytest.mark.parametrize(
    ("publish", "message"),
    [(None, ""), (waits("ErrImagePull", "gone"), "ErrImagePull: gone"), (RUNNING, ""), (PUBLISHED, "")],
)
def test_while_it_publishes_it_is_alive(publish: Object | None, message: str) -> None:
    """5.4: the lock is held until the Pod is over."""
    found = seen(job(), publishing("Running", exited(0), publish))
    step = publication_step(found)
    assert found.evidence is Evidence.ALIVE and step is not None
    assert (step.state, step.message) == (StepState.WORKING, message)


STOP = {names.STOPPED: {"reason": "Canceled", "at": moment(-3)}}
EARLY_STOP = {names.STOPPED: {"reason": "Canceled", "at": moment(-10)}}
KILLED = exited(143, at=-2)
ROWS: list[tuple[str, Object, Object, str, int | None, str, str | None]] = [
    ("published", job(COMPLETE), publishing("Succeeded", exited(0), PUBLISHED), "", 0, "Succeeded", COMMIT),
    ("nothing to publish", job(COMPLETE), publishing("Succeeded", exited(0), exited(0, message=said("Succeeded"))),
     "", 0, "Succeeded", ""),
    ("refused", job(FAILED), publishing("Failed", exited(0), REFUSED), "", 0, "NonFastForward", ""),
    ("it said nothing", job(FAILED), publishing("Failed", exited(0), exited(7)), "", 0, "OperationKilled", ""),
    ("it says that it has, and fails", job(FAILED),
     publishing("Failed", exited(0), exited(1, message=said("Succeeded"))), "", 0, "OperationKilled", ""),
    ("out of memory", job(FAILED), publishing("Failed", exited(0), exited(137, "OOMKilled")), "", 0,
     "OperationKilled", ""),
    ("the command failed", job(FAILED), publishing("Failed", exited(7)), "", 7, None, None),
    ("the command took too much", job(FAILED), publishing("Failed", exited(137, "OOMKilled")), "OOMKilled", 137, None,
     None),
    ("canceled while the command ran", job(FAILED, notes=EARLY_STOP), publishing("Failed", exited(143), deleted=-5),
     "Canceled", 143, None, None),
    ("a command that obeys", job(FAILED, notes=EARLY_STOP), publishing("Failed", exited(0), deleted=-5), "Canceled", 0,
     "NotPublished", ""),
    ("canceled while it was published", job(FAILED, notes=STOP), publishing("Failed", exited(0), KILLED, deleted=-1),
     "Canceled", 0, "OperationKilled", ""),
    ("canceled between the two", job(FAILED, notes=STOP), publishing("Failed", exited(0), deleted=-1), "Canceled", 0,
     "NotPublished", ""),
    ("canceled, and published all the same", job(COMPLETE, notes=STOP), publishing("Succeeded", exited(0), PUBLISHED),
     "", 0, "Succeeded", COMMIT),
    ("evicted while it was published", job(FAILED), publishing("Failed", exited(0), KILLED,
     true("DisruptionTarget", "EvictionByEvictionAPI")), "Evicted", 0, "OperationKilled", ""),
    ("evicted before", job(FAILED), publishing("Failed", exited(143), None,
     true("DisruptionTarget", "EvictionByEvictionAPI")), "Evicted", 143, None, None),
    ("too late", job(FAILED), publishing("Failed", exited(0), KILLED, reason="DeadlineExceeded"), "DeadlineExceeded", 0,
     "OperationKilled", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "job", "pod", "reason", "code", "published", "commit"), ROWS, ids=[r[0] for r in ROWS]
)
def test_ends(
    name: str, job: Object, pod: Object, reason: str, code: int | None, published: str | None, commit: str | None
) -> None:
    """4.2, 5.5: exit code and reason are the command's; the publication is told beside them."""
    found = seen(job, pod)
    assert found.evidence is Evidence.ENDED and found.exit is not None
    assert (found.exit.code, found.exit.reason) == (code, reason)
    assert (found.publication.reason if found.publication else None) == published
    assert (found.publication.commit if found.publication else None) == commit


def test_a_loss_in_the_middle_is_a_loss() -> None:
    """4.2: nobody knows whether the remote has it: it is run again, on what the remote has then."""
    found = seen(job(FAILED), publishing("Failed", exited(0), KILLED, true("DisruptionTarget", "DeletionByPodGC")))
    assert outcome(found, "").state is AttemptState.LOST


def test_the_end_is_kept_with_the_job() -> None:
    """1.3: a status that is wiped after the Pod has gone gets it back."""
    found = seen(job(COMPLETE), publishing("Succeeded", exited(0), PUBLISHED))
    assert found.exit is not None
    note = to_note(found.exit, found.started_at, never_started=False, published=found.publication)
    again = seen(job(COMPLETE, notes={names.ENDED: note}))
    assert (again.evidence, again.exit, again.publication) == (Evidence.ENDED, found.exit, found.publication)
    assert seen(job(COMPLETE)).publication is None


def test_whose_pod_is_gone_before_it_was_asked() -> None:
    """4.2, 5.5: a Complete Job has published what was pushed; which commit is to be fetched."""
    found = seen(job(COMPLETE, publishes=True))
    assert found.exit is not None and found.exit.code == 0
    step = publication_step(found)
    assert step is not None
    assert (step.state, step.reason, step.commit) == (StepState.DONE, "CommitUnknown", "")
    assert seen(job(FAILED, publishes=True)).publication is None
    told = seen(job(COMPLETE, publishes=True), publishing("Succeeded", exited(0), PUBLISHED))
    assert told.publication == Publication("Succeeded", "", COMMIT)


@pytest.mark.parametrize("message", ["", "{", "[]", "null", "7", said("Succeeded", "--evil")])
def test_a_message_that_is_none_says_nothing(message: str) -> None:
    """7.5: and an exit code of 0 is what it says."""
    found = seen(job(COMPLETE), publishing("Succeeded", exited(0), exited(0, message=message)))
    assert found.publication == Publication("Succeeded")


@pytest.mark.parametrize(
    ("found", "state", "reason", "final"),
    [
        (Publication("Succeeded", "", COMMIT), StepState.DONE, "", False),
        (Publication("NonFastForward", "moved on"), StepState.FAILED, "NonFastForward", True),
        (Publication("RemoteUnreachable", "away"), StepState.FAILED, "RemoteUnreachable", False),
        (Publication("OperationKilled", "it was killed"), StepState.FAILED, "OperationKilled", False),
    ],
)
def test_the_step_of_an_end(found: Publication, state: StepState, reason: str, final: bool) -> None:
    """5.5: as the operation of a host would be told."""
    step = publication_step(Observation(Evidence.ENDED, publication=found))
    assert step is not None
    assert (step.state, step.reason, step.final, step.commit) == (state, reason, final, found.commit)


def test_no_step_without_something_to_publish() -> None:
    """5.5: a job that pushed nothing has succeeded."""
    for found in (None, Observation(Evidence.ENDED), Observation(Evidence.ENDED, publication=Publication("Succeeded"))):
        assert publication_step(found) is None
