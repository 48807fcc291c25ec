"""Limits that the supervisor samples: run time, size of the output, memory of the tree (requirements 2.4, 3.7).

Nothing is stopped here: each look answers with the stop that is due. Standard library only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from controller.executors.process.identity import Stat
from controller.executors.process.records import Attempt, Process, Stop, now_boottime
from controller.executors.process.rundir import RunDir
from controller.executors.process.story import Story
from controller.executors.process.tree import proportional_bytes, resident_bytes

_MEMORY_INTERVAL_SECONDS = 1.0
_OUTPUT_BYTES_PER_SECOND = 400_000_000  # faster than this a job may run over its outputBytes for one interval
_OUTPUT_INTERVAL_SECONDS = (0.1, 5.0)
_GRACE_SECONDS = 1.0  # what eats disk or memory does not get the job's own grace period for it


class Limits:
    """The limits of one attempt. `due_in` says when to look again."""

    def __init__(self, run: RunDir, attempt: Attempt, process: Process, story: Story) -> None:
        self._run, self._attempt, self._process, self._story = run, attempt, process, story
        self._output_size = 0
        self._next_output = self._next_memory = time.monotonic()

    def due_in(self) -> float:
        """Seconds until the next look is wanted."""
        now = time.monotonic()
        waits = [self._next_output - now]
        if self._attempt.memory_bytes is not None:
            waits.append(self._next_memory - now)
        if self._attempt.deadline_seconds is not None:
            waits.append(self._deadline_in())
        return max(0.0, min(waits))

    def check(self, members: Callable[[], list[Stat]]) -> Stop | None:
        """The stop that is due, if any. `members` lists the attempt's processes; asked only for a memory limit."""
        now = time.monotonic()
        stop = self._check_deadline()
        if stop is None and now >= self._next_output:
            stop = self._check_output(now)
        if stop is None and self._attempt.memory_bytes is not None and now >= self._next_memory:
            self._next_memory = now + _MEMORY_INTERVAL_SECONDS
            stop = self._check_memory(members(), self._attempt.memory_bytes)
        return stop

    def _deadline_in(self) -> float:
        seconds = self._attempt.deadline_seconds
        return float("inf") if seconds is None else self._process.started_boottime + seconds - now_boottime()

    def _check_deadline(self) -> Stop | None:
        if self._deadline_in() > 0:
            return None
        text = f"it ran longer than its deadline of {self._attempt.deadline_seconds:g} s"
        return Stop("DeadlineExceeded", self._attempt.grace_seconds, text)

    def _check_output(self, now: float) -> Stop | None:
        try:
            size = os.stat(self._run.output).st_size
        except FileNotFoundError:
            size = 0
        if size < self._output_size:
            self._story.tell("OutputTruncated", before=self._output_size, after=size)
        self._output_size = size
        limit = self._attempt.output_bytes
        low, high = _OUTPUT_INTERVAL_SECONDS
        self._next_output = now + min(high, max(low, (limit - size) / _OUTPUT_BYTES_PER_SECOND))
        if size < limit:
            return None
        return Stop("OutputLimit", self._short_grace(), f"its output of {size} bytes reached the limit of {limit}")

    def _check_memory(self, stats: list[Stat], limit: int) -> Stop | None:
        # Resident memory counts shared pages once for each process: the exact figure decides.
        if resident_bytes(stats) <= limit or (used := proportional_bytes(stats)) <= limit:
            return None
        return Stop("MemoryLimit", self._short_grace(), f"its processes used {used} bytes, the limit is {limit}")

    def _short_grace(self) -> float:
        return min(self._attempt.grace_seconds, _GRACE_SECONDS)
