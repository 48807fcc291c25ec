"""Good objects on the real API server: defaults, columns, explain, merging (requirements 1.1, 1.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from controller.api.batchjob import BatchJob
from controller.api.jobqueue import JobQueue
from tests.eventually import eventually_sync

CRDS = Path(__file__).resolve().parents[3] / "crds"
MINIMAL = {
    "apiVersion": "holdfast.dev/v1alpha1",
    "kind": "BatchJob",
    "metadata": {"name": "minimal"},
    "spec": {"command": ["true"]},
}


def test_the_schemas_are_structural(api: client.ApiClient) -> None:
    """1.2: the API server itself has nothing to object to."""
    items = client.ApiextensionsV1Api(api).list_custom_resource_definition(_request_timeout=60).items
    ours = [item for item in items if item.spec.group == "holdfast.dev"]
    assert {item.metadata.name for item in ours} >= {path.stem + ".holdfast.dev" for path in CRDS.glob("*.yaml")}
    for item in ours:
        conditions = {condition.type: condition.status for condition in item.status.conditions}
        assert "NonStructuralSchema" not in conditions
        assert conditions["NamesAccepted"] == "True"


def test_a_minimal_job_gets_every_default(objects: Any) -> None:
    """1.2: and the API server's defaults are the model's."""
    spec = objects.create("batchjobs", MINIMAL)["spec"]
    assert spec == {
        "command": ["true"],
        "args": [],
        "env": [],
        "envFrom": [],
        "queue": "default",
        "priority": 0,
        "limits": {"outputBytes": "1Gi"},
        "gracePeriod": "30s",
        "retry": {"limit": 0, "backoff": "10s", "maxBackoff": "10m"},
        "onLost": "Restart",
        "lossLimit": 3,
        "suspend": False,
        "cancel": False,
        "callbacks": [],
    }
    assert BatchJob.model_validate(MINIMAL).spec.to_json() == spec


def test_a_job_has_no_status_before_one_is_recorded(objects: Any) -> None:
    """1.3: and one that a user sends is ignored."""
    assert "status" not in objects.create("batchjobs", {**MINIMAL, "status": {"phase": "Succeeded"}})


def test_a_full_job_is_taken_as_it_is_and_read_by_the_model(objects: Any) -> None:
    """1.1, 1.2"""
    spec = {
        "command": ["bash", "-c", "make\ttest"],
        "args": ["a b", "", "ü"],
        "resumeCommand": ["bash", "-c", "make continue"],
        "env": [
            {"name": "A", "value": ""},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        ],
        "envFrom": [{"prefix": "X_", "configMapRef": {"name": "c", "optional": False}}],
        "workingDir": "/srv/a b",
        "queue": "nightly",
        "priority": -5,
        "executor": "Pod",
        "pod": {
            "image": "registry.example/agent:1",
            "workspaceClaim": "kept",
            "imagePullPolicy": "IfNotPresent",
            "imagePullSecrets": [{"name": "registry"}],
            "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}},
            "serviceAccountName": "agent",
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "priorityClassName": "batch",
            "labels": {"kueue.x-k8s.io/queue-name": "team-a"},
            "annotations": {"example.org/a": "b"},
            "template": {"spec": {"volumes": [{"name": "v", "emptyDir": {}}], "hostUsers": False}},
        },
        "limits": {"memory": "1.5Gi", "cpu": "500m", "openFiles": 1024, "outputBytes": "10Mi"},
        "deadline": "1h30m",
        "activeDeadline": "24h",
        "gracePeriod": "0s",
        "retry": {"limit": 3, "backoff": "250ms", "maxBackoff": "1m"},
        "onLost": "Manual",
        "lossLimit": 0,
        "suspend": True,
        "cancel": False,
        "decision": {"attempt": 2, "action": "Restart"},
        "repository": {"name": "shop", "ref": "v1.2", "lock": "Shared", "push": "Mirror"},
        "callbacks": [
            {
                "name": "ci",
                "url": "https://example.org/hook?a=b",
                "secretRef": {"name": "s", "key": "k"},
                "headersRef": {"name": "h"},
                "events": ["Started", "Failed"],
                "schedule": ["1s", "2m"],
                "timeout": {"connect": "1s", "total": "2s"},
            }
        ],
        "ttlAfterFinished": "0s",
    }
    created = objects.create("batchjobs", {**MINIMAL, "spec": spec})
    assert created["spec"] == spec
    assert BatchJob.model_validate(created).spec.to_json() == spec


def test_quantities_may_be_numbers(objects: Any) -> None:
    """1.2: as everywhere in Kubernetes."""
    created = objects.create("batchjobs", {**MINIMAL, "spec": {"command": ["true"], "limits": {"cpu": 2}}})
    assert created["spec"]["limits"]["cpu"] == 2
    assert BatchJob.model_validate(created).spec.limits.cpu == "2"


def test_the_largest_command_fits(objects: Any) -> None:
    """1.2: the rules on what is immutable stay within the API server's cost limit for an object of 1 MB."""
    job = {**MINIMAL, "spec": {"command": ["x" * 65536] * 8, "args": ["y" * 65536] * 8}}
    objects.create("batchjobs", job)
    objects.patch_status("batchjobs", "minimal", {"attempt": {"id": "u.1", "number": 1, "state": "Running"}})
    assert objects.patch("batchjobs", "minimal", {"spec": {"priority": 1}})["spec"]["priority"] == 1


def test_an_empty_queue_gets_its_defaults(objects: Any) -> None:
    """1.2"""
    body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "JobQueue", "metadata": {"name": "q"}}
    created = objects.create("jobqueues", body)
    assert created["spec"] == {"paused": False}
    assert JobQueue.model_validate(created).spec.concurrency is None


def test_what_the_model_writes_the_api_server_takes(objects: Any) -> None:
    """1.3: a status made by the model passes the schema made from the model."""
    status = {
        "phase": "Running",
        "reason": "Started",
        "conditions": [
            {
                "type": "Running",
                "status": "True",
                "reason": "Started",
                "message": "",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-11-20T12:00:00.000001Z",
            }
        ],
        "attempt": {"id": "u.1", "number": 1, "state": "Running", "startedAt": "2026-11-20T12:00:00Z"},
        "output": {"bytes": 12, "location": "host:/runs/u.1/output.log"},
    }
    objects.create("batchjobs", MINIMAL)
    wire = BatchJob.model_validate({**MINIMAL, "status": status}).status.to_json()
    stored = objects.patch_status("batchjobs", "minimal", wire)["status"]
    assert stored == wire
    assert BatchJob.model_validate({**MINIMAL, "status": stored}).status.to_json() == wire


def test_explain_has_text_for_every_field(api: client.ApiClient, kubectl: Any) -> None:
    """1.1"""
    # What it reads is published some time after a kind is served.
    eventually_sync(lambda: kubectl("explain", "batchjob.spec", check=False).returncode == 0)
    eventually_sync(lambda: kubectl("explain", "jobqueue.spec", check=False).returncode == 0)
    text = kubectl("explain", "batchjob.spec.retry.backoff").stdout
    assert "Wait before the first repeat; doubled for each further one." in text
    listing = kubectl("explain", "batchjob", "--recursive").stdout
    assert "maxBackoff" in listing
    for kind in ("batchjob.spec", "batchjob.status", "jobqueue.spec", "jobqueue.status"):
        assert "<no description>" not in kubectl("explain", kind).stdout


def test_get_shows_the_columns(objects: Any, kubectl: Any) -> None:
    """1.1, 2.2"""
    objects.create("batchjobs", MINIMAL)
    objects.patch_status("batchjobs", "minimal", {"phase": "Queued", "queuePosition": 4})
    header, row = kubectl("get", "bj").stdout.splitlines()
    assert header.split() == ["NAME", "PHASE", "QUEUE", "POSITION", "ATTEMPT", "EXIT", "REASON", "AGE"]
    assert row.split()[:4] == ["minimal", "Queued", "default", "4"]
    wide = kubectl("get", "bj", "-o", "wide").stdout.splitlines()[0].split()
    assert wide[-3:] == ["ETA", "STARTED", "OUTPUT"]
    assert "minimal" in kubectl("get", "holdfast").stdout


def test_env_merges_by_name(objects: Any, kubectl: Any, tmp_path: Path) -> None:
    """Design 3: two owners of different variables do not overwrite each other."""
    for owner, name in (("one", "A"), ("two", "B")):
        manifest = {**MINIMAL, "spec": {"command": ["true"], "env": [{"name": name, "value": owner}]}}
        path = tmp_path / f"{owner}.yaml"
        path.write_text(yaml.safe_dump(manifest))
        kubectl("apply", "--server-side", f"--field-manager={owner}", "-f", str(path))
    env = objects.get("batchjobs", "minimal")["spec"]["env"]
    assert {entry["name"]: entry["value"] for entry in env} == {"A": "one", "B": "two"}


def test_wait_ends_on_a_condition(objects: Any, kubectl: Any) -> None:
    """1.1: kubectl wait works on what the schema calls conditions."""
    objects.create("batchjobs", MINIMAL)
    condition = {
        "type": "Complete",
        "status": "True",
        "reason": "Succeeded",
        "lastTransitionTime": "2026-11-20T12:00:00Z",
    }
    objects.patch_status("batchjobs", "minimal", {"conditions": [condition]})
    assert "condition met" in kubectl("wait", "--for=condition=Complete", "bj/minimal", "--timeout=50s").stdout
    assert json.loads(kubectl("get", "bj", "minimal", "-o", "json").stdout)["status"]["conditions"] == [condition]
