"""How often an operation for a job has failed for what waiting can mend, and when it may be begun again.

Kept in memory only: after a start the pause is the shortest one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from controller.decisions.inputs import Step, StepState
from controller.decisions.job_repository import is_mended_by_waiting, pause_seconds
from controller.executors.base import AttemptId


@dataclass(slots=True)
class _Row:
    """Failures in a row; `ended`: when the last one was seen, None while it is begun again."""

    times: int = 0
    ended: float | None = None


class Repeats:
    """See the module.

    Args:
        monotonic: seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._rows: dict[AttemptId, _Row] = {}

    def paused(self, operation: AttemptId, found: Step) -> Step:
        """`found` with the seconds until the operation may be begun again."""
        if not is_mended_by_waiting(found):
            if found.state in (StepState.DONE, StepState.FAILED):
                self.forget(operation)
            return found
        row, now = self._rows.setdefault(operation, _Row()), self._monotonic()
        if row.ended is None:
            row.times, row.ended = row.times + 1, now
        return replace(found, pause=max(0.0, row.ended + pause_seconds(row.times) - now))

    def begun(self, operation: AttemptId) -> None:
        """It is begun again; its next failure is another one."""
        if (row := self._rows.get(operation)) is not None:
            row.ended = None

    def forget(self, operation: AttemptId) -> None:
        """It is over, or nobody needs it any more."""
        self._rows.pop(operation, None)
