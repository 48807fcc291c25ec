"""When a waiting job will start, estimated from how long jobs of its queue took (requirement 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

UNKNOWN_SECONDS = 60.0  # typical run time where nothing of the queue has ended yet


def typical_seconds(recent: Sequence[float]) -> float:
    """Median of the last run times in seconds; robust against the one job that hung for a day."""
    return median(recent) if recent else UNKNOWN_SECONDS


def wait_seconds(position: int, slots: int, typical: float) -> float | None:
    """Seconds until the job at `position` (0 = next) starts, with `slots` jobs of `typical` seconds at once.

    Returns None where nothing starts (`slots` is 0: paused, or the queue's concurrency is 0).
    """
    if slots <= 0:
        return None
    return (position // slots + 1) * typical if position >= 0 else 0.0
