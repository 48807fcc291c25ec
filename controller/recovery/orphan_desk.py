"""What `holdfast orphans` asks the controller over HTTP: what there is, sweep now, settle one (7.6, 7.7)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from controller.errors import Terminal, Waiting
from controller.executors.base import AttemptId
from controller.files.usage import disk_usage
from controller.reconcile.orphans import OrphanReconciler
from controller.recovery.orphans import Orphan, Sweeper

Json = dict[str, Any]


class OrphanDesk:
    """Closed until the state directory is bound: before, everything would look like an orphan.

    Args:
        closed: why, while it is.
    """

    def __init__(self, closed: Callable[[], str | None]) -> None:
        self._closed = closed
        self._sweeper: Sweeper | None = None
        self._reconciler: OrphanReconciler | None = None

    def open(self, sweeper: Sweeper, reconciler: OrphanReconciler) -> None:
        """From now on it is known what belongs to whom."""
        self._sweeper, self._reconciler = sweeper, reconciler

    async def look(self) -> Json:
        """All orphans with what will be done; nothing is changed. Raises Waiting while it is closed."""
        sweeper, _ = self._opened()
        found, problems = await sweeper.look()
        rows = [(orphan, _will(sweeper, orphan)) for orphan in found]
        return {"items": await asyncio.to_thread(_rows, rows), "problems": problems}

    async def sweep(self) -> Json:
        """Sweep now; all orphans with what was done. Raises Waiting while it is closed."""
        sweeper, _ = self._opened()
        rows, problems = await sweeper.sweep()
        return {"items": await asyncio.to_thread(_rows, rows), "problems": problems}

    async def settle(self, name: str) -> str:
        """A person says that an attempt is over; says what was done.

        Raises:
            Waiting: it is closed.
            Terminal: it cannot be settled so.
            Transient: it can be tried again.
        """
        _, reconciler = self._opened()
        try:
            attempt = AttemptId.parse(name)
        except ValueError as error:
            raise Terminal("BadAttemptName", f"{name!r} is not <job uid>.<number>") from error
        return await reconciler.settle(attempt)

    def _opened(self) -> tuple[Sweeper, OrphanReconciler]:
        if self._sweeper is None or self._reconciler is None:
            why = self._closed() or "the controller has not looked at everything yet"
            raise Waiting("NotBound", f"nothing is looked for, and nothing removed: {why}")
        return self._sweeper, self._reconciler


def _will(sweeper: Sweeper, orphan: Orphan) -> str:
    due = sweeper.due_in(orphan)
    if due is None or due == 0:
        return orphan.plan
    return f"{orphan.plan}, if the look after {due:.0f} s finds the same"


def _rows(orphans: list[tuple[Orphan, str]]) -> list[Json]:
    """Blocks: the size of what is there is counted."""
    return [_row(orphan, action) for orphan, action in orphans]


def _row(orphan: Orphan, action: str) -> Json:
    age = None if orphan.since is None else max(0.0, time.time() - orphan.since)
    return {
        "sort": orphan.sort,
        "name": orphan.name,
        "path": orphan.path,
        "proof": orphan.proof,
        "action": action,
        "stays": orphan.stays,
        "ageSeconds": age,
        "processes": orphan.processes,
        "memoryBytes": orphan.memory_bytes,
        "diskBytes": disk_usage(orphan.path),
    }
