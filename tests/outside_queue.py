"""An outside queue as a controller of jobs meets it: a Job that names it is created suspended, and let go later.

Played over the API by a MutatingAdmissionPolicy, so that the Job is suspended from its first moment, as it is by the
webhook of Kueue. One namespace, gone with `remove`.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

from controller.api.outside import QUEUE_LABEL
from tests.eventually import eventually_sync

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
MERGE = {"Content-Type": "application/merge-patch+json"}
Object = dict[str, Any]


class OutsideQueue:
    """See the module.

    Args:
        http: the API server as its administrator.
        namespace: whose Jobs it queues.
    """

    def __init__(self, http: httpx.Client, namespace: str) -> None:
        self._http = http
        self._name = f"queue-{namespace}"
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._namespace = namespace

    def install(self) -> None:
        """Make the policy, and wait until the API server goes by it."""
        rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
        named = f"'{QUEUE_LABEL}' in object.metadata.?labels.orValue({{}})"
        policy = {
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": "named", "expression": named}],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": "Object{spec: Object.spec{suspend: true}}"},
                }
            ],
        }
        here = {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}}
        binding = {"policyName": self._name, "matchResources": {"namespaceSelector": here}}
        self._make("MutatingAdmissionPolicy", "mutatingadmissionpolicies", policy)
        self._make("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", binding)
        eventually_sync(self._suspends, 60, "the outside queue suspends what names it")

    def remove(self) -> None:
        """Undo `install`."""
        for plural in ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"):
            self._http.delete(f"{ADMISSION}/{plural}/{self._name}")

    def held(self) -> dict[str, str]:
        """The queue of each Job that is suspended, by the name of its BatchJob."""
        items = self._http.get(self._jobs).raise_for_status().json()["items"]
        labels = [item["metadata"].get("labels", {}) for item in items if item["spec"].get("suspend")]
        return {each["holdfast.dev/job"]: each[QUEUE_LABEL] for each in labels if QUEUE_LABEL in each}

    def let_go(self, job: str) -> None:
        """Admit the Job of a BatchJob."""
        found = self._http.get(self._jobs, params={"labelSelector": f"holdfast.dev/job={job}"}).raise_for_status()
        for item in found.json()["items"]:
            body = json.dumps({"spec": {"suspend": False}})
            url = f"{self._jobs}/{item['metadata']['name']}"
            self._http.patch(url, content=body, headers=MERGE).raise_for_status()

    def _make(self, kind: str, plural: str, spec: Object) -> None:
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": self._name},
            "spec": spec,
        }
        answer = self._http.post(f"{ADMISSION}/{plural}", json=body)
        assert answer.is_success, answer.text

    def _suspends(self) -> bool:
        """Whether a Job would be created suspended; nothing is created."""
        pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none.invalid/none"}]}
        job = {"metadata": {"name": "asks", "labels": {QUEUE_LABEL: "q"}}, "spec": {"template": {"spec": pod}}}
        answer = self._http.post(self._jobs, json=job, params={"dryRun": "All"})
        assert answer.is_success, answer.text
        return bool(answer.json()["spec"].get("suspend"))
