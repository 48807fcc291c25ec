"""A write that was done and whose answer never came: what was to follow from it follows all the same (design 1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from controller.executors.base import AttemptId
from controller.telemetry.metrics import Metrics
from tests.unit.controller_model import Controller
from tests.unit.world import VirtualLoop, World

METRICS = Metrics("test")


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.close()


def test_an_attempt_is_let_go_of_though_its_end_was_recorded_without_an_answer(loop: VirtualLoop) -> None:
    """4.2: at the next look at the job, not by the sweep minutes later: its Pod would stay for as long."""
    world = World()

    async def spin(controller: Controller, seconds: float = 1.0) -> None:
        loop.seconds += seconds
        world.monotonic = loop.seconds
        for _ in range(20):
            controller.deliver()
            controller.scheduler.cycle()
            await asyncio.sleep(0)
            while await controller.work():
                controller.deliver()

    async def play() -> None:
        controller = Controller(world, loop, 3, METRICS)
        await controller.start()
        uid = world.create("BatchJob", "a", {"command": ["true"], "queue": "default"})["metadata"]["uid"]
        attempt = AttemptId(uid, 1)
        await spin(controller)
        world.begin(attempt)
        await spin(controller)
        world.end(attempt, 0)
        controller.wake(attempt)
        world.lost_answers = 1
        await spin(controller, 5.0)
        await spin(controller, 5.0)
        assert world.objects["BatchJob", "a"]["status"]["phase"] == "Succeeded" and not world.lost_answers
        assert attempt in world.released

    loop.run_until_complete(play())
