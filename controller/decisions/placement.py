"""Where a job stands in its queue's books: does it hold a slot, does it wait, or neither (design 4, step 1)."""

from __future__ import annotations

from enum import Enum, auto

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Phase
from controller.api.restored import held
from controller.decisions import status as step


class Place(Enum):
    """HELD: it counts against limits. OUTSIDE: started, and an outside queue limits it. WAITING: a candidate.
    NEITHER: over, held back, being restored, asks a person."""

    HELD = auto()
    OUTSIDE = auto()
    WAITING = auto()
    NEITHER = auto()


def place(job: BatchJob, known: tuple[int, ...] | None) -> Place:
    """Where `job` stands.

    Args:
        job: declared and recorded.
        known: numbers of its attempts found in run directories; None where they could not be read. A job whose status
            was wiped counts as holding a slot as long as a run directory speaks of it.
    """
    if step.finished(job.status) or held(job.metadata, job.status.conditions):
        return Place.NEITHER
    if (active := step.active(job.status)) is not None:
        return Place.OUTSIDE if active.outside_queue else Place.HELD
    if job.status.attempt is None and known != ():
        return Place.HELD if known else Place.NEITHER
    held_back = job.spec.suspend or job.spec.cancel or job.metadata.deletion_timestamp is not None
    if held_back or (job.status.phase is Phase.WAITING and job.status.attempt is not None):
        return Place.NEITHER
    return Place.WAITING
