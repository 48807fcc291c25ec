"""Chores come in their order, each when it is due (design 2: what is urgent is woken, the rest is looked at)."""

from __future__ import annotations

import asyncio

from controller.recovery.upkeep import Chore, Upkeep
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
    await ticks(Upkeep(chores), done, "tick")
    assert done == ["once", "slow", "tick"]


async def test_a_chore_can_be_wished_sooner() -> None:
    """Design 2: a watch that begins with a LIST brings the re-check forward, and it is not put off by a later wish."""
    done: list[str] = []
    upkeep = Upkeep((Chore("recheck", 600, lambda: done.append("recheck"), at_once=False),))
    upkeep.soon("recheck", 0)
    upkeep.soon("recheck", 300)
    await ticks(upkeep, done, "recheck")
    assert done == ["recheck"]
