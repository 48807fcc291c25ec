"""How long a start took, stage by stage: the metric holdfast_start_seconds and one log line (requirement 10.2).

Each stage is told once. `listed` counts from the start of the process; `books`, `gate` and `steady` count from the end
of the first LIST; `list_cpu` is the CPU time that reading it took, which is work and not waiting.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import structlog

from controller.executors.process.identity import of_self
from controller.reconcile.workqueue import WorkQueue
from controller.telemetry.metrics import START_STAGES, Metrics

_log = structlog.get_logger("controller.start")


class Stopwatch:
    """See the module.

    Args:
        closed: whether admission is still shut.
        stood_by: seconds for which another controller led while this process ran; they are no part of the start.
    """

    def __init__(self, metrics: Metrics, queue: WorkQueue, closed: Callable[[], bool], stood_by: float = 0.0) -> None:
        self._stood_by = stood_by
        self._metrics = metrics
        self._queue = queue
        self._closed = closed
        self._listed_at = 0.0
        self._taken: dict[str, float] = {}

    def listed(self, at: float, cpu_seconds: float) -> None:
        """The first LIST is in the store since `at` (monotonic seconds)."""
        self._listed_at = at
        self._tell("listed", self.seconds() - (time.monotonic() - at))
        self._tell("list_cpu", cpu_seconds)

    def seconds(self) -> float:
        """Since the start began: since exec, or since this controller leads."""
        return seconds_since_exec() - self._stood_by

    def filled(self) -> None:
        """The books are filled and every key with something to do is queued."""
        self._tell("books", time.monotonic() - self._listed_at)
        self._look(in_work=0)

    def looked(self) -> None:
        """A key was reconciled, and is still in work: look whether a stage was reached."""
        if len(self._taken) < len(START_STAGES):
            self._look(in_work=1)  # this very key

    def _look(self, in_work: int) -> None:
        if "gate" not in self._taken and not self._closed():
            self._tell("gate", time.monotonic() - self._listed_at)
        depth = self._queue.depth()
        if "gate" in self._taken and depth.ready == 0 and depth.in_work <= in_work:
            self._tell("steady", time.monotonic() - self._listed_at)
            _log.info("steady", **{f"{stage}_seconds": f"{taken:.4f}" for stage, taken in self._taken.items()})

    def _tell(self, stage: str, seconds: float) -> None:
        self._taken[stage] = seconds
        self._metrics.start_seconds.labels(stage).set(seconds)


def seconds_since_exec() -> float:
    """Seconds since this process was started; start ticks count from boot (proc(5)), as CLOCK_BOOTTIME does."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - of_self().start_ticks / os.sysconf("SC_CLK_TCK")
