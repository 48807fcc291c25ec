"""Threads and cancellation for calls to other machines (`remote`), which may take long but end with the process.

Threads of their own, so that who waits for a network takes none from those who wait for a disk. One set for the
process, as fsspec's event loop is, in which the calls run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

THREADS = 8

P = ParamSpec("P")
T = TypeVar("T")

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_flying: set[Future[Any]] = set()


async def apart(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that blocks in one of these threads; raises what it raises."""
    global _pool
    with _lock:
        pool = _pool = _pool or ThreadPoolExecutor(THREADS, "remote")
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: call(*args, **kwargs))


def result_of(future: Future[T], seconds: float) -> T:
    """Wait for what runs in fsspec's loop.

    Raises:
        TimeoutError: after `seconds`; what ran is cancelled.
        CancelledError: of concurrent.futures, by `cancel_calls`.
    """
    with _lock:
        _flying.add(future)
    try:
        return future.result(seconds)
    finally:
        future.cancel()
        with _lock:
            _flying.discard(future)


def cancel_calls() -> None:
    """End what is under way and drop what waits for a thread: no transfer holds up the end of the process."""
    global _pool
    with _lock:
        pool, _pool, flying = _pool, None, list(_flying)
    if pool is not None:
        pool.shutdown(wait=False, cancel_futures=True)
    for future in flying:
        future.cancel()
