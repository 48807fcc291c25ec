"""What the first pass after a start has to look at: the daily loop's keys, in the order of urgency (design 9).

Finished jobs without a time to live need nothing, and queued ones that are recorded need nothing but their place in
the books; so a restart costs no write for them (requirement 10.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Phase
from controller.api.keys import Key
from controller.api.names import KINDS
from controller.decisions import status as step
from controller.executors.base import AttemptId
from controller.kube.store import Store
from controller.reconcile.orphans import OrphanReconciler
from controller.reconcile.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class First:
    """Keys of jobs that hold a slot, of everything else with something to do, and attempts without an object."""

    held: tuple[Key, ...]
    others: tuple[Key, ...]
    ownerless: tuple[AttemptId, ...]


def first_keys(store: Store, scheduler: Scheduler, orphans: OrphanReconciler) -> First:
    """Enter every job again, now that the run directories are known, and say what has to be reconciled."""
    others = [key for kind in KINDS if kind != "BatchJob" for key in store.keys(kind)]
    for key, job in store.items("BatchJob"):
        if isinstance(job, BatchJob):
            scheduler.enter(job)
            others += [key] if needs_a_look(job) else []
    held = tuple(key for _, key in scheduler.held_keys())
    waiting = set(held)
    rest = tuple(key for key in others if key not in waiting)
    return First(held, rest, tuple(orphans.ownerless()))


def needs_a_look(job: BatchJob) -> bool:
    """Whether a reconcile of a job that holds no slot could do anything."""
    if step.finished(job.status):
        return job.spec.ttl_after_finished is not None
    queued = job.status.phase is Phase.QUEUED and job.status.reason == "" and job.status.sequence is not None
    settled = queued and job.spec.active_deadline is None
    held_back = job.spec.suspend or job.spec.cancel
    return not (settled and not held_back)
