"""A slot that is granted while the decision before it is still being recorded (requirements 2.1, 5.4)."""

from __future__ import annotations

import asyncio
from typing import Any

from controller.api.keys import Key
from controller.executors.base import AttemptId
from controller.telemetry.metrics import Metrics
from tests.unit.controller_model import Controller
from tests.unit.world import VirtualLoop, World

JOB = Key("BatchJob", "default", "job")


def test_it_is_kept_for_the_next_pass() -> None:
    """It was given back, with the lock that goes with it: the next attempt was voided before it began."""
    loop = VirtualLoop()
    world = World()

    async def life() -> None:
        controller = Controller(world, loop, 4, Metrics())
        await controller.start()
        world.create("JobQueue", "q", {"concurrency": 1})
        raw = world.create("BatchJob", "job", {"command": ["sleep"], "queue": "q"})
        uid = raw["metadata"]["uid"]
        await settle(controller)
        job = controller.store.job(JOB)
        assert job is not None and job.status.attempt is not None and job.status.attempt.number == 1
        world.begin(AttemptId(uid, 1))
        controller.sweep()
        await settle(controller)
        world.reboot()
        told_at_once(controller)
        controller.sweep()
        await controller.work()
        assert [raw["status"]["phase"] for (kind, _), raw in world.objects.items() if kind == "BatchJob"] == ["Queued"]
        assert controller.scheduler.granted(uid)
        await settle(controller)
        job = controller.store.job(JOB)
        assert job is not None and job.status.attempt is not None and job.status.attempt.number == 2

    try:
        loop.run_until_complete(life())
    finally:
        loop.close()


def told_at_once(controller: Controller) -> None:
    """The watch tells each write, and a cycle follows, before its answer is there."""
    write = controller.parts.api.patch_status

    async def patch_status(*arguments: Any) -> dict[str, Any]:
        answer = await write(*arguments)
        controller.deliver()
        controller.scheduler.cycle()
        return answer

    controller.parts.api.patch_status = patch_status  # type: ignore[method-assign]


async def settle(controller: Controller) -> None:
    """Tell, cycle and work until nothing is to be done."""
    for _ in range(20):
        controller.deliver()
        controller.scheduler.cycle()
        await controller.work()
        await asyncio.sleep(0)
