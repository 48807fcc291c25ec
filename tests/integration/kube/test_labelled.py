"""The view of what carries our label, on the real API server (requirement 4.2)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from controller.kube.client import Api
from controller.kube.workloads import Workloads
from tests.eventually import eventually

LABEL = "holdfast.dev/test-of-views"


async def test_a_label_that_somebody_changes(client: Api, plane_http: httpx.Client, namespace: str) -> None:
    """4.2: the object moves to the other group, both are told, and its deletion leaves nothing behind."""
    told: list[str] = []
    view = Workloads(client, LABEL)
    view.subscribe(told.append)
    await view.fill()
    task = asyncio.create_task(view.run())
    url = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    container = {"name": "main", "image": "none"}
    body: dict[str, Any] = {
        "metadata": {"name": "one", "labels": {LABEL: "a"}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    (await asyncio.to_thread(plane_http.post, url, json=body)).raise_for_status()
    await eventually(lambda: view.groups() == {"a"})
    told.clear()
    patch = json.dumps({"metadata": {"labels": {LABEL: "b"}}})
    headers = {"Content-Type": "application/merge-patch+json"}
    (await asyncio.to_thread(plane_http.patch, f"{url}/one", content=patch, headers=headers)).raise_for_status()
    await eventually(lambda: view.groups() == {"b"})
    assert set(told) == {"a", "b"} and view.known("a") == ([], [])
    background = {"propagationPolicy": "Background"}
    await asyncio.to_thread(plane_http.request, "DELETE", f"{url}/one", json=background)
    await eventually(lambda: not view.groups())
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await view.close()
