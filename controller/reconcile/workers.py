"""The workers: take a key, reconcile it, and react to how that ended.

The only place that catches any Exception, with `recovery/survived.py` for what is done beside the workers.

returned      backoff reset; again after Result.wake_after where it is given
Waiting       backoff reset; again after its retry_after (without one a change of the world wakes the key)
Transient     again with backoff, not before the error's retry_after where it has one
Terminal      logged, backoff reset; only a change of the object wakes the key
anything else a defect: counted, logged with its trace, again with backoff
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from controller.api.keys import Key
from controller.errors import Terminal, Transient, Waiting
from controller.kube.errors import Conflict, NotFound
from controller.reconcile.workqueue import NORMAL, WorkQueue
from controller.telemetry.metrics import Metrics

STALL_SECONDS = 60.0  # /healthz fails when one reconcile, or one ready key, is older

_log = structlog.get_logger("controller.reconcile")


@dataclass(frozen=True, slots=True)
class Result:
    """How a reconcile that raised nothing ended.

    Args:
        wake_after: seconds until the key is looked at again without any change; None: only a change wakes it.
        gone: there is no object of this key; what earlier passes wished for later is void.
    """

    wake_after: float | None = None
    gone: bool = False


GONE = Result(gone=True)


Reconcile = Callable[[Key], Awaitable[Result]]


class Workers:
    """`count` workers on one queue.

    Args:
        reconcile: called with a key, never twice at once for the same one.
    """

    def __init__(self, queue: WorkQueue, reconcile: Reconcile, count: int, metrics: Metrics) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._count = count
        self._metrics = metrics
        self._tasks: list[asyncio.Task[None]] = []
        self._counted = (0, 0)  # adds and retries that the metrics know of
        self.finished = 0  # reconciles that are over

    def start(self) -> None:
        """Begin to take keys. Call it before kopf starts: kopf cancels tasks that are younger than itself."""
        self._tasks = [asyncio.create_task(self._work(), name=f"worker-{n}") for n in range(self._count)]

    async def stop(self, grace_seconds: float) -> bool:
        """Take no more keys, give those in work `grace_seconds`, then cancel; returns whether none was cancelled."""
        drained = await self._queue.drain(grace_seconds)
        if not drained:
            left = ", ".join(str(key) for key in self._queue.in_work())
            _log.warning("stopping with reconciles in work", keys=left, grace_seconds=grace_seconds)
        for task in self._tasks:
            if not drained:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return drained

    def stalled(self) -> str | None:
        """Why the workers count as stalled, or None. For /healthz (requirement 9.4)."""
        for task in self._tasks:
            if task.done() and not self._queue.closed:
                return f"{task.get_name()} is dead"
        for key, seconds in self._queue.in_work().items():
            if seconds > STALL_SECONDS:
                return f"{key} has been in work for {seconds:.0f} s"
        oldest = self._queue.depth().oldest_ready_seconds
        return f"a key has been ready for {oldest:.0f} s" if oldest > STALL_SECONDS else None

    def observe(self) -> None:
        """Bring the metrics of the queue up to date; called before a scrape."""
        depth = self._queue.depth()
        for state, value in (("ready", depth.ready), ("delayed", depth.delayed), ("in_work", depth.in_work)):
            self._metrics.workqueue_depth.labels(state).set(value)
        self._metrics.workqueue_oldest_seconds.set(depth.oldest_ready_seconds)
        self._metrics.workqueue_adds.inc(self._queue.adds - self._counted[0])
        self._metrics.workqueue_retries.inc(self._queue.retries - self._counted[1])
        self._counted = (self._queue.adds, self._queue.retries)

    async def _work(self) -> None:
        while (key := await self._queue.get()) is not None:
            try:
                await self.once(key)
            finally:
                self._queue.done(key)
                self.finished += 1

    async def once(self, key: Key) -> None:
        """Reconcile a key that was taken from the queue, and react to how that ended."""
        began = time.perf_counter()
        try:
            result = await self._reconcile(key)
        except Waiting as error:
            self._failed(key, "waiting", error)
            self._queue.forget(key)
            if error.retry_after is not None:
                self._queue.add_after(key, error.retry_after, NORMAL)
        except Transient as error:
            at_least: float | None = getattr(error, "retry_after", None)
            wait = self._queue.add_rate_limited(key, at_least or 0.0)
            self._failed(key, "transient", error, wait)
        except Terminal as error:
            self._failed(key, "terminal", error)
            self._queue.forget(key)
        except asyncio.CancelledError as error:
            if being_cancelled():
                raise
            wait = self._queue.add_rate_limited(key)  # something that it waited for was cancelled, not this worker
            self._failed(key, "defect", error, wait)
        except Exception as error:  # noqa: BLE001  the worker boundary: a defect of one key must not end the others
            wait = self._queue.add_rate_limited(key)
            self._failed(key, "defect", error, wait)
        else:
            self._queue.forget(key)
            if result.gone:
                self._queue.unschedule(key)
            if result.wake_after is not None:
                self._queue.add_after(key, result.wake_after, NORMAL)
        finally:
            self._metrics.reconcile_seconds.labels(key.kind).observe(time.perf_counter() - began)

    def _failed(self, key: Key, reaction: str, error: BaseException, wait: float | None = None) -> None:
        self._metrics.reconcile_errors.labels(key.kind, reaction).inc()
        fields = {
            "kind": key.kind,
            "namespace": key.namespace,
            "name": key.name,
            "reason": getattr(error, "reason", type(error).__name__),
            "error": str(error),
        }
        if wait is not None:
            fields |= {"retry_in_seconds": f"{wait:.1f}", "failures": str(self._queue.failures(key))}
        if reaction == "defect":
            _log.error("reconcile failed: a defect", exc_info=error, **fields)
        elif reaction == "terminal":
            _log.error("reconcile gave up", **fields)
        elif reaction == "transient" and not isinstance(error, Conflict | NotFound):
            _log.warning("reconcile will be tried again", **fields)
        else:  # waiting, and 409 and 404, which are normal: the newer object is on its way (design 2)
            _log.debug("reconcile waits", **fields)


def being_cancelled() -> bool:
    """Whether a cancellation is meant for the task that runs, not only for something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
