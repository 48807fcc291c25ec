"""Places in creation order that no status tells yet, and the jobs whose place is still to be found (2.1)."""

from __future__ import annotations

from collections.abc import Callable

from controller.api.batchjob import BatchJob
from controller.decisions.admission import QueueName
from controller.kube.store import Change, ChangeType


class KnownPlaces:
    """By uid of the job.

    Args:
        changed: called when a job is no longer of unknown place, or of another one.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._sequences: dict[str, int] = {}
        self._unplaced: dict[str, tuple[QueueName, int]] = {}  # waiting jobs without a sequence: queue, priority

    def learn(self, change: Change, job: BatchJob) -> None:
        """A version tells the place in creation order only where it is the one of the creation."""
        if job.status.sequence is not None:
            return
        if change.type is ChangeType.ADDED and not change.edited_before_seen:
            self._sequences[job.metadata.uid] = job.metadata.version
        elif isinstance(change.old, BatchJob) and change.old.status.sequence is not None:
            self._sequences[job.metadata.uid] = change.old.status.sequence  # the status was wiped before our eyes

    def found(self, uid: str, sequence: int) -> None:
        """The sequence of a job that was edited before it was first seen was found out."""
        self._sequences[uid] = sequence

    def recorded(self, uid: str) -> None:
        """Its status tells it."""
        self._sequences.pop(uid, None)

    def of(self, job: BatchJob) -> int | None:
        """The job's place in creation order, None where it has to be found out first."""
        return job.status.sequence if job.status.sequence is not None else self._sequences.get(job.metadata.uid)

    def unplaced(self, uid: str, unplaced: tuple[QueueName, int] | None) -> None:
        """Nobody starts before somebody of the same queue who may be in front: its place is not known (2.1).

        Args:
            unplaced: queue and priority of a waiting job without a sequence; None where it has one, or does not wait.
        """
        before = self._unplaced.pop(uid, None)
        if unplaced is not None:
            self._unplaced[uid] = unplaced
        if before not in (None, unplaced):
            self._changed()

    def highest_unplaced(self) -> dict[QueueName, int]:
        """Queues in which a job's place is not known, with the highest priority of such a job."""
        highest: dict[QueueName, int] = {}
        for name, priority in self._unplaced.values():
            highest[name] = max(priority, highest.get(name, priority))
        return highest

    def forget(self, uid: str) -> None:
        """The job is gone."""
        self._sequences.pop(uid, None)
        self.unplaced(uid, None)
