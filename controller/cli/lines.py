"""The waiting lines of all queues, computed from objects with the controller's own books (requirements 2.1, 2.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from controller.api.batchjob import BatchJob
from controller.api.conditions import is_true
from controller.api.jobqueue import JobQueue
from controller.decisions.order import Candidate, candidate
from controller.decisions.placement import Place, place
from controller.reconcile.books import Account, Books

Object = dict[str, Any]


def lines(jobs: list[Object], queues: list[Object], limit: int, now: datetime) -> list[Object]:
    """One entry per queue that exists or is waited for, by namespace and name, its waiting jobs in exact order.

    Args:
        limit: how many attempts the host runs at once.

    A job that no controller has seen yet stands where it will be put: its sequence is its resourceVersion (design 4).
    A job that cannot be read is left out, as the controller sets it aside.
    """
    books, parsed = books_of(jobs, queues)
    for job in sorted(parsed.values(), key=lambda job: job.status.finished_at or datetime.min.replace(tzinfo=UTC)):
        books.ran(job)
    return [
        _line(books, name, account, parsed, limit, now)
        for name, account in sorted(books.accounts.items())
        if account.declared or account.waiting or account.held
    ]


def books_of(jobs: list[Object], queues: list[Object]) -> tuple[Books, dict[str, BatchJob]]:
    """The controller's books as they follow from objects, and the jobs that can be read, by uid."""
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
        books.enter(job, where, in_line(job) if where is Place.WAITING else None)
    return books, parsed


def in_line(job: BatchJob) -> Candidate:
    """Where the job stands, or will be put by the controller that sees it first."""
    return candidate(job, job.metadata.version if job.status.sequence is None else job.status.sequence)


def _line(
    books: Books, name: tuple[str, str], account: Account, jobs: dict[str, BatchJob], limit: int, now: datetime
) -> Object:
    spec = account.declared.spec if account.declared else None
    waiting = []
    for position, entry in enumerate(account.waiting):
        seconds = books.eta(name, position, limit)
        waiting.append(_job(jobs[entry.uid], position, entry.order[1], seconds, now))
    return {
        "namespace": name[0],
        "queue": name[1],
        "exists": books.exists(name),
        "concurrency": spec.concurrency if spec else None,
        "paused": spec.paused if spec else False,
        "ramping": is_true(account.declared.status.conditions, "Ramping") if account.declared else False,
        "running": len(account.held),
        "waiting": waiting,
    }


def _job(job: BatchJob, position: int, sequence: int, seconds: float | None, now: datetime) -> Object:
    created = job.metadata.creation_timestamp
    starts = None if seconds is None else now + timedelta(seconds=seconds)
    return {
        "position": position + 1,
        "name": job.metadata.name,
        "uid": job.metadata.uid,
        "priority": job.spec.priority,
        "sequence": sequence,
        "reason": job.status.reason or ("" if job.status.phase else "NotSeenYet"),
        "created": created.isoformat() if created else None,
        "estimatedStartTime": starts.isoformat() if starts else None,
    }
