"""How long a start took, by stage (requirement 10.2)."""

from __future__ import annotations

import time

from controller.api.keys import Key
from controller.reconcile.workqueue import WorkQueue
from controller.recovery.stopwatch import Stopwatch
from controller.telemetry.metrics import START_STAGES, Metrics

KEY, OTHER = Key("BatchJob", "n", "a"), Key("BatchJob", "n", "b")


def stage(metrics: Metrics, name: str) -> float:
    value = metrics.registry.get_sample_value("holdfast_start_seconds", {"stage": name})
    assert value is not None
    return value


async def test_the_stages_are_told_in_their_order_once() -> None:
    """10.2: the gate opens when admission does, steady is when no key of the first pass is left."""
    metrics, queue, shut = Metrics(), WorkQueue(), [True]
    stopwatch = Stopwatch(metrics, queue, lambda: shut[0])

    def reconciled() -> None:
        shut[0] = False
        stopwatch.looked()

    assert all(stage(metrics, name) == 0 for name in START_STAGES)
    stopwatch.listed(time.monotonic(), 0.5)
    assert stage(metrics, "list_cpu") == 0.5
    assert stage(metrics, "listed") > 0
    queue.add(KEY)
    queue.add(OTHER)
    stopwatch.filled()
    assert stage(metrics, "books") > 0
    assert stage(metrics, "gate") == 0
    for steady in (False, True):
        key = await queue.get()
        assert key is not None
        reconciled()
        queue.done(key)
        assert stage(metrics, "gate") >= stage(metrics, "books")
        assert (stage(metrics, "steady") > 0) is steady
    told = stage(metrics, "steady")
    queue.add(KEY)
    assert await queue.get() == KEY
    reconciled()
    assert stage(metrics, "steady") == told


async def test_nothing_to_do_is_steady_at_once() -> None:
    """10.1: a start that finds nothing to do is over when its books are filled."""
    metrics = Metrics()
    stopwatch = Stopwatch(metrics, WorkQueue(), lambda: False)
    stopwatch.listed(time.monotonic(), 0.0)
    stopwatch.filled()
    assert 0 < stage(metrics, "gate") <= stage(metrics, "steady")
