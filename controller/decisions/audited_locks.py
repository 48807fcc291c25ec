"""What the audit journal says of locks: grants, releases and fencing, from two records of Repository.status.lock.

The record decides, so it is what is told; of the claims, which are a projection of it, only that they wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from controller.api.repository import Holder, Lock, Repository, RepositoryStatus
from controller.api.repositorylock import ClaimPhase, RepositoryLock, RepositoryLockStatus
from controller.decisions.audit_line import Category, Line
from controller.decisions.holders import Gone

NameOf = Callable[[str], str]  # uid of a BatchJob -> its name, "" where it is not known


def release_lines(repository: Repository, new: Lock | None, gone: Iterable[Gone], job_name: NameOf) -> tuple[Line, ...]:
    """Who holds no more, told before whom it was granted to.

    Args:
        new: the lock that is about to be recorded for `repository`; None: it cannot be rebuilt now.
        gone: why they were released; what was damaged and repaired has no reason there.
        job_name: uid of a BatchJob -> its name, "" where it is not known.
    """
    if new is None:
        return ()
    why = {each.holder.token: each for each in gone}
    kept = {holder.token for holder in new.holders}
    found = [holder for holder in (repository.status.lock or Lock()).holders if holder.token not in kept]
    return tuple(
        _line(repository, "Released", holder, job_name, old="Held", gone=why.get(holder.token)) for holder in found
    )


def grant_lines(repository: Repository, new: RepositoryStatus, job_name: NameOf) -> Iterator[Line]:
    """Whom it was granted to, who was fenced or is heard again; arguments as of `release_lines`."""
    before = {holder.token: holder for holder in (repository.status.lock or Lock()).holders}
    lock = new.lock or Lock()
    if repository.status.lock is None and new.lock is not None:
        yield _line(repository, "Rebuilt", None, job_name, new=f"{len(lock.holders)} holders", token=lock.token)
    for holder in lock.holders:
        was = before.get(holder.token)
        if was is None:
            yield _line(repository, "Granted", holder, job_name, new="Held")
        elif holder.fenced_at is not None and was.fenced_at is None:
            yield _line(repository, "Fenced", holder, job_name, old="Held", new="Fenced")
        elif holder.fenced_at is None and was.fenced_at is not None:
            yield _line(repository, "HeardAgain", holder, job_name, old="Fenced", new="Held")


def _line(
    repository: Repository,
    event: str,
    holder: Holder | None,
    job_name: NameOf,
    *,
    old: str = "",
    new: str = "",
    token: int | None = None,
    gone: Gone | None = None,
) -> Line:
    meta, mode = repository.metadata, holder.mode.value if holder is not None else ""
    uid, _, number = holder.attempt.rpartition(".") if holder is not None else ("", "", "")
    return Line(
        Category.LOCK,
        event,
        "Repository",
        meta.namespace,
        meta.name,
        meta.uid,
        job=job_name(uid) if uid else "",
        attempt=int(number) if number.isdecimal() else None,
        old=old,
        new=new,
        reason=gone.reason if gone is not None else mode,
        message=gone.message if gone is not None else f"claim {holder.claim}" if holder is not None else "",
        token=holder.token if holder is not None else token,
        urgent=True,
    )


def claim_lines(claim: RepositoryLock, new: RepositoryLockStatus) -> tuple[Line, ...]:
    """That it stands in line, and why one that was released is over."""
    old, phase = claim.status.phase, new.phase
    if phase is old or phase not in (ClaimPhase.WAITING, ClaimPhase.RELEASED):
        return ()
    meta, holder = claim.metadata, claim.spec.holder
    job = holder.name if holder.kind == "BatchJob" else ""
    number = holder.attempt.rpartition(".")[2]
    return (
        Line(
            Category.LOCK,
            "Recorded",
            "RepositoryLock",
            meta.namespace,
            meta.name,
            meta.uid,
            job=job,
            attempt=int(number) if number.isdecimal() else None,
            old=old.value if old is not None else "",
            new=phase.value,
            reason=new.reason,
            token=new.token,
        ),
    )
