"""A bench for tests of the scheduler on the real store, books and work queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from controller.kube.store import Store
from controller.reconcile.index import AttemptIndex
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import WorkQueue
from controller.telemetry.metrics import Metrics
from tests.unit.builders import START, JobBuilder, queue
from tests.unit.world import VirtualLoop

METRICS = Metrics("test")


class Bench:
    """A scheduler whose gate is open, told of objects as the watch tells of them; time moves only by `wait`."""

    def __init__(self, host_limit: int = 8) -> None:
        self.loop = VirtualLoop()
        self.store = Store(METRICS, clock=self.loop.time)
        self.queue = WorkQueue(clock=self.loop.time)
        self.index = AttemptIndex()
        self.index.load([])
        self.scheduler = Scheduler(self.queue, self.index, host_limit)
        self.store.listen(self.scheduler.observe)
        self.version = 100
        self.task = self.loop.create_task(self.scheduler.run())
        self.call(lambda: self.scheduler.gate.wait_for(set()))

    def close(self) -> None:
        self.task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def call(self, what: Callable[[], object]) -> None:
        """Do `what` in the loop; cycles that it makes due run after it."""

        async def body() -> None:
            what()
            for _ in range(4):
                await asyncio.sleep(0)

        self.loop.run_until_complete(body())

    def wait(self, seconds: float) -> None:
        self.loop.seconds += seconds
        self.call(lambda: None)

    def tell(self, *builders: JobBuilder, edited: bool = False) -> None:
        def update() -> None:
            for builder in builders:
                self.version += 1
                raw = builder.version(self.version).raw()
                managers = [{"manager": "kubectl", "time": START.isoformat()}]
                raw["metadata"] |= {"generation": 2 if edited else 1, "managedFields": managers}
                raw["metadata"]["creationTimestamp"] = START.isoformat()
                self.store.update("BatchJob", raw)

        self.call(update)
        self.wait(0.05)

    def declare(self, name: str, concurrency: int | None = None, *, paused: bool = False) -> None:
        self.version += 1
        built = queue(name, concurrency, paused=paused, version=self.version)
        self.call(lambda: self.store.update("JobQueue", {**built.to_json()}))
        self.wait(0.05)

    def delete(self, builder: JobBuilder) -> None:
        self.version += 1
        raw: dict[str, Any] = builder.version(self.version).raw()
        self.call(lambda: self.store.delete("BatchJob", raw))
        self.wait(0.05)

    def granted(self, *names: str) -> list[str]:
        return [name for name in names if self.scheduler.granted(f"uid-{name}")]
