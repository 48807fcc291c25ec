"""The waiting lines of all queues, computed from objects with the controller's own books (requirements 2.1, 2.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from controller.api.batchjob import BatchJob
from controller.api.conditions import is_true
from controller.api.jobqueue import JobQueue
from controller.cli.machine import Machine
from controller.decisions import status as step
from controller.decisions.active import OUTSIDE_QUEUE
from controller.decisions.executors import named, outside_queue
from controller.decisions.order import Candidate, candidate
from controller.decisions.placement import Place, place
from controller.reconcile.books import Account, Books

Object = dict[str, Any]


def lines(jobs: list[Object], queues: list[Object], host: Machine, now: datetime) -> list[Object]:
    """One entry per queue that exists or is waited for, by namespace and name, its waiting jobs in exact order.

    A job that no controller has seen yet stands where it will be put: its sequence is its resourceVersion (design 4).
    A job that cannot be read is left out, as the controller sets it aside.
    """
    books, parsed = books_of(jobs, queues, host.executor)
    for job in sorted(parsed.values(), key=lambda job: job.status.finished_at or datetime.min.replace(tzinfo=UTC)):
        books.ran(job)
    return [
        _line(books, name, account, parsed, host.limit, now)
        for name, account in sorted(books.accounts.items())
        if account.used
    ]


def books_of(jobs: list[Object], queues: list[Object], executor: str) -> tuple[Books, dict[str, BatchJob]]:
    """The controller's books as they follow from objects, and the jobs that can be read, by uid.

    Args:
        executor: where jobs go that name none.
    """
    books = Books()
    parsed: dict[str, BatchJob] = {}
    for item in queues:
        declared = JobQueue.model_validate(item)
        books.declare((declared.metadata.namespace, declared.metadata.name), declared)
    for item in jobs:
        try:
            job = BatchJob.model_validate(item)
        except ValidationError:
            continue
        parsed[job.metadata.uid] = job
        where = place(job, ())
        books.enter(job, where, _in_line(job, executor) if where is Place.WAITING else None)
    return books, parsed


def _in_line(job: BatchJob, executor: str) -> Candidate:
    """Where the job stands, or will be put by the controller that sees it first."""
    sequence = job.metadata.version if job.status.sequence is None else job.status.sequence
    return candidate(job, sequence, outside_queue(job, named(job.spec, executor)))


def _line(
    books: Books, name: tuple[str, str], account: Account, jobs: dict[str, BatchJob], limit: int, now: datetime
) -> Object:
    spec = account.declared.spec if account.declared else None
    waiting = [
        _job(jobs[entry.uid], position, entry.sequence, books.eta(entry.uid, limit), now)
        for position, entry in enumerate(account.waiting, start=1)
    ]
    outside = [jobs[uid] for uid in account.outside if jobs[uid].status.reason == OUTSIDE_QUEUE]
    held = sorted((job.status.sequence or 0, job.metadata.uid) for job in outside)
    return {
        "namespace": name[0],
        "queue": name[1],
        "exists": books.exists(name),
        "concurrency": spec.concurrency if spec else None,
        "paused": spec.paused if spec else False,
        "ramping": is_true(account.declared.status.conditions, "Ramping") if account.declared else False,
        "running": len(account.held),
        "outside": len(account.outside),
        "waiting": waiting,
        "heldOutside": [_job(jobs[uid], None, sequence, None, now) for sequence, uid in held],
    }


def _job(job: BatchJob, position: int | None, sequence: int, seconds: float | None, now: datetime) -> Object:
    created = job.metadata.creation_timestamp
    attempt = step.active(job.status)
    starts = None if seconds is None else now + timedelta(seconds=seconds)
    return {
        "position": position,
        "name": job.metadata.name,
        "uid": job.metadata.uid,
        "priority": job.spec.priority,
        "sequence": sequence,
        "outsideQueue": attempt.outside_queue if attempt is not None else "",
        "reason": job.status.reason or ("" if job.status.phase else "NotSeenYet"),
        "created": created.isoformat() if created else None,
        "estimatedStartTime": starts.isoformat() if starts else None,
    }
