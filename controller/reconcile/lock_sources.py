"""Where a lock record that is absent is rebuilt from: run directories, jobs, claims, and the fence (design 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.api.batchjob import BatchJob
from controller.api.repository_use import LockMode
from controller.api.repositorylock import ClaimPhase, RepositoryLock
from controller.decisions.lock_record import Source, Trace
from controller.decisions.observed import Evidence
from controller.decisions.orphan import is_live, is_over
from controller.executors.base import AttemptId
from controller.reconcile.parts import Parts
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.repository_pages import RepositoryName


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of grants: the sources in the order of trust, and who of them is proved to live."""

    sources: tuple[Source, ...]
    alive: frozenset[str]


async def known_grants(parts: Parts, book: RepositoryBook, name: RepositoryName) -> Known:
    """All that is known of grants of one Repository, besides its fence."""
    alive: set[str] = set()
    found = (await _directories(parts, name, alive), _jobs(parts, book, name), _claims(parts, name, alive))
    return Known(found, frozenset(alive))


def carried(repository: str, claim: tuple[str, str], mode: LockMode) -> Mapping[str, str]:
    """What an attempt carries of its lock beside the token; `claim` is (uid, name) of its RepositoryLock."""
    return {"repository": repository, "claimUid": claim[0], "claim": claim[1], "lockMode": mode.value}


async def _directories(parts: Parts, name: RepositoryName, alive: set[str]) -> Source:
    text = "the run directories"
    if parts.index.known("") is None:
        return Source(text, None, "they were not read yet")
    traces = []
    for attempt in parts.index.attempts():
        says = await parts.executor.annotations(attempt)
        if says is None:
            if is_over(await parts.executor.observe(attempt)):
                continue
            return Source(text, None, f"the record of attempt {attempt} cannot be read")
        if (says.get("namespace"), says.get("repository")) == name and says.get("lockToken", "").isdecimal():
            traces.append(await _trace(parts, attempt, says, alive))
    return Source(text, tuple(traces))


async def _trace(parts: Parts, attempt: AttemptId, says: Mapping[str, str], alive: set[str]) -> Trace:
    found = await parts.executor.observe(attempt)
    if is_live(found):
        alive.add(str(attempt))
    over = found.evidence in (Evidence.ENDED, Evidence.NEVER_STARTED, Evidence.GONE) and not found.processes_left
    mode = LockMode.SHARED if says.get("lockMode") == LockMode.SHARED else LockMode.EXCLUSIVE
    uid, claim = says.get("claimUid", ""), says.get("claim", "")
    return Trace(uid, claim, mode, int(says["lockToken"]), str(attempt), over=over)


def _jobs(parts: Parts, book: RepositoryBook, name: RepositoryName) -> Source:
    traces = []
    for _, job in parts.store.items("BatchJob"):
        newest = job.status.attempt if isinstance(job, BatchJob) else None
        use = job.spec.repository if isinstance(job, BatchJob) else None
        if newest is None or newest.lock_token is None or use is None or use.lock.mode is None:
            continue
        if (job.metadata.namespace, use.name) == name:
            uid, claim = book.claim_of(newest.id) or ("", "")
            traces.append(Trace(uid, claim, use.lock.mode, newest.lock_token, newest.id, over=newest.state.over))
    return Source("the jobs", tuple(traces))


def _claims(parts: Parts, name: RepositoryName, alive: set[str]) -> Source:
    traces = []
    for _, claim in parts.store.items("RepositoryLock"):
        if not isinstance(claim, RepositoryLock) or claim.status.token is None:
            continue
        meta, spec, status = claim.metadata, claim.spec, claim.status
        if (meta.namespace, spec.repository) != name:
            continue
        if not spec.holder.attempt:
            alive.add(meta.uid)
        over = status.phase is ClaimPhase.RELEASED or spec.force_release == meta.uid
        fenced, token = status.phase is ClaimPhase.FENCED, status.token or 1
        traces.append(
            Trace(meta.uid, meta.name, spec.mode, token, spec.holder.attempt, over, fenced, status.granted_at)
        )
    return Source("the claims", tuple(traces))
