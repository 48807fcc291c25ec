"""The workers: how each end of a reconcile is reacted to, stalls, the stop (requirements 7.3, 7.5, 7.9, 9.1, 9.4)."""

from __future__ import annotations

import asyncio

import pytest

from controller.api.keys import Key
from controller.errors import HoldfastError, Terminal, Transient, Waiting
from controller.kube.errors import Unreachable
from controller.reconcile.workers import GONE, Result, Workers
from controller.reconcile.workqueue import WorkQueue
from controller.telemetry.metrics import Metrics
from tests.eventually import eventually
from tests.unit.builders import key
from tests.unit.clock import Clock


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
    await eventually(lambda: workers.finished == 1)
    assert queue.depth().delayed == delayed
    assert queue.failures(key("a")) == failures
    if reaction is not None:
        assert count(metrics, reaction) == 1
    assert await workers.stop(5)


async def test_what_is_gone_is_not_looked_at_again() -> None:
    """Requirement 6.3: a dead letter waits 30 days; when its namespace is deleted nothing of it stays behind."""
    queue = WorkQueue(Clock())
    workers = Workers(queue, Reconciler(Result(wake_after=60), GONE), 1, Metrics())
    workers.start()
    queue.add(key("a"))
    await eventually(lambda: queue.depth().delayed == 1)
    queue.add(key("a"))
    await eventually(lambda: workers.finished == 2)
    assert queue.depth().delayed == 0
    assert await workers.stop(5)


async def test_a_defect_of_one_key_does_not_end_the_others() -> None:
    """Requirement 7.5: what is broken never stops the rest."""
    queue, reconciler = WorkQueue(), Reconciler(ZeroDivisionError("a"), ZeroDivisionError("b"))
    workers = Workers(queue, reconciler, 1, Metrics())
    workers.start()
    for name in "abc":
        queue.add(key(name))
    await eventually(lambda: workers.finished == 3)
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
    await eventually(lambda: workers.finished == 2)
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
    await eventually(lambda: queue.depth().in_work == 1)
    queue.add(key("b"))
    assert workers.stalled() is None
    clock.now += 61
    assert "BatchJob/default/a has been in work for 61 s" in (workers.stalled() or "")
    release.set()
    await eventually(lambda: workers.finished == 2)
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
