"""The one limit of these tests' waits: for a busy machine. A wait ends as soon as its condition holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tests.eventually import eventually_sync

T = TypeVar("T")
PATIENCE = 120.0  # seconds


def soon(condition: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """Wait until the condition returns something true; returns that."""
    return eventually_sync(condition, timeout, what)
