"""The batch/v1 Job of one attempt: at most one Pod, made once (design 7).

`backoffLimit: 0` with `podReplacementPolicy: Failed`: no second Pod while the first may run, and none after it failed.
Never a `podFailurePolicy` of Ignore or Count, which would make one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from controller.api.environment import EnvFrom, EnvVar
from controller.api.keys import GROUP, VERSION
from controller.executors.base import AttemptId, LaunchSpec, Limits, PodRequest
from controller.executors.pod import claim, names, publishing, setup

Object = dict[str, Any]

HOME = "/home/job"  # an empty directory of the attempt's own
# What Pod Security "restricted" asks for; any user but root, so that images without one of their own work too.
USER = 1000
POD_SECURITY: Object = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def job_of(spec: LaunchSpec, request: PodRequest) -> Object:
    """The Job to create for an attempt."""
    use, found = request.use, names.labels(spec.job, spec.attempt)
    notes = {
        **use.annotations,
        names.CARRIED: json.dumps(dict(spec.annotations), sort_keys=True),
        names.OUTPUT_BYTES: str(spec.limits.output_bytes),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _meta(spec.job, spec.attempt, {**request.labels, **use.labels, **found}, notes),
        "spec": {
            "backoffLimit": 0,
            "parallelism": 1,
            "completions": 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": _template(spec, request, {**use.labels, **found}),
        },
    }


def voided_job(job: str, attempt: AttemptId, note: Object) -> Object:
    """A Job that never makes a Pod and keeps the name of an attempt that was voided before anything was built."""
    container = {"name": names.CONTAINER, "image": "voided.invalid/never-started"}
    notes = {names.VOIDED: json.dumps(note)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _meta(job, attempt, names.labels(job, attempt), notes),
        "spec": {**NEVER, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }


# Of a Job that must make no Pod any more, whoever resumes it.
NEVER: Object = {"suspend": True, "parallelism": 0}


def annotated(annotation: str, note: Object) -> Object:
    """Merge patch that writes one of our annotations."""
    return {"metadata": {"annotations": {annotation: json.dumps(note)}}}


def ended_patch(annotation: str, note: Object) -> Object:
    """Merge patch that ends a Job for good: its Pods are stopped by the job controller, and it makes no others."""
    taken = dict.fromkeys(names.QUEUE_LABELS)
    return {"metadata": {"annotations": {annotation: json.dumps(note)}, "labels": taken}, "spec": NEVER}


def _meta(job: str, attempt: AttemptId, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Object:
    owner = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "BatchJob",
        "name": job,
        "uid": attempt.job_uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {
        "name": names.job_name(job, attempt),
        "labels": dict(labels),
        "annotations": dict(annotations),
        "ownerReferences": [owner],
    }


def _template(spec: LaunchSpec, request: PodRequest, labels: Mapping[str, str]) -> Object:
    """What the author gives in `template`, under what the fields of spec.pod say, under what makes it our attempt."""
    use, limits = request.use, spec.limits
    given: Object = use.template or {}
    pod = merged(
        {
            "automountServiceAccountToken": use.service_account_name is not None,
            "enableServiceLinks": False,
            "securityContext": POD_SECURITY,
            "volumes": [],
        },
        {name: value for name, value in (given.get("spec") or {}).items() if name != "containers"},
    )
    containers = _containers(spec, request, (given.get("spec") or {}).get("containers") or [])
    pod |= {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": max(1, math.ceil(limits.grace_seconds)),
        "volumes": _volumes(request, pod["volumes"] or []),
        "containers": containers,
        **_scheduling(request),
    }
    if request.setup is not None:
        others = [one for one in pod.get("initContainers") or [] if one.get("name") != setup.NAME]
        pod["initContainers"] = [_init(request, containers[0]), *others]
    if request.publish is not None:
        made = publishing.publish_container(request.publish, containers[0], CONTAINER_SECURITY)
        pod = publishing.arranged(pod, _worded(_on_claim(request, made)))
    if limits.deadline_seconds is not None:
        pod["activeDeadlineSeconds"] = max(1, math.ceil(limits.deadline_seconds))
    meta = given.get("metadata") or {}
    return {
        "metadata": {
            "labels": {**(meta.get("labels") or {}), **labels},
            "annotations": {**(meta.get("annotations") or {}), **use.annotations},
        },
        "spec": pod,
    }


def _volumes(request: PodRequest, given: list[Object]) -> list[Object]:
    """The author's, but for names that are ours."""
    ours = [{"name": "home", "emptyDir": {}}, *(setup.volumes() if request.setup is not None else ())]
    ours += publishing.volumes() if request.publish is not None else []
    if request.claim is not None:
        ours = [*(each for each in ours if each["name"] != setup.VOLUME), claim.volume(request.claim)]
    taken = {volume["name"] for volume in ours}
    return [*(volume for volume in given if volume.get("name") not in taken), *ours]


def _init(request: PodRequest, main: Object) -> Object:
    assert request.setup is not None
    return _worded(_on_claim(request, setup.init_container(request.setup, main, CONTAINER_SECURITY)))


def _on_claim(request: PodRequest, made: Object) -> Object:
    """A container of ours; where the workspace is kept beyond the Pod, it finds it there."""
    if request.claim is None:
        return made
    mounts = [
        {**mount, **claim.workspace_mount(request.claim, mount["mountPath"])}
        if mount["name"] == setup.VOLUME
        else mount
        for mount in made["volumeMounts"]
    ]
    return {**made, "volumeMounts": mounts}


def _worded(made: Object) -> Object:
    return {**made, "command": [escaped(word) for word in made["command"]]}


def _scheduling(request: PodRequest) -> Object:
    use = request.use
    found: Object = {
        "serviceAccountName": use.service_account_name,
        "priorityClassName": use.priority_class_name,
        "nodeSelector": dict(use.node_selector),
        "tolerations": [toleration.to_json() for toleration in use.tolerations],
        "imagePullSecrets": [secret.to_json() for secret in use.image_pull_secrets],
    }
    return {name: value for name, value in found.items() if value}


def _containers(spec: LaunchSpec, request: PodRequest, given: list[Object]) -> list[Object]:
    """Ours first: `main` of the template is merged under it, the others are taken as they are."""
    own = next((container for container in given if container.get("name") == names.CONTAINER), {})
    others = [container for container in given if container.get("name") != names.CONTAINER]
    base = merged({"securityContext": CONTAINER_SECURITY, "volumeMounts": [], "env": []}, own)
    mounts = [{"name": "home", "mountPath": HOME}, *_work_mounts(request)]
    taken = {mount["mountPath"] for mount in mounts}
    ours = _environment(spec, request)
    set_by_us = {variable["name"] for variable in ours}
    use = request.use
    main = {
        **base,
        "name": names.CONTAINER,
        "image": use.image,
        "command": [escaped(word) for word in spec.argv],
        "env": [*(v for v in base["env"] or [] if v.get("name") not in set_by_us), *ours],
        "envFrom": [_env_from(source) for source in request.env_from],
        "workingDir": spec.working_dir or HOME,
        "volumeMounts": [*(m for m in base["volumeMounts"] or [] if m.get("mountPath") not in taken), *mounts],
        "resources": _resources(spec.limits, request, base.get("resources") or {}),
    }
    for name in ("args", "restartPolicy", "restartPolicyRules"):  # it runs once, whatever container it is
        main.pop(name, None)
    if use.image_pull_policy is not None:
        main["imagePullPolicy"] = use.image_pull_policy.value
    return [main, *others]


def _work_mounts(request: PodRequest) -> list[Object]:
    if request.claim is not None:
        return claim.mounts(request.claim)
    return [setup.mount(request.setup)] if request.setup is not None else []


def _environment(spec: LaunchSpec, request: PodRequest) -> list[Object]:
    """HOME, the spec's, then ours, which nothing overrides; Secrets stay references."""
    plain = {"HOME": HOME, "LANG": "C.UTF-8", **spec.env}
    declared = {variable.name for variable in request.env}
    found = [{"name": name, "value": escaped(value)} for name, value in plain.items() if name not in declared]
    found += [_variable(variable) for variable in request.env]
    own = {"NAMESPACE": spec.namespace, "JOB": spec.job, "ATTEMPT": str(spec.attempt)}
    return [*found, *({"name": f"HOLDFAST_{name}", "value": value} for name, value in own.items())]


def _variable(variable: EnvVar) -> Object:
    if variable.value_from is not None:
        return {"name": variable.name, "valueFrom": variable.value_from.to_json()}
    return {"name": variable.name, "value": escaped(variable.value or "")}


def _env_from(source: EnvFrom) -> Object:
    return {name: value for name, value in source.to_json().items() if value != ""}


def _resources(limits: Limits, request: PodRequest, given: Object) -> Object:
    found: Object = {"limits": dict(given.get("limits") or {}), "requests": dict(given.get("requests") or {})}
    if limits.memory_bytes is not None:
        found["limits"]["memory"] = str(limits.memory_bytes)
    if limits.cpu is not None:
        found["limits"]["cpu"] = f"{math.ceil(limits.cpu * 1000)}m"
    if request.use.resources is not None:
        found["limits"] |= request.use.resources.limits
        found["requests"] |= request.use.resources.requests
    return {**given, **{name: value for name, value in found.items() if value}}


def escaped(text: str) -> str:
    """`text` such that Kubernetes hands it on as it is: $(NAME) is not expanded, and $$ stays two."""
    return text.replace("$", "$$")


def merged(under: Object, over: Mapping[str, Any]) -> Object:
    """`over` merged into `under` as a JSON merge patch (RFC 7386)."""
    found = dict(under)
    for name, value in over.items():
        before = found.get(name)
        if value is None:
            found.pop(name, None)
        elif isinstance(value, dict) and isinstance(before, dict):
            found[name] = merged(before, value)
        else:
            found[name] = value
    return found
