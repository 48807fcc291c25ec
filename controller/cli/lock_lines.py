"""Who holds each repository and who waits for it, in exact order, computed from objects (requirements 5.4, 5.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import ValidationError

from controller.api.batchjob import BatchJob
from controller.api.conditions import find
from controller.api.jobbatch import JobBatch
from controller.api.kind import Kind
from controller.api.repository import Holder, Repository
from controller.api.repositorylock import RepositoryLock
from controller.api.units import duration_seconds
from controller.cli import view
from controller.cli.lines import books_of, in_line
from controller.cli.turns import RepositoryName, Turns, Waiting, World, is_over
from controller.decisions import status as step
from controller.decisions.holders import Record, record_of
from controller.decisions.lock import Claim, job_claim, person_claim
from controller.decisions.placement import Place, place

Object = dict[str, Any]
Model = TypeVar("Model", bound=Kind)


@dataclass(frozen=True, slots=True)
class Read:
    """Objects as the API server sent them; `jobs` and `queues` of all namespaces where they may be read."""

    repositories: list[Object]
    claims: list[Object]
    jobs: list[Object]
    queues: list[Object]
    batches: list[Object]


def lock_lines(read: Read, limit: int, now: datetime) -> list[Object]:
    """One entry per repository that exists or is claimed, by namespace and name; what cannot be parsed is left out.

    Args:
        limit: how many attempts the host runs at once.
    """
    books, jobs = books_of(read.jobs, read.queues)
    claims = list(_parsed(RepositoryLock, read.claims))
    repositories = {_name(each): each for each in _parsed(Repository, read.repositories)}
    names = repositories.keys() | {(claim.metadata.namespace, claim.spec.repository) for claim in claims}
    holding = _holding(repositories.values())
    waiting = _waiting(jobs.values(), claims, holding, names)
    batches = {_name(each): each for each in _parsed(JobBatch, read.batches)}
    world = World(books, jobs, repositories, batches, waiting, limit, now)
    turns = Turns(world)
    turns.run()
    by_uid = {claim.metadata.uid: claim for claim in claims}
    return [_entry(name, world, turns, by_uid) for name in sorted(names) if name in repositories or waiting[name]]


def _parsed(model: type[Model], items: Iterable[Object]) -> Iterable[Model]:
    for item in items:
        try:
            yield model.model_validate(item)
        except ValidationError:
            continue


def _name(each: Kind) -> RepositoryName:
    return each.metadata.namespace, each.metadata.name


def _holding(repositories: Iterable[Repository]) -> set[str]:
    """Claims and attempts that hold: they wait no more, whatever was read of them a moment before."""
    holders = [held for each in repositories if each.status.lock is not None for held in each.status.lock.holders]
    return {name for held in holders for name in (held.uid, held.attempt) if name}


def _waiting(
    jobs: Iterable[BatchJob], claims: Iterable[RepositoryLock], holding: set[str], names: Iterable[RepositoryName]
) -> Mapping[RepositoryName, list[Waiting]]:
    """All claims that wait, in order; of jobs also those that are passed over now."""
    found: dict[RepositoryName, list[Waiting]] = {name: [] for name in names}
    of_attempt: dict[str, tuple[str, str]] = {}
    for claim in claims:
        meta, status = claim.metadata, claim.status
        if claim.spec.holder.attempt:
            of_attempt[claim.spec.holder.attempt] = (meta.uid, meta.name)
        elif status.token is None and status.released_at is None and meta.uid not in holding:
            # One that no controller has seen yet stands where it will be put.
            made = person_claim(claim, meta.version if status.sequence is None else status.sequence)
            found[meta.namespace, claim.spec.repository].append(Waiting(made, None))
    for job in jobs:
        line = _of_job(job, of_attempt)
        if line is not None and line[0] in found and holding.isdisjoint((line[1].uid, line[1].attempt)):
            found[line[0]].append(Waiting(line[1], job))
    return {name: sorted(line, key=lambda each: each.claim) for name, line in found.items()}


def _of_job(job: BatchJob, of_attempt: Mapping[str, tuple[str, str]]) -> tuple[RepositoryName, Claim] | None:
    """The claim that the job waits with, None where it waits for no lock."""
    use, newest = job.spec.repository, job.status.attempt
    if use is None or use.lock.mode is None or step.finished(job.status) or step.active(job.status) is not None:
        return None
    attempt = f"{job.metadata.uid}.{1 if newest is None else newest.number + 1}"
    claim = of_attempt.get(attempt)
    if claim is None and place(job, ()) is not Place.WAITING:
        return None  # it is held back and has made no claim
    uid, name = claim or (job.metadata.uid, "")
    return (job.metadata.namespace, use.name), job_claim(in_line(job), uid, name, use.lock.mode, attempt)


def _entry(name: RepositoryName, world: World, turns: Turns, claims: Mapping[str, RepositoryLock]) -> Object:
    repository = world.repositories.get(name)
    lock = repository.status.lock if repository is not None else None
    sound = find(repository.status.conditions, "LockSound") if repository is not None else None
    return {
        "namespace": name[0],
        "repository": name[1],
        "exists": repository is not None,
        "recorded": lock is not None,
        "unsound": sound.message if sound is not None and sound.status != "True" else "",
        "token": lock.token if lock is not None else None,
        "holders": [_holder(name, held, world, claims) for held in (lock.holders if lock is not None else ())],
        "waiting": [_waiter(name, at, world, turns, claims) for at in range(len(world.waiting[name]))],
    }


def _holder(name: RepositoryName, held: Holder, world: World, claims: Mapping[str, RepositoryLock]) -> Object:
    claim, job = claims.get(held.uid), world.jobs.get(held.attempt.rpartition(".")[0])
    return {
        "claim": held.claim,
        "uid": held.uid,
        **_who(claim, job, bool(held.attempt)),
        "mode": str(held.mode),
        "token": held.token,
        "attempt": held.attempt,
        "since": _time(held.granted_at),
        "fencedSince": _time(held.fenced_at),
        "evidence": _evidence(held, claim, job, world),
        "forceRelease": force_release(name[0], held) if held.fenced_at is not None else None,
    }


def force_release(namespace: str, held: Holder) -> str:
    """The one kubectl command that takes the lock from a holder."""
    change = f'{{"spec":{{"forceRelease":"{held.uid}"}}}}'
    return f"kubectl patch rlock {held.claim} -n {namespace} --type=merge -p '{change}'"


def _waiter(name: RepositoryName, at: int, world: World, turns: Turns, claims: Mapping[str, RepositoryLock]) -> Object:
    each = world.waiting[name][at]
    claim, (reason, message) = claims.get(each.claim.uid), turns.why(name, at)
    source = claim or each.job
    return {
        "position": at + 1,
        "claim": each.claim.name,
        "uid": each.claim.uid if claim is not None else "",
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


def _evidence(held: Holder, claim: RepositoryLock | None, job: BatchJob | None, world: World) -> str:
    """What is recorded about a holder that is not proved to be over."""
    if claim is not None and claim.spec.force_release == held.uid:
        return "taken from it by forceRelease; the record follows"
    if held.fenced_at is not None:
        silent = view.span((world.now - held.fenced_at).total_seconds())
        return f"silent: fenced for {silent}, its pushes are refused; {_recorded(held, claim, job, world)}"
    return _recorded(held, claim, job, world)


def _recorded(held: Holder, claim: RepositoryLock | None, job: BatchJob | None, world: World) -> str:
    if not held.attempt:
        return _lease(held, claim, world.now)
    if job is None:
        return "its job is not there any more"
    number = held.attempt.rpartition(".")[2]
    if is_over(held, world.jobs):
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
