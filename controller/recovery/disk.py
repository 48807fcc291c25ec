"""Free space of the state directory: below minFreeBytes nothing is admitted, below half of it the largest writer ends.

Writers end with OutputLimit one by one, recorded as any other stop, until there is room again (design 4).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import structlog

from controller.api.batchjob import BatchJob
from controller.executors.base import AttemptId
from controller.reconcile.parts import Parts
from controller.reconcile.workqueue import HIGH
from controller.settings import Settings

LEAST_WRITER_BYTES = 1024**2  # ending a job that printed less would cost the job and win nothing

_log = structlog.get_logger("controller.disk")


class DiskWatch:
    """See the module.

    Args:
        output: where an attempt's output is.
    """

    def __init__(self, parts: Parts, settings: Settings, output: Callable[[AttemptId], Path]) -> None:
        self._parts = parts
        self._home = settings.home
        self._runs = settings.runs
        self._min_free = settings.min_free_bytes
        self._output = output
        parts.metrics.min_free_bytes.set(settings.min_free_bytes)

    def look(self) -> None:
        """Look once; a state directory that cannot be looked at shuts admission too."""
        scheduler = self._parts.scheduler
        try:
            self._check_runs()
            free = shutil.disk_usage(self._home).free
        except OSError as error:
            text = f"{error.filename or self._home}: {error.strerror}; no job starts until it can be written to"
            scheduler.gate.shut("StateDirectory", text)
            return
        scheduler.gate.open("StateDirectory")
        self._parts.metrics.free_bytes.set(free)
        if free >= self._min_free:
            scheduler.gate.open("DiskFull")
            return
        scheduler.gate.shut("DiskFull", f"{self._home} has {free} bytes free, minFreeBytes is {self._min_free}")
        if free < self._min_free // 2:
            self._end_largest(free)

    def _check_runs(self) -> None:
        """Raise OSError where no run directory could be made: read-only, immutable and missing count alike."""
        self._runs.stat()
        if not os.access(self._runs, os.W_OK | os.X_OK):
            raise OSError(errno.EROFS, "cannot be written to", str(self._runs))

    def _end_largest(self, free: int) -> None:
        size, job = max(self._writers(), key=lambda writer: writer[0], default=(0, None))
        if job is not None and size >= LEAST_WRITER_BYTES:
            _log.error(
                "the disk is nearly full: the largest writer ends", job=str(job.key), output_bytes=size, free_bytes=free
            )
            self._parts.evictions.wish(job.metadata.uid, "OutputLimit")
            self._parts.queue.add(job.key, HIGH)

    def _writers(self) -> list[tuple[int, BatchJob]]:
        """Size of the output so far and job, of all that hold a slot."""
        found = []
        for uid, key in self._parts.scheduler.held_keys():
            job = self._parts.store.job(key)
            if job is not None and job.status.attempt is not None:
                with contextlib.suppress(OSError):  # no output yet, or its directory cannot be read
                    found.append((self._output(AttemptId(uid, job.status.attempt.number)).stat().st_size, job))
        return found
