"""A namespace full of all kinds, in all states, as an archive of another cluster: written, not run, so it is quick."""

from __future__ import annotations

from typing import Any

from controller.api.callback import CallbackStatus
from controller.api.callback_use import CallbackEvent
from controller.decisions.outbox import callback_name, delivery_id

Object = dict[str, Any]

AT = "2026-11-19T10:00:00.000000Z"
STATE = "0b54a1e6-8a4c-4f0e-9a3b-1d7e5a1c0001"
COUNTS = {"Succeeded": 40, "Failed": 10, "Queued": 50, "Running": 6, "Suspended": 4}


def uid(number: int) -> str:
    return f"11111111-0000-4000-8000-{number:012d}"


def condition(kind: str, status: str = "True", reason: str = "R") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": "m", "lastTransitionTime": AT}


def _meta(namespace: str, name: str, number: int, **more: Any) -> Object:
    return {
        "name": name,
        "namespace": namespace,
        "uid": uid(number),
        "resourceVersion": str(1000 + number),
        "creationTimestamp": "2026-11-19T09:00:00Z",
        **more,
    }


def _attempt(number: int, state: str, **more: Any) -> Object:
    return {"id": f"{uid(number)}.1", "number": 1, "state": state, "stateId": STATE, "startedAt": AT, **more}


def _job(namespace: str, phase: str, number: int, marker: str) -> Object:
    """A job that would leave a file behind, if it were ever started."""
    spec: Object = {"command": ["/bin/sh", "-c", f"echo {number} >>{marker}"], "queue": "line"}
    status: Object = {"phase": phase, "sequence": 5000 - number if phase == "Queued" else number}
    if phase in ("Succeeded", "Failed"):
        code = 0 if phase == "Succeeded" else 3
        end = "Complete" if phase == "Succeeded" else "Failed"
        attempt = _attempt(number, phase, exitCode=code, finishedAt=AT)
        status |= {"attempt": attempt, "finishedAt": AT, "conditions": [condition(end), condition("Finished")]}
    elif phase == "Running":
        status |= {"attempt": _attempt(number, phase), "conditions": [condition("Running"), condition("Admitted")]}
    elif phase == "Suspended":
        spec["suspend"] = True
    return {"metadata": _meta(namespace, f"{phase.lower()}-{number:03d}", number), "spec": spec, "status": status}


def _callback(namespace: str, job: Object, url: str, state: str, number: int) -> Object:
    """The end of `job`, told (or about to be) to `url`."""
    its, name = job["metadata"]["uid"], job["metadata"]["name"]
    id_ = delivery_id(its, 1, "hook", CallbackEvent.SUCCEEDED)
    job["spec"]["callbacks"] = [{"name": "hook", "url": url, "secretRef": {"name": "hook", "key": "secret"}}]
    record = {"name": "hook", "id": id_, "event": "Succeeded", "attempt": 1, "state": state}
    job["status"]["deliveries"] = [record]
    owner = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "BatchJob", "name": name, "uid": its, "controller": True}
    spec = {
        "job": {"name": name, "uid": its, "attempt": 1},
        "callback": "hook",
        "event": "Succeeded",
        "id": id_,
        "url": url,
        "secretRef": {"name": "hook", "key": "secret"},
        "payload": '{"type":"x"}',
    }
    status = CallbackStatus().to_json() | {"phase": state, "attempts": 1 if state == "Delivered" else 0}
    if state == "Delivered":
        status |= {"finishedAt": AT, "deliveredAt": AT, "conditions": [condition("Delivered"), condition("Finished")]}
    meta = _meta(namespace, callback_name(name, id_), number, ownerReferences=[owner])
    return {"metadata": meta, "spec": spec, "status": status}


def everything(namespace: str, marker: str, url: str = "http://127.0.0.1:1/") -> dict[str, list[Object]]:
    """All kinds, by kind."""
    number, jobs = 0, []
    for phase, count in COUNTS.items():
        for _ in range(count):
            number += 1
            jobs.append(_job(namespace, phase, number, marker))
    repository = {
        "metadata": _meta(namespace, "shop", 900),
        "spec": {"url": "http://127.0.0.1:1/shop.git"},
        "status": {
            "phase": "Ready",
            "lock": {"token": 41, "holders": [_holder()]},
            "statistics": {"operations": 7, "failed": 1},
        },
    }
    batch = {
        "metadata": _meta(namespace, "shop-batch", 901, ownerReferences=[_owner("Repository", "shop", 900)]),
        "spec": {"repository": "shop", "commit": "a" * 40, "prepare": {"command": ["true"]}},
        "status": {"phase": "Ready", "number": 1},
    }
    return {
        "JobQueue": [
            {"metadata": _meta(namespace, "line", 800), "spec": {"concurrency": 3}, "status": {"pending": 50}}
        ],
        "Repository": [repository],
        "RepositoryLock": [_claim(namespace, "anna", 910, "Held"), _claim(namespace, "done", 911, "Released")],
        "JobBatch": [batch],
        "Callback": [
            _callback(namespace, jobs[0], url, "Delivered", 920),
            _callback(namespace, jobs[1], url, "Pending", 921),
        ],
        "BatchJob": jobs,
    }


def _holder() -> Object:
    return {"claim": "anna", "uid": uid(910), "mode": "Exclusive", "token": 41}


def _owner(kind: str, name: str, number: int) -> Object:
    return {"apiVersion": "holdfast.dev/v1alpha1", "kind": kind, "name": name, "uid": uid(number)}


def _claim(namespace: str, name: str, number: int, phase: str) -> Object:
    spec = {"repository": "shop", "mode": "Exclusive", "holder": {"kind": "Person", "name": name}}
    return {
        "metadata": _meta(namespace, name, number),
        "spec": spec,
        "status": {"phase": phase, "sequence": 2, "token": 41},
    }
