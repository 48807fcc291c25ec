"""Who holds each repository and who waits for it, in exact order, computed from objects (requirements 5.4, 5.6)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from controller.api.batchjob import BatchJob
from controller.api.conditions import find
from controller.api.repository import Holder
from controller.api.repositorylock import RepositoryLock
from controller.api.units import duration_seconds
from controller.cli import view
from controller.cli.machine import Machine
from controller.cli.turns import Read, RepositoryName, Turns
from controller.decisions.holders import Record, record_of

Object = dict[str, Any]


def lock_lines(read: Read, host: Machine, now: datetime) -> list[Object]:
    """One entry per repository that exists or is claimed, by namespace and name; what cannot be parsed is left out."""

    async def lines() -> list[Object]:
        turns = Turns(read, host, now)
        there = [name for name in turns.names() if turns.repository(name) is not None or turns.waiting[name]]
        return [_entry(name, turns, now) for name in there]

    return asyncio.run(lines())


def _entry(name: RepositoryName, turns: Turns, now: datetime) -> Object:
    repository = turns.repository(name)
    lock = repository.status.lock if repository is not None else None
    sound = find(repository.status.conditions, "LockSound") if repository is not None else None
    return {
        "namespace": name[0],
        "repository": name[1],
        "exists": repository is not None,
        "recorded": lock is not None,
        "unsound": sound.message if sound is not None and sound.status != "True" else "",
        "token": lock.token if lock is not None else None,
        "holders": [_holder(name, held, turns, now) for held in (lock.holders if lock is not None else ())],
        "waiting": [_waiter(name, at, turns) for at in range(len(turns.waiting[name]))],
    }


def _holder(name: RepositoryName, held: Holder, turns: Turns, now: datetime) -> Object:
    claim, job = turns.claims.get(held.uid), turns.jobs.get(held.attempt.rpartition(".")[0])
    return {
        "claim": held.claim,
        "uid": held.uid,
        **_who(claim, job, bool(held.attempt)),
        "mode": str(held.mode),
        "token": held.token,
        "attempt": held.attempt,
        "since": _time(held.granted_at),
        "fencedSince": _time(held.fenced_at),
        "evidence": _evidence(held, claim, job, held.uid in turns.over(name), now),
        "forceRelease": force_release(name[0], held) if held.fenced_at is not None else None,
    }


def force_release(namespace: str, held: Holder) -> str:
    """The one kubectl command that takes the lock from a holder."""
    change = f'{{"spec":{{"forceRelease":"{held.uid}"}}}}'
    return f"kubectl patch rlock {held.claim} -n {namespace} --type=merge -p '{change}'"


def _waiter(name: RepositoryName, at: int, turns: Turns) -> Object:
    each = turns.waiting[name][at]
    claim, (reason, message) = turns.claims.get(each.claim.uid), turns.why(name, at)
    source = claim or each.job
    return {
        "position": at + 1,
        "claim": each.claim.name if each.made else "",
        "uid": each.claim.uid if each.made else "",
        **_who(claim, each.job, each.job is not None),
        "mode": str(each.claim.mode),
        "priority": -each.claim.order[0],
        "sequence": each.claim.order[1],
        "attempt": each.claim.attempt,
        "reason": reason,
        "message": message,
        "created": _time(source.metadata.creation_timestamp) if source is not None else None,
    }


def _who(claim: RepositoryLock | None, job: BatchJob | None, of_job: bool) -> Object:
    name = claim.spec.holder.name if claim is not None else job.metadata.name if job is not None else ""
    return {"kind": "BatchJob" if of_job else "Person", "holder": name}


def _evidence(held: Holder, claim: RepositoryLock | None, job: BatchJob | None, over: bool, now: datetime) -> str:
    """What is recorded about a holder that is not proved to be over."""
    if claim is not None and claim.spec.force_release == held.uid:
        return "taken from it by forceRelease; the record follows"
    if held.fenced_at is not None:
        silent = view.span((now - held.fenced_at).total_seconds())
        return f"silent: fenced for {silent}, its pushes are refused; {_recorded(held, claim, job, over, now)}"
    return _recorded(held, claim, job, over, now)


def _recorded(held: Holder, claim: RepositoryLock | None, job: BatchJob | None, over: bool, now: datetime) -> str:
    if not held.attempt:
        return _lease(held, claim, now)
    if job is None:
        return "its job is not there any more"
    number = held.attempt.rpartition(".")[2]
    if over:
        return f"attempt {number} is over; the record follows"
    newest = job.status.attempt
    if newest is None or record_of(held, newest) is Record.NOT_ADMITTED:
        return f"granted to attempt {number}, which is not recorded yet"
    return f"attempt {number} is {newest.state}"


def _lease(held: Holder, claim: RepositoryLock | None, now: datetime) -> str:
    """How long a person's claim lasts; its time begins with the grant (decisions/holders.py)."""
    if claim is None:
        return "its claim was deleted; the record follows"
    lease, starts = claim.spec.lease_duration, [t for t in (claim.spec.renew_time, held.granted_at) if t is not None]
    if lease is None or not starts:
        return "until the claim is deleted"
    left = (max(starts) + timedelta(seconds=duration_seconds(lease)) - now).total_seconds()
    return f"lease: {view.span(left)} left" if left > 0 else "lease is over; the record follows"


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
