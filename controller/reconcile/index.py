"""Which attempts have a run directory: read once at start, kept by every launch and release."""

from __future__ import annotations

from collections.abc import Iterable

from controller.api.keys import Key
from controller.executors.base import AttemptId

ATTEMPT = "Attempt"  # the kind of key of a run directory: there is no object of this kind


def attempt_key(attempt: AttemptId) -> Key:
    """The work queue's key of a run directory."""
    return Key(ATTEMPT, "", str(attempt))


class AttemptIndex:
    """Attempt numbers by job uid. Unreadable until `load`: then nothing is proved, and nothing may start."""

    def __init__(self) -> None:
        self._numbers: dict[str, set[int]] | None = None

    def load(self, attempts: Iterable[AttemptId]) -> None:
        """Take what the executor listed as the whole truth."""
        numbers: dict[str, set[int]] = {}
        for attempt in attempts:
            numbers.setdefault(attempt.job_uid, set()).add(attempt.number)
        self._numbers = numbers

    def forget_all(self) -> None:
        """The state directory cannot be read any more."""
        self._numbers = None

    def known(self, uid: str) -> tuple[int, ...] | None:
        """Numbers of the job's attempts in order; None where the directories could not be read."""
        if self._numbers is None:
            return None
        return tuple(sorted(self._numbers.get(uid, ())))

    def add(self, attempt: AttemptId) -> None:
        """A run directory is about to be built."""
        if self._numbers is not None:
            self._numbers.setdefault(attempt.job_uid, set()).add(attempt.number)

    def remove(self, attempt: AttemptId) -> None:
        """A run directory was removed."""
        if self._numbers is None:
            return
        numbers = self._numbers.get(attempt.job_uid, set())
        numbers.discard(attempt.number)
        if not numbers:
            self._numbers.pop(attempt.job_uid, None)

    def attempts(self) -> list[AttemptId]:
        """All of them, empty while unreadable."""
        return [AttemptId(uid, n) for uid, numbers in (self._numbers or {}).items() for n in sorted(numbers)]
