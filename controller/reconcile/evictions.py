"""Jobs that have to end for the sake of all others: a wish to their reconciler, which records it before it acts."""

from __future__ import annotations


class Evictions:
    """Reasons by job uid. Losing them with the process loses nothing: who wished looks again."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def wish(self, uid: str, reason: str) -> None:
        """Have the job's running attempt stopped for `reason` at its next pass."""
        self._reasons[uid] = reason

    def reason(self, uid: str) -> str:
        """Why the job has to end, "" where nobody wished it."""
        return self._reasons.get(uid, "")

    def done(self, uid: str) -> None:
        """The wish was followed, or there is nothing to stop any more."""
        self._reasons.pop(uid, None)
