"""The work queue and the workers (design 2; requirements 7.9, 9.1, 9.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.api.keys import Key
from controller.errors import HoldfastError, Terminal, Transient, Waiting
from controller.kube.errors import Unreachable
from controller.reconcile.workers import Result, Workers
from controller.reconcile.workqueue import BACKOFF_LIMIT_SECONDS, HIGH, LOW, NORMAL, WorkQueue
from controller.telemetry.metrics import Metrics


def key(name: str) -> Key:
    return Key("BatchJob", "default", name)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until `condition` holds, at most `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  any condition, not one event
            await asyncio.sleep(0.005)


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


class Clock:
    """Seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


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


class QueueMachine(RuleBasedStateMachine):
    """Any order of calls keeps the promises of the module against a simple model of them."""

    names = st.sampled_from("abcde")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.queue = WorkQueue(self.clock, jitter=lambda: 0.0)
        self.ready: set[str] = set()
        self.again: set[str] = set()
        self.work: set[str] = set()
        self.delayed: dict[str, float] = {}

    def teardown(self) -> None:
        self.run(self.queue.shut_down)
        self.loop.close()

    def run(self, call: Callable[[], object]) -> None:
        async def inside() -> None:
            call()

        self.loop.run_until_complete(inside())

    def model_add(self, name: str) -> None:
        (self.again if name in self.work else self.ready).add(name)

    @rule(name=names, priority=st.integers(0, 3))
    def add(self, name: str, priority: int) -> None:
        self.run(lambda: self.queue.add(key(name), priority))
        self.model_add(name)

    @rule(name=names, seconds=st.integers(1, 50))
    def add_after(self, name: str, seconds: int) -> None:
        self.run(lambda: self.queue.add_after(key(name), seconds))
        due = self.clock.now + seconds
        self.delayed[name] = min(due, self.delayed.get(name, due))

    @rule(seconds=st.integers(1, 30))
    def time_passes(self, seconds: int) -> None:
        self.clock.now += seconds
        self.run(self.queue.release_due)
        for name in [n for n, due in self.delayed.items() if due <= self.clock.now]:
            del self.delayed[name]
            self.model_add(name)

    @precondition(lambda self: self.ready)
    @rule()
    def get(self) -> None:
        taken = self.loop.run_until_complete(asyncio.wait_for(self.queue.get(), 1))
        assert taken is not None
        assert taken.name in self.ready and taken.name not in self.work
        self.ready.remove(taken.name)
        self.work.add(taken.name)

    @precondition(lambda self: self.work)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.work)))
        self.run(lambda: self.queue.done(key(name)))
        self.work.remove(name)
        if name in self.again:
            self.again.remove(name)
            self.ready.add(name)

    @invariant()
    def counts_agree(self) -> None:
        depth = self.queue.depth()
        assert (depth.ready, depth.delayed, depth.in_work) == (len(self.ready), len(self.delayed), len(self.work))


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class Reconciler:
    """Raises what it is told, in order, then succeeds; tells how often it ran at once per key."""

    def __init__(self, *outcomes: HoldfastError | Exception | Result) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[Key] = []
        self.running: set[Key] = set()

    async def __call__(self, what: Key) -> Result:
        assert what not in self.running
        self.running.add(what)
        self.calls.append(what)
        await asyncio.sleep(0)
        self.running.remove(what)
        outcome = self.outcomes.pop(0) if self.outcomes else Result()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def count(metrics: Metrics, reaction: str) -> float:
    value = metrics.registry.get_sample_value(
        "holdfast_reconcile_errors_total", {"kind": "BatchJob", "reaction": reaction}
    )
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("outcome", "reaction", "delayed", "failures"),
    [
        (Waiting("QueuePaused", "paused"), "waiting", 0, 0),
        (Waiting("NotYet", "wait", retry_after=60), "waiting", 1, 0),
        (Transient("Busy", "try again"), "transient", 1, 1),
        (Unreachable("Unreachable", "down", retry_after=60), "transient", 1, 1),
        (Terminal("Bad", "never"), "terminal", 0, 0),
        (KeyError("a defect"), "defect", 1, 1),
        (Result(wake_after=60), None, 1, 0),
        (Result(), None, 0, 0),
    ],
)
async def test_workers_react_to_how_a_reconcile_ended(
    outcome: Exception | Result, reaction: str | None, delayed: int, failures: int
) -> None:
    """Requirements 7.3, 9.1: each error has one reaction, and is counted."""
    queue, metrics = WorkQueue(Clock()), Metrics()  # a clock that stands: what is delayed stays so
    workers = Workers(queue, Reconciler(outcome), 2, metrics)
    workers.start()
    queue.add(key("a"))
    await until(lambda: workers.finished == 1)
    assert queue.depth().delayed == delayed
    assert queue.failures(key("a")) == failures
    if reaction is not None:
        assert count(metrics, reaction) == 1
    assert await workers.stop(5)


async def test_a_defect_of_one_key_does_not_end_the_others() -> None:
    """Requirement 7.5: what is broken never stops the rest."""
    queue, reconciler = WorkQueue(), Reconciler(ZeroDivisionError("a"), ZeroDivisionError("b"))
    workers = Workers(queue, reconciler, 1, Metrics())
    workers.start()
    for name in "abc":
        queue.add(key(name))
    await until(lambda: workers.finished == 3)
    assert {k.name for k in reconciler.calls} == {"a", "b", "c"}
    assert workers.stalled() is None
    assert await workers.stop(5)


async def test_a_cancelled_sub_task_does_not_end_its_worker() -> None:
    """Requirement 7.5: a cancellation that was not meant for the worker is a defect of this key."""
    metrics, queue, tries = Metrics(), WorkQueue(), []

    async def waits_for_a_cancelled_one(what: Key) -> Result:
        tries.append(what)
        other = asyncio.create_task(asyncio.Event().wait())
        other.cancel()
        await other
        return Result()

    workers = Workers(queue, waits_for_a_cancelled_one, 1, metrics)
    workers.start()
    for name in "ab":
        queue.add(key(name))
    await until(lambda: workers.finished == 2)
    assert len(tries) == 2 and count(metrics, "defect") == 2
    assert workers.stalled() is None
    assert await workers.stop(5)


async def test_a_stuck_reconcile_and_an_old_key_are_told() -> None:
    """Requirement 9.4: /healthz fails when the workers stall."""
    clock, release = Clock(), asyncio.Event()

    async def stuck(_: Key) -> Result:
        await release.wait()
        return Result()

    queue = WorkQueue(clock)
    workers = Workers(queue, stuck, 1, Metrics())
    workers.start()
    queue.add(key("a"))
    await until(lambda: queue.depth().in_work == 1)
    queue.add(key("b"))
    assert workers.stalled() is None
    clock.now += 61
    assert "BatchJob/default/a has been in work for 61 s" in (workers.stalled() or "")
    release.set()
    await until(lambda: workers.finished == 2)
    assert workers.stalled() is None
    assert await workers.stop(5)


async def test_stop_finishes_what_is_in_work_within_its_grace() -> None:
    """Requirement 7.9: finish the reconciles in work; past the grace they are cancelled."""
    queue, began, ended = WorkQueue(), asyncio.Event(), []

    async def slow(what: Key) -> Result:
        began.set()
        await asyncio.sleep(3600 if what.name == "endless" else 0.05)
        ended.append(what.name)
        return Result()

    workers = Workers(queue, slow, 4, Metrics())
    workers.start()
    queue.add(key("short"))
    await began.wait()
    assert await workers.stop(5)
    assert ended == ["short"]

    queue = WorkQueue()
    workers = Workers(queue, slow, 4, Metrics())
    workers.start()
    began.clear()
    queue.add(key("endless"))
    await began.wait()
    assert not await workers.stop(0.05)
    assert ended == ["short"]
