"""The API server itself rejects bad input, with a message that names the field (requirement 1.2, issue item 4)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

JOB: dict[str, Any] = {
    "apiVersion": "holdfast.dev/v1alpha1",
    "kind": "BatchJob",
    "metadata": {"generateName": "bad-"},
    "spec": {"command": ["true"]},
}
QUEUE: dict[str, Any] = {
    "apiVersion": "holdfast.dev/v1alpha1",
    "kind": "JobQueue",
    "metadata": {"generateName": "bad-"},
    "spec": {},
}
REFERENCE = {"name": "a", "key": "b"}

BAD_SPECS: list[tuple[str, dict[str, Any], str]] = [
    ("command missing", {"command": None}, "spec.command"),
    ("command empty", {"command": []}, "spec.command"),
    ("command is a string", {"command": "true"}, "spec.command"),
    ("command of a number", {"command": ["sleep", 5]}, "spec.command[1]"),
    ("command with an empty program", {"command": [""]}, "spec.command"),
    ("command with NUL", {"command": ["echo", "a\u0000b"]}, "spec.command[1]"),
    ("command too long", {"command": ["x"] * 257}, "spec.command"),
    ("argument over 64 KiB", {"command": ["x" * 65537]}, "spec.command[0]"),
    ("too many args", {"args": ["x"] * 1025}, "spec.args"),
    ("resumeCommand that nothing runs", {"resumeCommand": ["true"]},
     "spec.resumeCommand is what a resumed attempt runs: set spec.onLost to Resume or Manual"),
    ("resumeCommand where it restarts", {"resumeCommand": ["true"], "onLost": "Restart"}, "spec.resumeCommand"),
    ("resumeCommand empty", {"resumeCommand": [], "onLost": "Resume"}, "spec.resumeCommand"),
    ("resumeCommand with an empty program", {"resumeCommand": [""], "onLost": "Resume"},
     "spec.resumeCommand[0] names the program"),
    ("args of null", {"args": [None]}, "spec.args[0]"),
    ("env name with a dash", {"env": [{"name": "A-B", "value": "x"}]}, "spec.env[0].name"),
    ("env name empty", {"env": [{"name": "", "value": "x"}]}, "spec.env[0].name"),
    ("env name that begins with a digit", {"env": [{"name": "1A", "value": "x"}]}, "spec.env[0].name"),
    ("env name missing", {"env": [{"value": "x"}]}, "spec.env[0].name"),
    ("env name of ours", {"env": [{"name": "HOLDFAST_JOB", "value": "x"}]}, "spec.env[0].name"),
    ("env twice the same", {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "spec.env[1]"),
    ("env value is a number", {"env": [{"name": "A", "value": 1}]}, "spec.env[0].value"),
    ("env value with NUL", {"env": [{"name": "A", "value": "\u0000"}]}, "spec.env[0].value"),
    ("env value and valueFrom", {"env": [{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": REFERENCE}}]},
     "spec.env[0].valueFrom"),
    ("valueFrom empty", {"env": [{"name": "A", "valueFrom": {}}]}, "spec.env[0].valueFrom"),
    ("valueFrom both", {"env": [{"name": "A", "valueFrom": {"secretKeyRef": REFERENCE, "configMapKeyRef": REFERENCE}}]},
     "spec.env[0].valueFrom"),
    ("secretKeyRef without key", {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a"}}}]},
     "spec.env[0].valueFrom.secretKeyRef.key"),
    ("secretKeyRef with a path as key",
     {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "../b"}}}]},
     "spec.env[0].valueFrom.secretKeyRef.key"),
    ("configMapKeyRef with a bad name",
     {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "A/B", "key": "b"}}}]},
     "spec.env[0].valueFrom.configMapKeyRef.name"),
    ("too many variables", {"env": [{"name": f"A{n}", "value": ""} for n in range(257)]}, "spec.env"),
    ("envFrom empty", {"envFrom": [{}]}, "spec.envFrom[0]"),
    ("envFrom both", {"envFrom": [{"configMapRef": {"name": "a"}, "secretRef": {"name": "a"}}]}, "spec.envFrom[0]"),
    ("envFrom with a bad prefix", {"envFrom": [{"configMapRef": {"name": "a"}, "prefix": "A-"}]},
     "spec.envFrom[0].prefix"),
    ("envFrom without a name", {"envFrom": [{"secretRef": {}}]}, "spec.envFrom[0].secretRef.name"),
    ("too many envFrom", {"envFrom": [{"secretRef": {"name": "a"}}] * 33}, "spec.envFrom"),
    ("relative workingDir", {"workingDir": "src"}, "spec.workingDir"),
    ("empty workingDir", {"workingDir": ""}, "spec.workingDir"),
    ("workingDir with NUL", {"workingDir": "/a\u0000"}, "spec.workingDir"),
    ("workingDir over PATH_MAX", {"workingDir": "/" + "a" * 4096}, "spec.workingDir"),
    ("empty queue", {"queue": ""}, "spec.queue"),
    ("queue in capitals", {"queue": "Default"}, "spec.queue"),
    ("queue with a slash", {"queue": "a/b"}, "spec.queue"),
    ("queue too long", {"queue": "a" * 254}, "spec.queue"),
    ("priority as text", {"priority": "high"}, "spec.priority"),
    ("priority as a fraction", {"priority": 1.5}, "spec.priority"),
    ("priority too high", {"priority": 1000001}, "spec.priority"),
    ("priority too low", {"priority": -1000001}, "spec.priority"),
    ("unknown executor", {"executor": "Docker"}, "spec.executor"),
    ("a Pod without an image", {"executor": "Pod"}, "spec.pod"),
    ("a Pod of an empty image", {"pod": {"image": ""}}, "spec.pod.image"),
    ("a Pod with a path as claim", {"pod": {"image": "a", "workspaceClaim": "../b"}}, "spec.pod.workspaceClaim"),
    ("a Pod with labels of ours", {"pod": {"image": "a", "labels": {"holdfast.dev/x": "y"}}}, "spec.pod.labels"),
    ("a Pod with a template of text", {"pod": {"image": "a", "template": "x"}}, "spec.pod.template"),
    ("memory is no quantity", {"limits": {"memory": "lots"}}, "spec.limits.memory"),
    ("memory negative", {"limits": {"memory": "-1Gi"}}, "spec.limits.memory"),
    ("memory next to nothing", {"limits": {"memory": "10"}}, "spec.limits.memory"),
    ("cpu negative", {"limits": {"cpu": -1}}, "spec.limits.cpu"),
    ("cpu none", {"limits": {"cpu": "0"}}, "spec.limits.cpu"),
    ("cpu as a list", {"limits": {"cpu": [1]}}, "spec.limits.cpu"),
    ("openFiles too few", {"limits": {"openFiles": 3}}, "spec.limits.openFiles"),
    ("openFiles too many", {"limits": {"openFiles": 2000000}}, "spec.limits.openFiles"),
    ("outputBytes none", {"limits": {"outputBytes": 0}}, "spec.limits.outputBytes"),
    ("outputBytes with a unit of its own", {"limits": {"outputBytes": "1GB"}}, "spec.limits.outputBytes"),
    ("deadline without unit", {"deadline": "60"}, "spec.deadline"),
    ("deadline as a number", {"deadline": 60}, "spec.deadline"),
    ("deadline in days", {"deadline": "1d"}, "spec.deadline"),
    ("deadline zero", {"deadline": "0s"}, "spec.deadline"),
    ("deadline negative", {"deadline": "-1h"}, "spec.deadline"),
    ("deadline over ten years", {"deadline": "87601h"}, "spec.deadline"),
    ("deadline over every number", {"deadline": "9" * 30 + "h"}, "spec.deadline"),
    ("activeDeadline zero", {"activeDeadline": "0ms"}, "spec.activeDeadline"),
    ("gracePeriod empty", {"gracePeriod": ""}, "spec.gracePeriod"),
    ("gracePeriod with a space", {"gracePeriod": "1 s"}, "spec.gracePeriod"),
    ("retry as a number", {"retry": 3}, "spec.retry"),
    ("retry.limit negative", {"retry": {"limit": -1}}, "spec.retry.limit"),
    ("retry.limit without end", {"retry": {"limit": 101}}, "spec.retry.limit"),
    ("retry.backoff in words", {"retry": {"backoff": "soon"}}, "spec.retry.backoff"),
    ("retry.maxBackoff of a fraction", {"retry": {"maxBackoff": "1.5h"}}, "spec.retry.maxBackoff"),
    ("unknown onLost", {"onLost": "Resurrect"}, "spec.onLost"),
    ("lossLimit negative", {"lossLimit": -1}, "spec.lossLimit"),
    ("suspend as text", {"suspend": "yes"}, "spec.suspend"),
    ("cancel as a number", {"cancel": 1}, "spec.cancel"),
    ("decision for attempt 0", {"decision": {"attempt": 0, "action": "Fail"}}, "spec.decision.attempt"),
    ("decision without action", {"decision": {"attempt": 1}}, "spec.decision.action"),
    ("decision with an unknown action", {"decision": {"attempt": 1, "action": "Ignore"}}, "spec.decision.action"),
    ("ttlAfterFinished without unit", {"ttlAfterFinished": "3600"}, "spec.ttlAfterFinished"),
    ("a field that is not there", {"image": "busybox"}, "spec.image"),
    ("a misspelt field", {"limits": {"mem": "1Gi"}}, "spec.limits.mem"),
]  # fmt: skip

BAD_QUEUES: list[tuple[str, dict[str, Any], str]] = [
    ("concurrency negative", {"concurrency": -1}, "spec.concurrency"),
    ("concurrency too high", {"concurrency": 100001}, "spec.concurrency"),
    ("concurrency as text", {"concurrency": "2"}, "spec.concurrency"),
    ("paused as text", {"paused": "true"}, "spec.paused"),
    (
        "a ramp without a rate",
        {"admission": {"ramp": {}}},
        "admission.ramp sets resumedPerSecond, newPerSecond or both",
    ),
    ("a ramp below nothing", {"admission": {"ramp": {"newPerSecond": -1}}}, "spec.admission.ramp.newPerSecond"),
    ("a ramp as text", {"admission": {"ramp": {"resumedPerSecond": "fast"}}}, "spec.admission.ramp.resumedPerSecond"),
    ("a field that is not there", {"limit": 2}, "spec.limit"),
]

NOW = "2026-11-20T12:00:00Z"
ATTEMPT: dict[str, Any] = {"id": "uid.1", "number": 1, "state": "Running"}
CONDITION = {"type": "Running", "status": "True", "reason": "Started", "lastTransitionTime": NOW}

BAD_STATUS: list[tuple[str, dict[str, Any], str]] = [
    ("unknown phase", {"phase": "Sleeping"}, "status.phase"),
    ("attempt 0", {"attempt": {**ATTEMPT, "number": 0}}, "status.attempt.number"),
    ("attempt without id", {"attempt": {"number": 1, "state": "Running"}}, "status.attempt.id"),
    ("attempt in an unknown state", {"attempt": {**ATTEMPT, "state": "Zombie"}}, "status.attempt.state"),
    ("exit code 256", {"attempt": {**ATTEMPT, "exitCode": 256}}, "status.attempt.exitCode"),
    ("signal 0", {"attempt": {**ATTEMPT, "signal": 0}}, "status.attempt.signal"),
    ("start at no time", {"attempt": {**ATTEMPT, "startedAt": "yesterday"}}, "status.attempt.startedAt"),
    ("condition neither true nor false", {"conditions": [{**CONDITION, "status": "Maybe"}]},
     "status.conditions[0].status"),
    ("condition twice", {"conditions": [CONDITION, CONDITION]}, "status.conditions[1]"),
    ("condition without a time", {"conditions": [{"type": "Running", "status": "True", "reason": "Started"}]},
     "status.conditions[0].lastTransitionTime"),
    ("history of six", {"history": [ATTEMPT] * 6}, "status.history"),
    ("failures negative", {"failures": -1}, "status.failures"),
    ("position negative", {"queuePosition": -1}, "status.queuePosition"),
    ("output negative", {"output": {"bytes": -1}}, "status.output.bytes"),
    ("message over its bound", {"attempt": {**ATTEMPT, "message": "x" * 2049}}, "status.attempt.message"),
]  # fmt: skip

CHANGES_ONCE_STARTED: list[tuple[str, dict[str, Any]]] = [
    ("command", {"command": ["false"]}),
    ("args", {"args": ["x"]}),
    ("queue", {"queue": "other"}),
    ("executor", {"executor": "Process"}),
    ("pod", {"pod": {"image": "a"}}),
    ("workingDir", {"workingDir": "/tmp"}),
]


def with_spec(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    body = copy.deepcopy(base)
    body["spec"] = {key: value for key, value in {**body["spec"], **change}.items() if value is not None}
    return body


def test_there_are_enough_of_them() -> None:
    """Issue item 4: at least 60 bad objects."""
    assert len(BAD_SPECS) + len(BAD_QUEUES) + len(BAD_STATUS) >= 60
    assert len({name for name, _, _ in BAD_SPECS}) == len(BAD_SPECS)


@pytest.mark.parametrize(("name", "change", "field"), BAD_SPECS, ids=[row[0] for row in BAD_SPECS])
def test_a_bad_job_is_refused(objects: Any, name: str, change: dict[str, Any], field: str) -> None:
    """1.2: unknown fields are named under strict field validation, which kubectl asks for."""
    message = objects.refusal(objects.create, "batchjobs", with_spec(JOB, change))
    assert field in message


@pytest.mark.parametrize(("name", "change", "field"), BAD_QUEUES, ids=[row[0] for row in BAD_QUEUES])
def test_a_bad_queue_is_refused(objects: Any, name: str, change: dict[str, Any], field: str) -> None:
    """1.2"""
    message = objects.refusal(objects.create, "jobqueues", with_spec(QUEUE, change))
    assert field in message


def test_a_job_without_spec_is_refused(objects: Any) -> None:
    """1.2"""
    message = objects.refusal(objects.create, "batchjobs", {key: value for key, value in JOB.items() if key != "spec"})
    assert "spec: Required value" in message


@pytest.mark.parametrize(("name", "status", "field"), BAD_STATUS, ids=[row[0] for row in BAD_STATUS])
def test_a_bad_status_is_refused(objects: Any, name: str, status: dict[str, Any], field: str) -> None:
    """1.2, 1.3: also Holdfast itself cannot record nonsense."""
    job = objects.create("batchjobs", JOB)["metadata"]["name"]
    message = objects.refusal(objects.patch_status, "batchjobs", job, status)
    assert field in message


def test_cancel_cannot_be_unset(objects: Any) -> None:
    """1.2, 2.4: neither set to false nor left out."""
    job = objects.create("batchjobs", with_spec(JOB, {"cancel": True}))["metadata"]["name"]
    for change in (False, None):
        message = objects.refusal(objects.patch, "batchjobs", job, {"spec": {"cancel": change}})
        assert "spec.cancel: Forbidden: spec.cancel cannot be unset" in message


@pytest.mark.parametrize(("field", "change"), CHANGES_ONCE_STARTED, ids=[row[0] for row in CHANGES_ONCE_STARTED])
def test_what_runs_is_immutable_once_started(objects: Any, field: str, change: dict[str, Any]) -> None:
    """1.2: free to change while the job waits, fixed from its first attempt on; the message says what to do."""
    job = objects.create("batchjobs", JOB)["metadata"]["name"]
    objects.patch("batchjobs", job, {"spec": change})
    original = objects.patch("batchjobs", job, {"spec": {field: JOB["spec"].get(field)}})
    objects.patch_status("batchjobs", job, {"attempt": ATTEMPT})
    message = objects.refusal(objects.patch, "batchjobs", job, {"spec": change})
    assert f"spec.{field}: Forbidden: spec.{field} is immutable once the job has started" in message
    assert "holdfast rerun" in message
    assert objects.get("batchjobs", job)["spec"] == original["spec"]


def test_what_is_not_what_runs_can_change_at_any_time(objects: Any) -> None:
    """2.4: priority, deadlines, suspension, a decision."""
    job = objects.create("batchjobs", JOB)["metadata"]["name"]
    objects.patch_status("batchjobs", job, {"attempt": ATTEMPT})
    change = {"priority": 7, "deadline": "1h", "suspend": True, "decision": {"attempt": 1, "action": "Fail"}}
    spec = objects.patch("batchjobs", job, {"spec": change})["spec"]
    assert {key: spec[key] for key in change} == change
