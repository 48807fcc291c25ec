"""The order of a queue: (priority descending, sequence, creation time, uid) (requirement 2.1, design 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from controller.api.batchjob import BatchJob

OrderKey = tuple[int, int, float, str]

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """A waiting job in its place; sorts as it starts.

    Args:
        resumed: it had begun before: an attempt of it was lost, failed or suspended.
        outside: an outside queue limits it: it waits for everything but a slot.
    """

    order: OrderKey
    namespace: str
    name: str
    resumed: bool = field(default=False, compare=False)
    outside: bool = field(default=False, compare=False)

    @property
    def sequence(self) -> int:
        """Its place in creation order."""
        return self.order[1]

    @property
    def uid(self) -> str:
        """uid of the job."""
        return self.order[3]


def candidate(job: BatchJob, sequence: int, outside_queue: str = "") -> Candidate:
    """The place of `job`, whose sequence is `sequence` (recorded, or about to be).

    Args:
        outside_queue: that limits it in place of its JobQueue, or "".
    """
    created = job.metadata.creation_timestamp or _EPOCH
    order = (-job.spec.priority, sequence, created.timestamp(), job.metadata.uid)
    began = job.status.attempt is not None
    return Candidate(order, job.metadata.namespace, job.metadata.name, began, bool(outside_queue))
