"""The Job of an attempt: what it may never be talked out of (requirements 2.6, 3.7, 4.1; design 7)."""

from __future__ import annotations

from typing import Any

from controller.api.environment import EnvFrom, EnvVar
from controller.api.pod_use import PodUse
from controller.executors.base import AttemptId, LaunchSpec, Limits, PodClaim, PodRequest, PodSetup
from controller.executors.pod import names
from controller.executors.pod.manifest import HOME, job_of, voided_job

UID = "0f1e2d3c-1111-2222-3333-444444444444"


def made(request: dict[str, Any] | None = None, *, job: str = "build", **fields: Any) -> dict[str, Any]:
    use = PodUse.model_validate({"image": "a", **(request or {})})
    env = [EnvVar.model_validate(one) for one in fields.pop("declared", ())]
    sources = [EnvFrom.model_validate(one) for one in fields.pop("sources", ())]
    labels, setup, claim = fields.pop("labels", {}), fields.pop("setup", None), fields.pop("claim", None)
    spec = LaunchSpec(AttemptId(UID, 3), "n", job, fields.pop("argv", ["x"]), **fields)
    return job_of(spec, PodRequest(use, env, sources, labels, setup, claim=claim))


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["spec"]["template"]["spec"])


def main_of(job: dict[str, Any]) -> dict[str, Any]:
    return dict(pod_of(job)["containers"][0])


def test_names() -> None:
    """Design 7: 40 characters, 8 of the uid, the number: a label, whatever the job is called."""
    assert made()["metadata"]["name"] == "build-0f1e2d3c-3"
    for job in ("a." * 120 + "b", "x" * 253, "a" * 39 + ".b"):
        name = made(job=job)["metadata"]["name"]
        assert len(name) <= 63 - 6 and "." not in name and "--" not in name


def test_one_pod_once() -> None:
    """2.6: never a second one, whatever happens to the first."""
    spec = made()["spec"]
    assert (spec["backoffLimit"], spec["parallelism"], spec["completions"]) == (0, 1, 1)
    assert spec["podReplacementPolicy"] == "Failed" and pod_of(made())["restartPolicy"] == "Never"
    assert [rule["action"] for rule in spec["podFailurePolicy"]["rules"]] == ["FailJob"]
    assert "ttlSecondsAfterFinished" not in spec


def test_a_template_cannot_make_it_another_attempt() -> None:
    """4.1: the rest of a Pod is the author's."""
    template = {
        "metadata": {"labels": {names.ATTEMPT_LABEL: "other.1", "team": "a"}, "annotations": {"x": "y"}},
        "spec": {
            "restartPolicy": "OnFailure",
            "activeDeadlineSeconds": 1,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsUser": 5, "fsGroup": None},
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "home", "hostPath": {"path": "/"}}],
            "containers": [
                {"name": "log", "image": "b"},
                {
                    "name": "main",
                    "image": "c",
                    "command": ["evil"],
                    "args": ["evil"],
                    "env": [{"name": "HOLDFAST_ATTEMPT", "value": "evil"}, {"name": "MORE", "value": "1"}],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                },
            ],
        },
    }
    job = made({"template": template}, limits=Limits(deadline_seconds=90.5, grace_seconds=0))
    pod, main = pod_of(job), main_of(job)
    assert job["spec"]["template"]["metadata"]["labels"] == {"team": "a", **names.labels("build", AttemptId(UID, 3))}
    assert (pod["restartPolicy"], pod["activeDeadlineSeconds"], pod["terminationGracePeriodSeconds"]) == (
        "Never",
        91,
        1,
    )
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (5, True)
    assert "fsGroup" not in pod["securityContext"]
    assert [container["name"] for container in pod["containers"]] == ["main", "log"]
    assert (main["image"], main["command"]) == ("a", ["x"]) and "args" not in main
    assert {"name": "HOLDFAST_ATTEMPT", "value": "evil"} not in main["env"]
    assert {"name": "MORE", "value": "1"} in main["env"]
    assert {"name": "home", "emptyDir": {}} in pod["volumes"] and len(pod["volumes"]) == 2
    assert [mount["mountPath"] for mount in main["volumeMounts"]] == ["/data", HOME]


def test_nothing_of_a_service_account_unless_one_is_named() -> None:
    """Issue 7, item 2: an author gets nothing of anybody's rights unasked."""
    assert pod_of(made())["automountServiceAccountToken"] is False
    pod = pod_of(made({"serviceAccountName": "agent"}))
    assert (pod["automountServiceAccountToken"], pod["serviceAccountName"]) == (True, "agent")


def test_pod_security_restricted() -> None:
    """Pod Security Standards: what `restricted` asks of a Pod and a container."""
    pod, main = pod_of(made()), main_of(made())
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert main["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_the_environment_stays_a_reference() -> None:
    """3.7: in order, nothing expanded, ours last."""
    reference = {"secretKeyRef": {"name": "s", "key": "k", "optional": False}}
    declared = [{"name": "A", "value": "$(B) $$"}, {"name": "T", "valueFrom": reference}]
    main = main_of(made(declared=declared, sources=[{"prefix": "P_", "secretRef": {"name": "s"}}], env={"HOME": "/h"}))
    assert {"name": "A", "value": "$$(B) $$$$"} in main["env"] and {"name": "T", "valueFrom": reference} in main["env"]
    assert {"name": "HOME", "value": "/h"} in main["env"]
    assert main["envFrom"] == [{"prefix": "P_", "secretRef": {"name": "s", "optional": False}}]
    assert [v["name"] for v in main["env"]][-3:] == ["HOLDFAST_NAMESPACE", "HOLDFAST_JOB", "HOLDFAST_ATTEMPT"]


def test_resources() -> None:
    """4.1: limits of the job are those of the container; what spec.pod says wins."""
    limits = Limits(memory_bytes=2**30, cpu=0.2505)
    assert main_of(made(limits=limits))["resources"] == {"limits": {"memory": "1073741824", "cpu": "251m"}}
    more = {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi", "nvidia.com/gpu": 1}}}
    found = main_of(made(more, limits=limits))["resources"]
    assert found["limits"] == {"memory": "2Gi", "cpu": "251m", "nvidia.com/gpu": "1"}
    assert found["requests"] == {"cpu": "1"}
    assert "resources" not in main_of(made()) or main_of(made())["resources"] == {}


def test_labels_for_outside_queues() -> None:
    """Issue 7, item 3: on the Job, where Kueue looks for them; nothing of ours can be replaced."""
    meta = made({"labels": {"team": "a"}}, labels={"kueue.x-k8s.io/queue-name": "q", names.UID_LABEL: "no"})["metadata"]
    assert (meta["labels"]["kueue.x-k8s.io/queue-name"], meta["labels"]["team"]) == ("q", "a")
    assert meta["labels"][names.UID_LABEL] == UID


def test_a_voided_job_makes_no_pod() -> None:
    """2.6: it only keeps the name."""
    job = voided_job("build", AttemptId(UID, 3), {"message": "no"})
    assert (job["spec"]["suspend"], job["spec"]["parallelism"]) == (True, 0)
    assert job["metadata"]["name"] == made()["metadata"]["name"]
    assert job["metadata"]["ownerReferences"] == made()["metadata"]["ownerReferences"]


SETUP = PodSetup("git:1", ("python3", "$(X)"), "/workspace", "creds", {"T": ("token", False), "U": ("username", True)})


def with_setup(request: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return pod_of(made(request, setup=SETUP, **fields))


def test_the_workspace_is_made_first_and_its_credentials_are_nobody_elses() -> None:
    """Issue 7.2, 3.7: an init container before all others has them, by reference; what it makes is shared."""
    template = {
        "spec": {
            "shareProcessNamespace": True,
            "initContainers": [
                {"name": "spy", "image": "b", "restartPolicy": "Always"},
                {"name": "workspace", "image": "evil"},
            ],
            "volumes": [{"name": "workspace", "hostPath": {"path": "/"}}],
            "containers": [{"name": "main", "volumeMounts": [{"name": "x", "mountPath": "/workspace"}]}],
        }
    }
    pod = with_setup({"template": template})
    first, *others = pod["initContainers"]
    assert (first["name"], first["image"], [one["name"] for one in others]) == ("workspace", "git:1", ["spy"])
    assert first["command"] == ["python3", "$$(X)"] and "restartPolicy" not in first
    secrets = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in first["env"] if "valueFrom" in one}
    assert secrets == {
        "T": {"name": "creds", "key": "token"},
        "U": {"name": "creds", "key": "username", "optional": True},
    }
    assert "creds" not in str([pod["containers"], others])
    shared = {"name": "workspace", "mountPath": "/workspace"}
    assert pod["containers"][0]["volumeMounts"].count(shared) == 1
    assert {"name": "x", "mountPath": "/workspace"} not in pod["containers"][0]["volumeMounts"]
    assert [one for one in pod["volumes"] if one["name"] == "workspace"] == [{"name": "workspace", "emptyDir": {}}]
    assert first["securityContext"]["readOnlyRootFilesystem"] is True
    assert "initContainers" not in pod_of(made())


def test_who_makes_the_workspace_is_who_works_in_it() -> None:
    """5.3: the same user, or git in the job trusts nothing of it; and no more of the node than the job may have."""
    main = {"name": "main", "securityContext": {"runAsUser": 7, "capabilities": {"add": ["CHOWN"]}}}
    limits = {"memory": "64Mi", "cpu": "2", "nvidia.com/gpu": "1"}
    pod = with_setup({"template": {"spec": {"containers": [main]}}, "resources": {"limits": limits}})
    first = pod["initContainers"][0]
    assert first["securityContext"]["runAsUser"] == 7
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert first["resources"]["limits"] == {"memory": "512Mi", "cpu": "2"}
    assert first["resources"]["requests"] == {"memory": "64Mi", "cpu": "2"}
    assert with_setup()["initContainers"][0]["resources"] == {}
    odd = with_setup(
        {"template": {"spec": {"containers": [{"name": "main", "resources": {"limits": {"memory": "1e9"}}}]}}}
    )
    assert odd["initContainers"][0]["resources"]["limits"] == {"memory": "1e9"}


def test_what_a_claim_keeps() -> None:
    """3.5: workspace and checkpoints are below one path of the claim, in the container that makes the one and in ours;

    a template can neither take the volume's name nor the place where it is mounted.
    """
    claim = PodClaim("kept", "holdfast/u.1")
    mine = {"name": "kept", "hostPath": {"path": "/"}}
    main = {"name": "main", "volumeMounts": [{"name": "x", "mountPath": "/checkpoints"}]}
    pod = with_setup({"template": {"spec": {"volumes": [mine], "containers": [main]}}}, claim=claim)
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert volumes["kept"] == {"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}}
    assert "workspace" not in volumes and "workspace-tmp" in volumes
    workspace = {"name": "kept", "mountPath": "/workspace", "subPath": "holdfast/u.1/workspace"}
    checkpoints = {"name": "kept", "mountPath": "/checkpoints", "subPath": "holdfast/u.1/checkpoints"}
    assert pod["initContainers"][0]["volumeMounts"][0] == workspace
    assert checkpoints not in pod["initContainers"][0]["volumeMounts"]
    assert pod["containers"][0]["volumeMounts"][-2:] == [workspace, checkpoints]
    assert {"name": "x", "mountPath": "/checkpoints"} not in pod["containers"][0]["volumeMounts"]
    bare = pod_of(made(claim=claim))
    assert bare["containers"][0]["volumeMounts"][-2:] == [workspace, checkpoints] and "initContainers" not in bare
