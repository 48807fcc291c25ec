"""The place of a job that was edited before it was first seen, from the real API server (requirement 2.1, design 4)."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from controller.api.batchjob import BatchJob
from controller.errors import Waiting
from controller.kube.client import Api
from controller.kube.errors import Unreachable
from controller.kube.events import Recorder
from controller.kube.store import Store
from controller.reconcile.index import AttemptIndex
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.sequence import TRIES, PlaceFinder
from controller.reconcile.workqueue import WorkQueue
from controller.telemetry.metrics import Metrics
from tests.integration.kube.objects import batch_job
from tests.integration.kube.users import connected
from tests.running_plane import RunningPlane


class Bench:
    """A finder on the real store and scheduler; `api` answers its look-ups, Events go by `client`."""

    def __init__(self, api: Api, client: Api, metrics: Metrics) -> None:
        self.store = Store(metrics)
        index = AttemptIndex()
        index.load([])
        self.scheduler = Scheduler(WorkQueue(), index, 8)
        self.store.listen(self.scheduler.observe)
        self.events = Recorder(client, metrics)
        self.events.start()
        self.finder = PlaceFinder(api, self.store, self.scheduler, self.events)

    async def edited(self, client: Api, namespace: str) -> tuple[BatchJob, int]:
        """A job that was edited before the store saw it, and the version of its creation."""
        made = await client.create("BatchJob", namespace, batch_job("late"))
        body = {"spec": {"ttlAfterFinished": "10m"}}
        job = BatchJob.model_validate(await client.patch("BatchJob", namespace, "late", body))
        self.store.update("BatchJob", await client.get("BatchJob", namespace, "late"))
        assert self.scheduler.sequence(job) is None
        return job, int(made["metadata"]["resourceVersion"])

    async def told(self, http: httpx.Client, namespace: str) -> list[str]:
        """Messages of the Events SequenceEstimated."""
        assert await self.events.flush(60)
        answer = await asyncio.to_thread(http.get, f"/api/v1/namespaces/{namespace}/events")
        events = answer.json()["items"]
        return [event["message"] for event in events if event["reason"] == "SequenceEstimated"]


async def test_the_version_of_the_creation(
    client: Api, plane_http: httpx.Client, namespace: str, metrics: Metrics
) -> None:
    """2.1: found by bisection, and nobody is told of it."""
    bench = Bench(client, client, metrics)
    job, created = await bench.edited(client, namespace)
    await bench.finder.find(job)
    assert bench.scheduler.sequence(job) == created
    assert await bench.told(plane_http, namespace) == []


async def test_an_api_server_that_is_away_is_waited_for(
    plane: RunningPlane, client: Api, namespace: str, metrics: Metrics
) -> None:
    """2.1: an outage heals, so it never makes the place an estimate."""
    async with connected(plane, metrics, host="https://127.0.0.1:1") as api:
        bench = Bench(api, client, metrics)
        job, _ = await bench.edited(client, namespace)
        for _ in range(2 * TRIES):
            with pytest.raises(Unreachable):
                await bench.finder.find(job)
        assert bench.scheduler.sequence(job) is None
        await bench.events.flush(1)


async def test_a_refusal_that_lasts_makes_it_an_estimate(
    plane: RunningPlane, client: Api, plane_http: httpx.Client, namespace: str, metrics: Metrics
) -> None:
    """2.1: what does not heal is tried some times; then the place is estimated, with an Event."""
    async with connected(plane, metrics, user="nobody") as api:
        bench = Bench(api, client, metrics)
        job, _ = await bench.edited(client, namespace)
        for _ in range(TRIES):
            with pytest.raises(Waiting):
                await bench.finder.find(job)
            assert bench.scheduler.sequence(job) is None
        await bench.finder.find(job)
    assert bench.scheduler.sequence(job) == job.metadata.version
    (message,) = await bench.told(plane_http, namespace)
    assert "estimated" in message and "could not be looked up" in message


async def test_what_can_never_be_asked_is_estimated_at_once(
    client: Api, plane_http: httpx.Client, namespace: str, metrics: Metrics
) -> None:
    """2.1: repeating a Terminal refusal cannot help."""
    bench = Bench(client, client, metrics)
    job, _ = await bench.edited(client, namespace)
    unaskable = job.model_copy(update={"metadata": job.metadata.model_copy(update={"name": "late,spec.none=1"})})
    await bench.finder.find(unaskable)
    assert bench.scheduler.sequence(job) == job.metadata.version
    assert len(await bench.told(plane_http, namespace)) == 1
