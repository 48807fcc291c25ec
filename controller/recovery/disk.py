"""Free space of the state directory: below minFreeBytes nothing is admitted, below half of it the largest writer ends.

Writers end with OutputLimit one by one, recorded as any other stop, until there is room again (design 4).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from controller.api.keys import Key
from controller.reconcile.scheduler import Scheduler
from controller.telemetry.metrics import Metrics

_log = structlog.get_logger("controller.disk")


class DiskWatch:
    """Looked at every few seconds by the app.

    Args:
        home: the state directory.
        min_free: bytes below which nothing is admitted.
        writers: keys and output sizes of the running jobs.
        evict: makes the reconciler of a job stop it with OutputLimit.
    """

    def __init__(
        self,
        home: Path,
        min_free: int,
        scheduler: Scheduler,
        metrics: Metrics,
        writers: Callable[[], Iterable[tuple[int, Key]]],
        evict: Callable[[Key], None],
    ) -> None:
        self._home = home
        self._min_free = min_free
        self._scheduler = scheduler
        self._metrics = metrics
        self._writers = writers
        self._evict = evict

    def look(self) -> None:
        """Look once; a state directory that cannot be looked at shuts admission too."""
        try:
            free = shutil.disk_usage(self._home).free
        except OSError as error:
            self._scheduler.shut("StateDirectory", f"{self._home}: {error}")
            return
        self._scheduler.open("StateDirectory")
        self._metrics.free_bytes.set(free)
        if free >= self._min_free:
            self._scheduler.open("DiskFull")
            return
        self._scheduler.shut("DiskFull", f"{self._home} has {free} bytes free, minFreeBytes is {self._min_free}")
        if free < self._min_free // 2:
            self._end_largest(free)

    def _end_largest(self, free: int) -> None:
        size, key = max(self._writers(), default=(0, None))
        if key is not None and size > 0:
            _log.error(
                "the disk is nearly full: the largest writer ends", job=str(key), output_bytes=size, free_bytes=free
            )
            self._evict(key)
