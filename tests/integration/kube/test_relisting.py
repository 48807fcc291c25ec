"""Jobs that no event told, read by a re-check: their order, with the real API server (requirement 2.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from controller.api.keys import API_VERSION, Key
from controller.kube.client import Api
from controller.kube.store import Store
from controller.kube.sync import sync
from controller.reconcile.index import AttemptIndex
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import WorkQueue
from controller.recovery.relisting import Relisting
from controller.telemetry.metrics import Metrics
from tests.eventually import eventually
from tests.integration.kube.objects import batch_job
from tests.integration.kube.users import allowed, connected
from tests.running_plane import RunningPlane

JOBS = "BatchJob"
MANY = 24


class Bench:
    """The reader on the real store and scheduler, in a namespace whose queue lets one job run."""

    def __init__(self, client: Api, metrics: Metrics, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self.store, self.queue, index = Store(metrics), WorkQueue(), AttemptIndex()
        index.load([])
        self.scheduler = Scheduler(self.queue, index, 1000)
        self.store.listen(self.scheduler.observe)

    @asynccontextmanager
    async def reading(self, api: Api) -> AsyncIterator[Relisting]:
        """All is known so far; then `api` reads."""
        queue = {"apiVersion": API_VERSION, "kind": "JobQueue", "metadata": {"name": "one"}, "spec": {"concurrency": 1}}
        await self.client.create("JobQueue", self.namespace, queue)
        await sync(self.client, self.store, ("JobQueue", JOBS))
        relisting = Relisting(api, self.store, self.queue, self.scheduler, lambda *_: None)
        self.scheduler.gate.wait_for(set())
        tasks = [asyncio.create_task(each.run()) for each in (self.scheduler, relisting)]
        yield relisting
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def make(self, *names: str) -> None:
        for name in names:
            await self.client.create(JOBS, self.namespace, batch_job(name, queue="one"))

    async def woken(self, name: str) -> None:
        """Return once a key of the job comes out of the work queue."""
        while await self.queue.get() != Key(JOBS, self.namespace, name):
            pass

    def granted(self, *names: str) -> list[str]:
        jobs = {name: self.store.job(Key(JOBS, self.namespace, name)) for name in names}
        return [name for name, job in jobs.items() if job and self.scheduler.granted(job.metadata.uid)]


@pytest.fixture
def bench(client: Api, metrics: Metrics, namespace: str) -> Bench:
    return Bench(client, metrics, namespace)


def descending() -> list[str]:
    """Names that sort the other way than they are made."""
    return [f"job-{MANY - number:02}" for number in range(MANY)]


async def test_a_re_check_lets_the_oldest_start(bench: Bench) -> None:
    """2.1: eight are fetched at a time, by name; none of them starts before all are known."""
    names = descending()
    async with bench.reading(bench.client) as relisting:
        await bench.make(*names)
        relisting.look_again()
        await eventually(lambda: bench.granted(*names))
        assert bench.granted(*names) == names[:1]


async def test_a_re_check_does_not_end_the_wait_for_the_watch(bench: Bench) -> None:
    """2.1: what the watch's LIST tells may be younger than the re-check, so its answer is waited for too."""
    async with bench.reading(bench.client) as relisting:
        await bench.make("first")
        relisting.began(JOBS)
        relisting.look_again()
        await asyncio.wait_for(bench.woken("first"), 60)
        bench.scheduler.cycle()
        assert bench.granted("first") == []
        relisting.listed(JOBS)
        await eventually(lambda: bench.granted("first") == ["first"])


async def test_a_read_that_failed_is_done_again_before_anybody_starts(
    bench: Bench, plane: RunningPlane, metrics: Metrics, plane_http: httpx.Client
) -> None:
    """2.1, 8: what became known of a half-read LIST does not start; nobody has to ask again."""
    names = descending()
    user = f"reader-of-{bench.namespace}"
    async with connected(plane, metrics, user=user) as api, bench.reading(api) as relisting:
        await bench.make(*names)
        relisting.look_again()
        last = await bench.client.get(JOBS, bench.namespace, names[-1])
        await eventually(lambda: metrics.rights.missing)
        bench.store.update(JOBS, last)
        bench.scheduler.cycle()
        assert bench.granted(*names) == []
        with allowed(plane_http, user):
            await eventually(lambda: bench.granted(*names))
        assert bench.granted(*names) == names[:1]
