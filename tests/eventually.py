"""Wait for a condition, with a limit: the only way in which tests wait.

`eventually` is for async tests, `eventually_sync` for the others. Both return what the condition returned.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.05


async def eventually(condition: Callable[[], T | Awaitable[T]], timeout: float = 60.0, what: str = "") -> T:
    """Call `condition` until it returns something true.

    An AssertionError that it raises counts as false and is shown when the time is over.

    Args:
        condition: plain or async function without arguments.
        timeout: seconds.
        what: names the condition in the failure.

    Raises:
        AssertionError: it was not true within the limit.
    """
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            result = condition()
            if inspect.isawaitable(result):
                result = await result
            if result:
                return result  # type: ignore[return-value]
            last = result
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(_message(condition, timeout, what, last))
        await asyncio.sleep(POLL_SECONDS)


def eventually_sync(condition: Callable[[], T], timeout: float = 60.0, what: str = "") -> T:
    """The same for tests without an event loop."""
    deadline = time.monotonic() + timeout
    while True:
        last: object
        try:
            result = condition()
            if result:
                return result
            last = result
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(_message(condition, timeout, what, last))
        time.sleep(POLL_SECONDS)


def _message(condition: object, timeout: float, what: str, last: object) -> str:
    name = what or getattr(condition, "__qualname__", repr(condition))
    return f"not within {timeout:g} s: {name}; the last look found {last!r}"
