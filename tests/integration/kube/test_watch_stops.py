"""A watch that is told to stop while it is told of objects (design 9): nothing is left for the event loop to close."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from controller.kube.watch import run_watch
from tests.integration.kube.objects import batch_job
from tests.running_plane import RunningPlane

LIMIT_SECONDS = 60.0
OBJECTS = 40


@pytest.fixture
def objects(plane_http: httpx.Client, namespace: str) -> int:
    """How many jobs there are at least."""
    for number in range(OBJECTS):
        url = f"/apis/holdfast.dev/v1alpha1/namespaces/{namespace}/batchjobs"
        plane_http.post(url, json=batch_job(f"job-{number}")).raise_for_status()
    return OBJECTS


async def watch_until(plane: RunningPlane, events: int, said: list[dict[str, Any]]) -> None:
    """Stop at an event; `said` gets what the event loop is told of, also after this has ended."""
    asyncio.get_running_loop().set_exception_handler(lambda _, what: said.append(what))
    stop, seen = asyncio.Event(), 0

    def told(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == events:
            stop.set()

    watch = run_watch(plane.kubeconfig, told, stop, kinds=("BatchJob", "JobQueue", "Callback"))
    await asyncio.wait_for(watch, LIMIT_SECONDS)
    assert seen >= events


def test_a_stop_between_two_objects_is_clean(plane: RunningPlane, objects: int) -> None:
    """7.9: kopf's generators are closed in their order, so none of them fails."""
    said: list[dict[str, Any]] = []
    for events in (1, 2, 3, 5, 8, 13, 21, objects):
        asyncio.run(watch_until(plane, events, said))
    assert not said, said[0]
