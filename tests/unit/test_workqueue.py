"""The work queue (design 2; requirements 7.9, 9.1)."""

from __future__ import annotations

import asyncio

from controller.api.keys import Key
from controller.reconcile.workqueue import BACKOFF_LIMIT_SECONDS, HIGH, LOW, NORMAL, WorkQueue
from tests.unit.builders import key
from tests.unit.clock import Clock


async def take(queue: WorkQueue) -> Key:
    async with asyncio.timeout(5):
        taken = await queue.get()
    assert taken is not None
    return taken


async def test_adding_twice_does_it_once() -> None:
    """Design 2: `add` dedupes."""
    queue = WorkQueue()
    queue.add(key("a"))
    queue.add(key("a"))
    assert await take(queue) == key("a")
    queue.done(key("a"))
    assert queue.depth().ready == 0


async def test_a_key_added_in_work_runs_again_afterwards() -> None:
    """Design 2: a key in work is run again, and never twice at once."""
    queue = WorkQueue()
    queue.add(key("a"))
    await take(queue)
    queue.add(key("a"))
    queue.add(key("a"))
    assert queue.depth().ready == 0
    queue.done(key("a"))
    assert await take(queue) == key("a")
    queue.done(key("a"))
    assert queue.depth().ready == 0


async def test_urgent_keys_go_first_and_equals_keep_their_order() -> None:
    """Design 2: priorities for keys."""
    queue = WorkQueue()
    for name, priority in (("low", LOW), ("b", NORMAL), ("a", NORMAL), ("high", HIGH)):
        queue.add(key(name), priority)
    queue.add(key("low"), LOW)
    queue.add(key("a"), HIGH)
    assert [(await take(queue)).name for _ in range(4)] == ["high", "a", "b", "low"]


async def test_a_more_urgent_wish_in_work_is_kept() -> None:
    """Design 2: what is added while a key is in work keeps the more urgent priority."""
    queue = WorkQueue()
    queue.add(key("a"))
    await take(queue)
    queue.add(key("a"), LOW)
    queue.add(key("a"), HIGH)
    queue.add(key("b"), NORMAL)
    queue.done(key("a"))
    assert await take(queue) == key("a")


async def test_of_several_delays_the_earliest_wins() -> None:
    """Design 2: `add_after`."""
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add_after(key("a"), 10)
    queue.add_after(key("a"), 5)
    queue.add_after(key("a"), 20)
    clock.now += 4.9
    queue.release_due()
    assert queue.depth().ready == 0
    clock.now += 0.2
    queue.release_due()
    assert queue.depth().ready == 1
    await take(queue)
    queue.done(key("a"))
    clock.now += 100
    queue.release_due()
    assert queue.depth() == queue.depth().__class__(0, 0, 0, 0.0)


async def test_what_is_unscheduled_leaves_nothing() -> None:
    """Requirement 6.3: the wishes of objects that are gone lie up to 30 days ahead and must not pile up till then."""
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add_after(key("stays"), 20)
    for number in range(1000):
        queue.add_after(key(f"gone-{number}"), 30 * 86400)
        queue.unschedule(key(f"gone-{number}"))
    assert queue.depth().delayed == 1
    assert len(queue._timers) < 100
    clock.now += 21
    queue.release_due()
    assert await take(queue) == key("stays")
    queue.shut_down()


async def test_a_delay_ends_by_itself() -> None:
    """Design 2: the event loop's timer makes the key ready, also an earlier one set later."""
    queue = WorkQueue()
    queue.add_after(key("late"), 3600)
    queue.add_after(key("a"), 0.05)
    queue.add_after(key("b"), 0.02)
    assert await take(queue) == key("b")
    assert await take(queue) == key("a")
    queue.shut_down()


async def test_backoff_doubles_up_to_its_limit_and_forget_resets_it() -> None:
    """Design 2: backoff per key 0.5 s * 2^n up to 5 min; `forget`."""
    queue = WorkQueue(jitter=lambda: 0.0)
    waits = [queue.add_rate_limited(key("a")) for _ in range(12)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == BACKOFF_LIMIT_SECONDS
    queue.forget(key("a"))
    assert queue.add_rate_limited(key("a")) == 0.5
    assert queue.add_rate_limited(key("b"), at_least=7.0) == 7.0
    queue.shut_down()


async def test_a_cancelled_getter_loses_no_key() -> None:
    """Design 2: a wake-up given to a waiter that is cancelled in the same moment goes to another one."""
    queue = WorkQueue()
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(key("a"))
    second.cancel()
    async with asyncio.timeout(5):
        assert await first == key("a")


async def test_shut_down_gives_out_nothing_and_drains_what_is_in_work() -> None:
    """Requirement 7.9: stop taking keys, finish the ones in work."""
    queue = WorkQueue()
    queue.add(key("a"))
    queue.add(key("b"))
    await take(queue)
    assert not await queue.drain(0.01)
    assert await queue.get() is None
    draining = asyncio.create_task(queue.drain(5))
    await asyncio.sleep(0)
    queue.done(key("a"))
    assert await draining
    queue.add(key("c"))
    assert queue.depth().in_work == 0


async def test_the_age_of_the_oldest_ready_key_is_told() -> None:
    """Requirement 9.1: queue depth; 9.4: the stall check needs the age."""
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(key("a"), LOW)
    clock.now += 30
    queue.add(key("b"))
    queue.add(key("a"), HIGH)
    assert queue.depth().oldest_ready_seconds == 30
    await take(queue)
    assert queue.depth().oldest_ready_seconds == 0
