"""The lock of one Repository in its reconcile: look at holders and claims, decide, and keep the mirror's fence.

Repository.status.lock is written by the Repository's reconciler only, in one PATCH for all releases and grants of a
hand-over. The fence follows the record, a job's admission follows the fence (design 5).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from controller.api.conditions import Condition
from controller.api.keys import Key
from controller.api.repository import Holder, Lock, Repository
from controller.api.repository_use import Push
from controller.api.repositorylock import ClaimPhase, RepositoryLock
from controller.api.restored import token_floor
from controller.api.text import DNS_SUBDOMAIN
from controller.decisions.holders import Gone, Look, Record, look_at, release
from controller.decisions.lock import fence_tokens, grant, with_waiting
from controller.decisions.lock_record import Healed, heal, rebuild, sound
from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import Owner, is_live
from controller.decisions.plan import Note
from controller.executors.base import AttemptId
from controller.reconcile.lock_outages import fence_error
from controller.reconcile.lock_sources import known_grants
from controller.reconcile.parts import Parts
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.repository_pages import Reason, RepositoryName
from controller.repositories.fence import Fence, read_fence, write_fence
from controller.repositories.names import check_attempt
from controller.repositories.places import Places
from controller.repositories.pushes import branches_in_flight

UNPROVED = frozenset({"ForceReleased", "GivenOn"})  # reasons of a release without proof that the holder is dead
PUSH_SECONDS = 0.2  # until refs that a push holds locked are looked at again
LOOK_SECONDS = 5.0  # jobs that hold are looked at this often: silence has to be noticed
WAITING_SECONDS = 1.0  # status.lock.waiting is written at most once a second (design 4)


@dataclass(frozen=True, slots=True)
class LockPlan:
    """What to record of the lock.

    Args:
        lock: None: it cannot be rebuilt now, nothing is granted.
        wake_after: seconds until time alone may change something.
        held_up: why nobody can be granted it before that, or None.
    """

    lock: Lock | None
    conditions: tuple[Condition, ...]
    notes: tuple[Note, ...] = ()
    gone: tuple[Gone, ...] = ()
    wake_after: float | None = None
    held_up: Reason | None = None


class LockKeeper:
    """One for all repositories; what it remembers makes time limits monotonic, and can be lost."""

    def __init__(self, parts: Parts, book: RepositoryBook, places: Places) -> None:
        self._parts = parts
        self._book = book
        self._places = places
        self._heard: dict[str, float] = {}  # attempt or claim uid -> when there was evidence last
        # Refs were looked at since this process began, and since it was taken from somebody who is not proved dead.
        self._no_push: set[RepositoryName] = set()
        self._written: dict[RepositoryName, float] = {}  # when status.lock.waiting was recorded last

    async def decide(self, repository: Repository, conditions: tuple[Condition, ...], now: datetime) -> LockPlan:
        """What becomes of the lock of `repository`; `conditions` are those to be recorded with it.

        Raises:
            Transient: the fence cannot be read, or the API server cannot say whether a holder exists.
        """
        name = _name(repository)
        fence = await self._fence(name)
        given = max(fence.max_token, token_floor(repository.metadata))
        recorded, policy = repository.status.lock, repository.spec.lock
        if recorded is None:
            known = await known_grants(self._parts, self._book, name)
            healed = rebuild(known.sources, given, known.alive, now)
            if healed.lock is None:
                unsound = sound(conditions, healed, repository.metadata.generation, now)
                return LockPlan(None, unsound, healed.notes, wake_after=WAITING_SECONDS)
            released = release(healed.lock, await self._looks(name, healed.lock), policy, now)
            lock = released.lock
        else:
            # Who is over goes first, so that nobody is judged against the dead.
            released = release(recorded, await self._looks(name, recorded), policy, now)
            floor = max((given, *(holder.token for holder in recorded.holders)))
            healed = heal(released.lock, await self._alive(released.lock), floor, now)
            lock = healed.lock or released.lock
        branches = await self._pushes_in_flight(repository, released.gone)
        held_up = _held_up(branches)
        found = healed if held_up is None else Healed(None, reason=held_up[0], message=held_up[1])
        conditions = sound(conditions, found, repository.metadata.generation, now)
        if branches is None:
            lock = grant(lock, self._book.pending(name), now)
        wake = released.wake_after if branches is None else PUSH_SECONDS
        if lock.holders and wake is None and any(holder.attempt for holder in lock.holders):
            wake = LOOK_SECONDS
        lock, late = self._with_waiting(name, recorded, lock)
        told = (Note(*held_up, warning=True),) if held_up is not None else ()
        wake = min((w for w in (wake, late) if w), default=None)
        return LockPlan(lock, conditions, (*healed.notes, *released.notes, *told), released.gone, wake, held_up)

    async def recorded(self, repository: Repository, gone: tuple[Gone, ...]) -> None:
        """The lock is recorded: the fence follows, then who was granted something may go on.

        Raises:
            Transient: the fence could not be written; no admission follows.
        """
        name, lock = _name(repository), repository.status.lock
        if lock is None:
            return
        self._book.spent(ended.holder.uid for ended in gone)
        await self._close_fence(repository, lock)
        for ended in gone:
            self._heard.pop(ended.holder.attempt or ended.holder.uid, None)
            self._parts.queue.add(Key("RepositoryLock", name[0], ended.holder.claim))
        for holder in lock.holders:
            claim = self._claim(name[0], holder)
            fenced = holder.fenced_at is not None
            if claim is not None and claim.status.phase is not (ClaimPhase.FENCED if fenced else ClaimPhase.HELD):
                self._parts.queue.add(Key("RepositoryLock", name[0], holder.claim))
        self._book.fenced(name, frozenset(holder.token for holder in lock.holders if holder.fenced_at is None))

    async def _pushes_in_flight(self, repository: Repository, gone: tuple[Gone, ...]) -> list[str] | None:
        """Branches that a push may still change although its token is refused by now; None: the lock may be given on.

        Asked after the lock was taken from somebody who is not proved dead, which an earlier process may have done: a
        push that had passed the hook holds its refs locked, and a stopped one for as long as it stands still. What is
        recorded goes first, then the fence is closed, then it is looked.
        """
        name, lock = _name(repository), repository.status.lock
        if lock is None or any(ended.reason in UNPROVED for ended in gone):
            self._no_push.discard(name)
            return []
        if name in self._no_push:
            return None
        await self._close_fence(repository, lock)
        mirror = self._places.mirror(*name)
        try:
            branches = await asyncio.to_thread(branches_in_flight, mirror)
        except OSError as error:
            raise fence_error("MirrorUnreadable", error, str(mirror)) from error
        if branches:
            return branches
        self._no_push.add(name)
        return None

    async def _close_fence(self, repository: Repository, lock: Lock) -> None:
        """Have the fence accept the holders of the recorded lock only; raises Transient."""
        tokens = fence_tokens(lock, lambda holder: self._may_push(repository, holder))
        directory = self._places.repository(*_name(repository))
        try:
            await asyncio.to_thread(write_fence, directory, tokens, lock.token)
        except OSError as error:
            raise fence_error("FenceNotWritten", error, str(directory)) from error

    # --- observe

    async def _fence(self, name: RepositoryName) -> Fence:
        directory = self._places.repository(*name)
        try:
            return await asyncio.to_thread(read_fence, directory)
        except OSError as error:
            raise fence_error("FenceUnreadable", error, str(directory)) from error

    async def _looks(self, name: RepositoryName, lock: Lock) -> Mapping[str, Look]:
        return {holder.uid: await self._look(name, holder) for holder in lock.holders}

    async def _look(self, name: RepositoryName, holder: Holder) -> Look:
        claim = self._claim(name[0], holder)
        look = look_at(claim) if claim is not None else Look(claim=await self._claim_owner(name[0], holder))
        if not holder.attempt:
            return look
        attempt = _attempt(holder)
        if attempt is None:  # damage: nothing can ever have run under such a name
            return replace(look, record=Record.GONE, found=Observation(Evidence.ABSENT))
        granted, before = self._parts.scheduler.granted(attempt.job_uid), self._book.record(holder)
        found = await self._parts.executor.observe(attempt)
        # A job that was admitted during that look is not granted any more, and was not recorded before it: both count.
        granted, record = granted or self._parts.scheduler.granted(attempt.job_uid), self._book.record(holder)
        if record is Record.UNKNOWN:
            record = await self._job_record(name[0], claim, attempt)
        elif before is Record.ACTIVE and record is Record.NOT_ADMITTED:  # its status was wiped meanwhile
            record = before
        now = self._parts.monotonic()
        if found.evidence is not Evidence.UNKNOWN:
            self._heard[holder.attempt] = now
        silent = now - self._heard.setdefault(holder.attempt, now)
        return replace(look, record=record, found=found, granted=granted, silent_for=silent)

    async def _claim_owner(self, namespace: str, holder: Holder) -> Owner:
        """Whether a claim that is not in the store is proved to be gone; only a person's claim counts."""
        if holder.attempt:
            return Owner.UNKNOWN
        if re.fullmatch(DNS_SUBDOMAIN, holder.claim) is None:  # damage: no object can have this name
            listing = await self._parts.api.list("RepositoryLock", metadata_only=True)
            present = any(item["metadata"]["uid"] == holder.uid for item in listing.items)
            return Owner.UNKNOWN if present else Owner.GONE
        gone = await self._parts.api.get_uncached_gone("RepositoryLock", namespace, holder.claim, holder.uid)
        return {True: Owner.GONE, False: Owner.PRESENT, None: Owner.UNKNOWN}[gone]

    async def _job_record(self, namespace: str, claim: RepositoryLock | None, attempt: AttemptId) -> Record:
        """The job is not in the store: is it proved to be gone?"""
        carried = await self._parts.executor.annotations(attempt) or {}
        job = claim.spec.holder.name if claim is not None else carried.get("name", "")
        if job:
            gone = await self._parts.api.get_uncached_gone("BatchJob", namespace, job, attempt.job_uid)
            return Record.GONE if gone else Record.UNKNOWN
        listing = await self._parts.api.list("BatchJob", metadata_only=True)
        present = any(item["metadata"]["uid"] == attempt.job_uid for item in listing.items)
        return Record.UNKNOWN if present else Record.GONE

    async def _alive(self, lock: Lock) -> set[str]:
        """Needed only to judge between holders that exclude each other, which damage alone brings about."""
        if len(lock.holders) < 2:
            return set()
        alive = {holder.uid for holder in lock.holders if not holder.attempt}
        for holder in lock.holders:
            attempt = _attempt(holder)
            if attempt is not None and is_live(await self._parts.executor.observe(attempt)):
                alive.add(holder.attempt)
        return alive

    def _claim(self, namespace: str, holder: Holder) -> RepositoryLock | None:
        claim = self._parts.store.find(RepositoryLock, Key("RepositoryLock", namespace, holder.claim))
        return claim if claim is not None and claim.metadata.uid == holder.uid else None

    def _may_push(self, repository: Repository, holder: Holder) -> bool:
        if repository.spec.push is Push.NONE:
            return False
        if not holder.attempt:
            return True
        job = self._book.job(holder)
        use = job.spec.repository if job is not None else None
        return use is not None and Push.NONE.rank < use.push.rank <= repository.spec.push.rank

    def _with_waiting(self, name: RepositoryName, recorded: Lock | None, lock: Lock) -> tuple[Lock, float | None]:
        """The first ten that wait; a change of nothing else is recorded at most once a second."""
        new = with_waiting(lock, self._book.waiting(name, self._parts.scheduler.books.in_line(name[0])))
        if new == lock or recorded is None or lock != recorded:
            return new, None
        now = self._parts.monotonic()
        left = self._written.get(name, -WAITING_SECONDS) + WAITING_SECONDS - now
        if left > 0:
            return lock, left
        self._written[name] = now
        return new, None


def _attempt(holder: Holder) -> AttemptId | None:
    """None for a person's, and where the record names no attempt."""
    try:
        return AttemptId.parse(check_attempt(holder.attempt, "attempt")) if holder.attempt else None
    except ValueError:  # BadName is one
        return None


def _name(repository: Repository) -> RepositoryName:
    return repository.metadata.namespace, repository.metadata.name


def _held_up(branches: list[str] | None) -> Reason | None:
    if not branches:
        return None
    text = f"a push of a former holder still has {', '.join(branches[:5])} locked: continue it or end it"
    return "PushInFlight", text
