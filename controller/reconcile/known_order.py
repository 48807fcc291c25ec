"""Up to where the order of jobs is known while a watch begins anew (requirement 2.1).

A LIST tells objects by name, not in the order of their creation: until all of it is known, what it brings must not
start before what it has not told yet. Jobs that were known before start as always.
"""

from __future__ import annotations

from collections.abc import Callable

from controller.decisions.order import Candidate


class KnownOrder:
    """See the module.

    Args:
        again: called when those that were held back may start.
    """

    def __init__(self, again: Callable[[], None]) -> None:
        self._again = again
        self._horizon: int | None = None

    def hold_after(self, version: int) -> None:
        """Jobs that were made after `version` wait; an earlier hold that is not over stays."""
        self._horizon = version if self._horizon is None else min(version, self._horizon)

    def release(self) -> None:
        """All jobs that were made so far are known."""
        if self._horizon is not None:
            self._horizon = None
            self._again()

    def unsure(self, waiting: Candidate) -> bool:
        """Whether one that was made before this one may not be known yet."""
        return self._horizon is not None and waiting.sequence > self._horizon
