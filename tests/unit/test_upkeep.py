"""Chores come in their order, each when it is due (design 2: what is urgent is woken, the rest is looked at)."""

from __future__ import annotations

import asyncio

import pytest

from controller.kube.errors import OlderEtcd
from controller.recovery.upkeep import Chore, Upkeep
from controller.telemetry.metrics import Metrics
from tests.eventually import eventually


async def ticks(upkeep: Upkeep, done: list[str], last: str) -> None:
    """Run until `last` was done."""
    running = asyncio.create_task(upkeep.run())
    await eventually(lambda: last in done)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_first_tick_does_what_is_due_at_once() -> None:
    """Design 9: a start does not wait for chores whose first time comes later."""
    done: list[str] = []

    async def slow() -> None:
        await asyncio.sleep(0)
        done.append("slow")

    chores = (
        Chore("once", float("inf"), lambda: done.append("once")),
        Chore("later", 600, lambda: done.append("later"), at_once=False),
        Chore("slow", 600, slow),
        Chore("tick", 0, lambda: done.append("tick")),
    )
    await ticks(Upkeep(chores, Metrics()), done, "tick")
    assert done == ["once", "slow", "tick"]


async def test_a_chore_can_be_wished_sooner() -> None:
    """Design 2: a watch that begins with a LIST brings the re-check forward, and it is not put off by a later wish."""
    done: list[str] = []
    upkeep = Upkeep((Chore("recheck", 600, lambda: done.append("recheck"), at_once=False),), Metrics())
    upkeep.soon("recheck", 0)
    upkeep.soon("recheck", 300)
    await ticks(upkeep, done, "recheck")
    assert done == ["recheck"]


def defects(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("holdfast_reconcile_errors_total", {"kind": "Chore", "reaction": "defect"})


async def cancelled_elsewhere() -> None:
    """Waits for something that is cancelled, which is no wish to end whoever waits."""
    other = asyncio.create_task(asyncio.Event().wait())
    other.cancel()
    await other


@pytest.mark.parametrize("error", [RecursionError, PermissionError, asyncio.CancelledError])
@pytest.mark.parametrize("late", [True, False])
async def test_a_defect_of_one_chore_ends_no_other(error: type[BaseException], late: bool) -> None:
    """7.3, 7.5: it is counted, logged and tried again; the disk is looked at meanwhile."""
    metrics, tried, done = Metrics(), [], list[str]()

    async def fails_late() -> None:
        tried.append("late")
        if error is asyncio.CancelledError:
            await cancelled_elsewhere()
        await asyncio.sleep(0)
        raise error

    def fails() -> None:
        tried.append("at once")
        raise error

    chores = (Chore("fails", 600, fails_late if late else fails), Chore("disk", 0, lambda: done.append("disk")))
    upkeep = Upkeep(chores, metrics)
    running = asyncio.create_task(upkeep.run())
    await eventually(lambda: len(done) > 1)
    assert len(tried) == 1 and defects(metrics) == 1
    upkeep.soon("fails", 0)
    await eventually(lambda: len(tried) == 2)
    assert not running.done() and running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def test_what_is_meant_to_end_the_controller_does() -> None:
    """7.5: etcd was replaced: nothing may be done any more; and whoever is cancelled in a chore ends."""

    def replaced() -> None:
        raise OlderEtcd("OlderEtcd", "etcd was replaced")

    with pytest.raises(OlderEtcd):
        await Upkeep((Chore("recheck", 0, replaced),), Metrics()).run()

    began = asyncio.Event()

    async def stands_still() -> None:
        began.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(Upkeep((Chore("slow", 0, stands_still),), Metrics()).run())
    await began.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
