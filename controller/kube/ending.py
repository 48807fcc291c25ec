"""Ending kopf without leaving anything behind: what it does not end itself is ended here, in the right order.

kopf cancels its root tasks wherever they are, and closes its connections then.
- The requests of its first look at what is served are tasks of their own that nobody cancels: they would fail on a
  closed connection, and be tried again. They are cancelled before kopf is told to stop.
- Whoever is cancelled while kopf ends does not wait for its tasks any more.
- A watcher that is cancelled between two events leaves its generators suspended. The event loop closes all of them at
  once at its end, and an outer one fails because the inner ones are being closed already ("generator didn't stop after
  athrow()"). They are closed when kopf has ended, the outer ones first.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import AsyncGenerator
from itertools import count
from pathlib import Path
from types import AsyncGeneratorType
from typing import Any, Self

import kopf

Generator = AsyncGeneratorType[Any, Any]
HOME = Path(kopf.__file__).parent
SCANNING = str(HOME / "_cogs" / "clients" / "scanning.py")
END_SECONDS = 3.0
OUTERMOST = "infinite_watch"  # held here: what is collected meanwhile is closed by the loop, in no order


def of_kopf(task: object, where: str = str(HOME)) -> bool:
    """Whether it is a task of kopf's, begun in a file that begins with `where`."""
    code = getattr(task.get_coro(), "cr_code", None) if isinstance(task, asyncio.Task) else None
    return code is not None and code.co_filename.startswith(where)


async def pass_on(stop: asyncio.Event, kopf_stop: asyncio.Event) -> None:
    """Wait until we are to stop, and have kopf stop then."""
    await stop.wait()
    looking = [task for task in asyncio.all_tasks() if of_kopf(task, SCANNING)]
    for task in looking:
        task.cancel()
    await asyncio.gather(*looking, return_exceptions=True)
    kopf_stop.set()


async def tasks_end() -> None:
    """Wait until kopf's tasks have ended; they were told so, or are now, after a while."""
    left = [task for task in asyncio.all_tasks() if of_kopf(task)]
    if left:
        _, stuck = await asyncio.wait(left, timeout=END_SECONDS)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)  # each was logged by kopf itself


class Generators:
    """Knows kopf's generators that are begun while it is entered; in the thread of a running event loop."""

    def __init__(self) -> None:
        self._order: weakref.WeakKeyDictionary[Generator, int] = weakref.WeakKeyDictionary()
        self._held: list[Generator] = []
        self._numbers = count()
        self._hooks = sys.get_asyncgen_hooks()

    def __enter__(self) -> Self:
        self._hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._begun, finalizer=self._hooks.finalizer)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.set_asyncgen_hooks(*self._hooks)

    def _begun(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self._hooks.firstiter is not None:
            self._hooks.firstiter(generator)
        assert isinstance(generator, AsyncGeneratorType)
        code = generator.ag_code
        if code.co_filename.startswith(str(HOME)):
            self._order[generator] = next(self._numbers)
            if code.co_name == OUTERMOST:
                self._held.append(generator)

    async def aclose(self) -> None:
        """Close those that are left; to be called when kopf's tasks have ended.

        Raises:
            Exception: what a generator ended with.
        """
        left = sorted(self._order.items(), key=lambda item: item[1])  # an outer one begins before its inner ones
        self._held.clear()
        for generator, _ in left:
            if not generator.ag_running:
                await generator.aclose()
