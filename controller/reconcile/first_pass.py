"""The first pass after a start: find what runs, fill the books, queue the daily loop's keys by urgency (design 9).

Finished jobs without a time to live need nothing, and queued ones that are recorded need nothing but their place in
the books; so a restart costs no write for them (requirement 10.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Phase
from controller.api.conditions import is_true
from controller.api.keys import Key
from controller.api.names import KINDS
from controller.decisions import status as step
from controller.decisions.told import all_delivered
from controller.reconcile.index import attempt_key
from controller.reconcile.intake import Intake
from controller.reconcile.ownerless import Ownerless
from controller.reconcile.parts import Parts
from controller.reconcile.workqueue import HIGH, NORMAL

_log = structlog.get_logger("controller.start")


@dataclass(frozen=True, slots=True)
class FirstPass:
    """What was queued.

    Args:
        held: jobs that hold a slot.
        ownerless: keys of attempts whose job is not in the store.
        others: everything else that has something to do.
    """

    held: tuple[Key, ...]
    ownerless: tuple[Key, ...]
    others: tuple[Key, ...]


async def first_pass(parts: Parts, intake: Intake, ownerless: Ownerless) -> FirstPass:
    """Admission begins once each attempt that holds a slot was reconciled (requirement 7.4).

    Raises:
        Transient: the state directory cannot be read.
    """
    began = parts.monotonic()
    parts.index.load(await parts.executor.list_attempts())
    others = _enter_all(parts)
    holding = parts.scheduler.held_keys()
    held = [key for _, key in holding]
    parts.account.await_attempts(uid for uid, _ in holding)
    parts.executor.subscribe(intake.ended)
    without_owner = ownerless.attempts()
    for attempt in without_owner:
        parts.scheduler.hold(attempt, ("", ""))
        parts.queue.add(attempt_key(attempt), NORMAL)
    for key in held:
        parts.queue.add(key, HIGH)
    for key in others:
        parts.queue.add(key, NORMAL)
    parts.scheduler.gate.wait_for([*held, *map(attempt_key, without_owner)])
    await ownerless.sweep()
    took = f"{(parts.monotonic() - began) * 1000:.1f}"
    _log.info("books are filled", attempts=len(parts.index.attempts()), held=len(held), milliseconds=took)
    return FirstPass(tuple(held), tuple(map(attempt_key, without_owner)), tuple(others))


def _enter_all(parts: Parts) -> list[Key]:
    """Enter every job again, now that the run directories are known; returns the keys that have something to do."""
    keys = [key for kind in KINDS if kind != BatchJob.names.kind for key in parts.store.keys(kind)]
    for key, job in parts.store.items(BatchJob.names.kind):
        if isinstance(job, BatchJob):
            parts.scheduler.enter(job)
            _account(parts, job)
            keys += [key] if needs_a_look(job) else []
    return keys


def _account(parts: Parts, job: BatchJob) -> None:
    name = f"{job.metadata.namespace}/{job.metadata.name}"
    if is_true(job.status.conditions, "NeedsDecision"):
        parts.account.note("needing_decision", name)
    elif step.active(job.status) is None and not step.finished(job.status):
        parts.account.note("recovered", name)
        parts.account.restored(job)


def needs_a_look(job: BatchJob) -> bool:
    """Whether a reconcile of a job that holds no slot could do anything."""
    if step.finished(job.status):
        return job.spec.ttl_after_finished is not None or not all_delivered(job.status)
    queued = job.status.phase is Phase.QUEUED and job.status.reason == "" and job.status.sequence is not None
    settled = queued and job.spec.active_deadline is None
    held_back = job.spec.suspend or job.spec.cancel
    return not (settled and not held_back)
