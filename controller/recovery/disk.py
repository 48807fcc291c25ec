"""Free space of the state directory: below minFreeBytes nothing is admitted, below half of it the largest writer ends.

Writers end with OutputLimit one by one, recorded as any other stop, until there is room again (design 4).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from controller.api.keys import Key
from controller.reconcile.scheduler import Scheduler
from controller.telemetry.metrics import Metrics

RUNS = "runs"
LEAST_WRITER_BYTES = 1024**2  # ending a job that printed less would cost the job and win nothing

_log = structlog.get_logger("controller.disk")


class DiskWatch:
    """Looked at every few seconds by the app.

    Args:
        home: the state directory; `runs` in it holds the run directories.
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
            self._check_runs()
            free = shutil.disk_usage(self._home).free
        except OSError as error:
            text = f"{error.filename or self._home}: {error.strerror}; no job starts until it can be written to"
            self._scheduler.shut("StateDirectory", text)
            return
        self._scheduler.open("StateDirectory")
        self._metrics.free_bytes.set(free)
        if free >= self._min_free:
            self._scheduler.open("DiskFull")
            return
        self._scheduler.shut("DiskFull", f"{self._home} has {free} bytes free, minFreeBytes is {self._min_free}")
        if free < self._min_free // 2:
            self._end_largest(free)

    def _check_runs(self) -> None:
        """Raise OSError where no run directory could be made: read-only, immutable and missing count alike."""
        runs = self._home / RUNS
        runs.stat()
        if not os.access(runs, os.W_OK | os.X_OK):
            raise OSError(errno.EROFS, "cannot be written to", str(runs))

    def _end_largest(self, free: int) -> None:
        size, key = max(self._writers(), default=(0, None))
        if key is not None and size >= LEAST_WRITER_BYTES:
            _log.error(
                "the disk is nearly full: the largest writer ends", job=str(key), output_bytes=size, free_bytes=free
            )
            self._evict(key)
