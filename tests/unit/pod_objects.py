"""Builders of Jobs and Pods as the API server tells them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.decisions.observed import Observation
from controller.executors.base import AttemptId
from controller.executors.pod import names, publishing
from controller.executors.pod.reading import read
from controller.executors.pod.seen import Seen

Object = dict[str, Any]
ATTEMPT = AttemptId("0f1e2d3c-0000-0000-0000-000000000000", 2)
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def moment(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat(timespec="seconds").replace("+00:00", "Z")


def job(
    *conditions: Object, suspend: bool = False, notes: Object | None = None, publishes: bool = False, **meta: Any
) -> Object:
    """A Job of ATTEMPT; `notes` are our annotations, as objects; `publishes`: what its command pushes."""
    annotations = {name: json.dumps(note) for name, note in (notes or {}).items()}
    owners = [{"uid": ATTEMPT.job_uid, "kind": "BatchJob"}]
    found = {
        "name": "j",
        "namespace": "n",
        "uid": "job-uid",
        "labels": names.labels("j", ATTEMPT),
        "ownerReferences": owners,
        "annotations": annotations,
        "creationTimestamp": moment(-60),
        **meta,
    }
    containers = [{"name": name} for name in (names.CONTAINER, *([publishing.NAME] if publishes else []))]
    spec = {"suspend": suspend, "template": {"spec": {"containers": containers}}}
    return {"metadata": found, "spec": spec, "status": {"conditions": list(conditions)}}


def true(kind: str, reason: str = "", message: str = "", at: float = -1) -> Object:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": moment(at)}


COMPLETE = true("Complete")
FAILED = true("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")


def pod(phase: str, state: Object | None = None, *conditions: Object, **more: Any) -> Object:
    """A Pod; `state` of the command's container; `deleted`: seconds after NOW at which it is to be gone."""
    meta: Object = {"name": "p", "namespace": "n", "uid": "pod-uid", "labels": names.labels("j", ATTEMPT)}
    if "deleted" in more:
        meta["deletionTimestamp"] = moment(more.pop("deleted"))
    status = {"phase": phase, "conditions": list(conditions), **more}
    if state is not None:
        status["containerStatuses"] = [{"name": names.CONTAINER, "state": state}]
    return {"metadata": meta, "spec": {"nodeName": "node-1"}, "status": status}


RUNNING = {"running": {"startedAt": moment(-30)}}


def waits(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


def exited(code: int, reason: str = "", message: str = "", at: float = -5) -> Object:
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason or ("Completed" if code == 0 else "Error"),
            "message": message,
            "startedAt": moment(-30),
            "finishedAt": moment(at),
        }
    }


def seen(job: Object | None, *pods: Object, last: Object | None = None) -> Observation:
    """What they prove."""
    found = Seen.of(ATTEMPT, [job] if job else [], list(pods), last)
    return read(found.job, found.pods, NOW, found.last)
