"""Stops and releases of Pods that need the API server only: nobody runs them here (requirements 3.6, 4.2)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from controller.executors.base import LaunchSpec
from controller.executors.pod import names
from controller.kube.client import Api
from tests.contract.pod_subject import PodSubject
from tests.eventually import eventually

MERGE = {"Content-Type": "application/merge-patch+json"}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
WAITING = {"waiting": {"reason": "PodInitializing"}}


class Place:
    """Job and Pod of an attempt in one namespace; what a job controller and a kubelet would write, the test writes."""

    def __init__(self, http: httpx.Client, namespace: str, subject: PodSubject) -> None:
        self._http = http
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        http.post(account, json={"metadata": {"name": "default"}})  # the controller manager makes it too
        self.subject = subject

    async def launched(self, state: dict[str, object], **status: object) -> LaunchSpec:
        """An attempt whose Pod is in this state, as its executor's view tells."""
        spec = await self.subject.command("true")
        await self.subject.executor.launch(spec)
        labels = names.labels(spec.job, spec.attempt)
        pod = {
            "metadata": {"name": spec.job, "labels": labels},
            "spec": {"nodeName": "nobodys", "containers": [{"name": names.CONTAINER, "image": "a"}]},
        }
        self._http.post(self._pods, json=pod).raise_for_status()
        container = {"name": names.CONTAINER, "image": "a", "imageID": "", "ready": False, "restartCount": 0}
        told = {"phase": "Running", **status, "containerStatuses": [{**container, "state": state}]}
        self._patch(f"{self._pods}/{spec.job}/status", {"status": told})
        self.subject.woken.clear()
        await eventually(lambda: self.subject.made[0].workloads.known(str(spec.attempt))[1])
        return spec

    def note(self, spec: LaunchSpec, annotations: dict[str, str]) -> None:
        self._patch(f"{self._jobs}/{self._job(spec)}", {"metadata": {"annotations": annotations}})

    def failed(self, spec: LaunchSpec) -> None:
        conditions = [
            {
                "type": kind,
                "status": "True",
                "reason": "BackoffLimitExceeded",
                "lastTransitionTime": "2026-01-01T00:02:00Z",
            }
            for kind in ("FailureTarget", "Failed")
        ]
        status = {"conditions": conditions, "startTime": "2026-01-01T00:00:00Z", "failed": 1}
        self._patch(f"{self._jobs}/{self._job(spec)}/status", {"status": status})

    def deleted(self, spec: LaunchSpec) -> bool:
        """Whether the Pod was told to go, or is gone."""
        answer = self._http.get(f"{self._pods}/{spec.job}")
        return answer.status_code == 404 or "deletionTimestamp" in answer.raise_for_status().json()["metadata"]

    def _job(self, spec: LaunchSpec) -> str:
        return names.job_name(spec.job, spec.attempt)

    def _patch(self, url: str, body: dict[str, object]) -> None:
        self._http.patch(url, json=body, headers=MERGE).raise_for_status()


@pytest.fixture
async def place(client: Api, plane_http: httpx.Client, namespace: str, tmp_path: Path) -> AsyncIterator[Place]:
    subject = PodSubject(client, namespace, tmp_path)
    await subject.start()
    yield Place(plane_http, namespace, subject)
    await subject.close()


async def test_a_stop_that_was_cut_off_after_its_note_is_carried_out(place: Place) -> None:
    """3.6: killed between the note on the Job and the deletion of the Pod: whoever comes next still has to stop it."""
    spec = await place.launched(RUNNING)
    place.note(spec, {names.STOPPED: json.dumps({"reason": "Canceled", "at": "2026-01-01T00:01:00+00:00"})})
    other = await place.subject.again()
    assert not (await other.observe(spec.attempt)).stop_requested and not place.deleted(spec)
    await other.stop(spec.attempt, "Canceled", 30)
    assert place.deleted(spec)


async def test_the_release_of_a_pod_that_never_began(place: Place) -> None:
    """4.2, 7.6: there is no output to wait for: no kubelet is asked, and the Pod may go."""
    spec = await place.launched(WAITING, phase="Failed", reason="DeadlineExceeded")
    place.failed(spec)

    async def over() -> bool:
        seen = await place.subject.executor.observe(spec.attempt)
        return seen.exit is not None and seen.exit.reason == "DeadlineExceeded" and not seen.began

    await eventually(over)
    await place.subject.executor.release(spec.attempt, True)
    assert place.deleted(spec) and await place.subject.output(spec) == b""
