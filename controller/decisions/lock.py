"""Who may hold a repository: claims in their order, Shared ones together, an Exclusive one alone (5.4, design 5).

Promises: grants are given strictly in order among the claims that stand in line; the first claim that has to wait
closes the repository for all behind it, so no writer starves; a closed repository costs O(1) per claim, however many
wait. Here live claims, the line of one scheduling cycle, and the grant; who goes is decided in holders.py, a record
that is absent or damaged in lock_record.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from controller.api.repository import MAX_HOLDERS, WAITING_LENGTH, Holder, Lock, WaitingClaim
from controller.api.repository_use import LockMode
from controller.api.repositorylock import RepositoryLock
from controller.decisions.order import Candidate, OrderKey

PERSON_PRIORITY = 0  # claims of people stand among the jobs of this priority (design 5)


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """One claim on one repository; sorts as it is served.

    Args:
        order: (priority descending, sequence, creation time, uid), as of jobs.
        uid: of the RepositoryLock.
        name: of the RepositoryLock.
        mode: Shared or Exclusive.
        job: uid of the BatchJob that claims, "" for a person.
        attempt: id of the attempt that it would be given to, "" for a person.
    """

    order: OrderKey
    uid: str
    name: str
    mode: LockMode
    job: str = ""
    attempt: str = ""

    @property
    def person(self) -> bool:
        """Whether a person claims."""
        return not self.job


def job_claim(waiting: Candidate, uid: str, name: str, mode: LockMode, attempt: str) -> Claim:
    """The claim of a waiting job: it stands where the job stands; the other arguments as of Claim."""
    return Claim(waiting.order, uid, name, mode, waiting.uid, attempt)


def person_claim(claim: RepositoryLock, sequence: int) -> Claim:
    """The claim of a person.

    Args:
        claim: the RepositoryLock.
        sequence: its place in creation order, on the same scale as the sequences of jobs.
    """
    meta = claim.metadata
    created = meta.creation_timestamp.timestamp() if meta.creation_timestamp is not None else 0.0
    return Claim((-PERSON_PRIORITY, sequence, created, meta.uid), meta.uid, meta.name, claim.spec.mode)


def compatible(holders: Iterable[Holder | Claim], mode: LockMode) -> bool:
    """Whether `mode` may be held beside `holders`; a fenced one still holds."""
    return all(held.mode is mode is LockMode.SHARED for held in holders)


class Line:
    """The line before one repository in one scheduling cycle; thrown away after it.

    Args:
        lock: as recorded; None (not rebuilt yet): nothing is granted.
        people: waiting claims of people, in order. They are served as the cycle comes to their place, so that a job's
            claim behind one of them is judged after it.
        granted: grants that are not recorded yet: they hold like recorded ones.
    """

    def __init__(self, lock: Lock | None, people: Iterable[Claim] = (), granted: Iterable[Claim] = ()) -> None:
        self.grants: list[Claim] = []
        self.closed = lock is None
        self._holding: dict[str, str] = {}  # claim uid -> attempt
        self._shared = 0
        self._exclusive = False
        self._last: OrderKey | None = None
        for holder in lock.holders if lock is not None else ():
            # What is fenced still holds, but a job cannot start with it: its attempt is nobody's.
            self._hold(holder.uid, holder.mode, holder.attempt if holder.fenced_at is None else "")
        for claim in granted:
            self._hold(claim.uid, claim.mode, claim.attempt)
        self._people = iter(people)
        self._person = next(self._people, None)

    def may_grant(self, claim: Claim) -> bool:
        """Whether `claim` is granted now; the grant counts for all that are asked after it.

        To be called in the order of the claims, once everything else that the job needs is there: asking makes the
        claim stand in line, and a refusal closes the repository for this cycle.

        Raises:
            ValueError: a claim behind this one was asked before.
        """
        self._serve(claim.order)
        if claim.attempt and self._holding.get(claim.uid) == claim.attempt:
            return True  # recorded before, and not used yet: its grant was in its turn
        return self._take(claim)

    def stand(self, claim: Claim) -> None:
        """`claim` stands in line but cannot be given anything now: its job waits for a slot, and is among the next.

        Nothing that would make it wait longer is granted behind it: after an Exclusive one nothing, after a Shared one
        no Exclusive one. Called in order like `may_grant`, whose errors it raises.
        """
        self._serve(claim.order)
        if self.closed or claim.uid in self._holding:
            return
        if claim.mode is LockMode.EXCLUSIVE:
            self.closed = True
        self._shared += 1

    def finish(self) -> tuple[Claim, ...]:
        """Serve the people behind the last candidate; all grants of this cycle in their order."""
        self._serve(None)
        return tuple(self.grants)

    def _serve(self, until: OrderKey | None) -> None:
        """Grant to the people in front of `until` (None: all), or close at the first that has to wait."""
        if until is not None and self._last is not None and until < self._last:
            raise ValueError(f"claims are asked in their order: {until} after {self._last}")
        self._last = until
        while not self.closed and self._person is not None and (until is None or self._person.order < until):
            if self._person.uid in self._holding or self._take(self._person):
                self._person = next(self._people, None)

    def _take(self, claim: Claim) -> bool:
        wants_alone = claim.mode is LockMode.EXCLUSIVE
        full = self._exclusive or (wants_alone and self._shared > 0) or len(self._holding) >= MAX_HOLDERS
        if self.closed or full or claim.uid in self._holding:
            self.closed = True
            return False
        self._hold(claim.uid, claim.mode, claim.attempt)
        self.grants.append(claim)
        return True

    def _hold(self, uid: str, mode: LockMode, attempt: str) -> None:
        if uid in self._holding:
            return
        self._holding[uid] = attempt
        if mode is LockMode.EXCLUSIVE:
            self._exclusive = True
        else:
            self._shared += 1


def grant(lock: Lock, claims: Iterable[Claim], now: datetime) -> Lock:
    """`lock` with `claims` as holders, each with the next token; from the first on that does not fit: none.

    Judged anew on the record that is about to be replaced: a grant that was decided on an older one is not forced.
    Claims that hold already keep their token.
    """
    line = Line(lock)
    for claim in sorted(claims):
        if not line.may_grant(claim):
            break
    if not line.grants:
        return lock
    new = (_holder(claim, lock.token + n, now) for n, claim in enumerate(line.grants, start=1))
    update = {"token": lock.token + len(line.grants), "holders": (*lock.holders, *new)}
    return lock.model_copy(update=update)


def _holder(claim: Claim, token: int, now: datetime) -> Holder:
    return Holder(claim=claim.name, uid=claim.uid, mode=claim.mode, token=token, attempt=claim.attempt, granted_at=now)


def with_waiting(lock: Lock, claims: Iterable[Claim]) -> Lock:
    """`lock` with the first ten of `claims`, which come in order and are read only so far (requirement 5.6)."""
    holding = {held.uid for held in lock.holders}
    first = islice((claim for claim in claims if claim.uid not in holding), WAITING_LENGTH)
    waiting = tuple(WaitingClaim(claim=claim.name, mode=claim.mode) for claim in first)
    return lock if waiting == lock.waiting else lock.model_copy(update={"waiting": waiting})


def fence_tokens(lock: Lock, may_push: Callable[[Holder], bool]) -> tuple[int, ...]:
    """The tokens that the mirror accepts: of holders that may push and are not fenced (requirement 5.5)."""
    refused = {held.token for held in lock.holders if held.fenced_at is not None}
    return tuple(sorted({held.token for held in lock.holders if may_push(held)} - refused))
