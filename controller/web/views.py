"""JSON views of what the controller knows; read-only."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from controller.api.model import format_time
from controller.reconcile.scheduler import Scheduler


def queue_rows(scheduler: Scheduler, namespace: str | None, queue: str | None, now: datetime) -> list[dict[str, Any]]:
    """Every waiting job with its exact position (1 = next) and estimated start, in the order of each queue."""
    rows: list[dict[str, Any]] = []
    for (space, name), account in sorted(scheduler.books.accounts.items()):
        if namespace not in (None, space) or queue not in (None, name):
            continue
        for position, waiting in enumerate(account.waiting):
            seconds = scheduler.books.eta(waiting.uid, scheduler.host_limit)
            start = format_time(now + timedelta(seconds=seconds)) if seconds is not None else None
            row = {"namespace": space, "queue": name, "name": waiting.name, "position": position + 1}
            rows.append(
                row | {"priority": -waiting.order[0], "sequence": waiting.order[1], "estimatedStartTime": start}
            )
    return rows
