"""A lock record that is absent or damaged: rebuilt from what else is recorded, or healed (1.3, 5.4, design 5).

Promises: while one source cannot be read nothing is rebuilt, so nothing is granted; nobody who may still hold is left
out; of two that cannot both hold one keeps its right to push and the others are fenced, never dropped; tokens only
grow. Who of them is over is found out afterwards by holders.release, by evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from controller.api.conditions import Condition, ConditionStatus, find, with_condition
from controller.api.repository import MAX_HOLDERS, Holder, Lock
from controller.api.repository_use import LockMode
from controller.decisions.lock import compatible
from controller.decisions.plan import Note

LOCK_SOUND = "LockSound"


@dataclass(frozen=True, slots=True)
class Trace:
    """What one source says about one grant; a grant is known by its token.

    Args:
        uid: of the RepositoryLock, "" where the source does not know it.
        claim: name of the RepositoryLock, "" where the source does not know it.
        mode: Shared or Exclusive.
        token: of the grant.
        attempt: id of the attempt that it was given to, "" for a person, or where the source does not know it.
        over: the source proves that it is over (exit record, recorded end, claim recorded as Released or taken back by
            spec.forceRelease): only its token counts.
        fenced: the source says that it was fenced.
        granted_at: where the source knows it.
    """

    uid: str
    claim: str
    mode: LockMode
    token: int
    attempt: str = ""
    over: bool = False
    fenced: bool = False
    granted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One place that knows of grants: run directories, BatchJobs, RepositoryLocks, grants on their way in memory.

    Args:
        name: for people.
        traces: all that it says about this repository; None: it could not be read.
        message: why it could not be read, else "".
    """

    name: str
    traces: tuple[Trace, ...] | None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Healed:
    """A lock record and what was wrong with it.

    Args:
        lock: to be recorded, the same object where it was sound; None: nothing may be granted for `reason`.
        notes: Events to send after the record.
        reason: of the condition LockSound in CamelCase, "" where the record was sound.
        message: of that condition.
        conflict: there are holders that exclude each other; all but one side are fenced.
    """

    lock: Lock | None
    notes: tuple[Note, ...] = ()
    reason: str = ""
    message: str = ""
    conflict: bool = False


def rebuild(sources: Sequence[Source], fence: int | None, alive: Collection[str], now: datetime) -> Healed:
    """The lock of a Repository whose `status.lock` is absent.

    Args:
        sources: in the order of trust, the run directories first: what the running job was given counts.
        fence: largest token that the fence file remembers, 0 where there is none yet; None: it could not be read.
        alive: ids of attempts that are proved to live, and uids of people's claims that exist.
        now: wall clock, timezone-aware UTC.
    """
    for source in sources:
        if source.traces is None:
            return _unreadable(f"{source.name} cannot be read: {source.message}")
    if fence is None:
        return _unreadable("the fence file cannot be read")
    traces = [trace for source in sources for trace in source.traces or ()]
    seen = max((fence, *(trace.token for trace in traces)))
    # One more than the largest: a grant may have been recorded that nobody had heard of when the record was lost.
    token = seen + 1 if seen else 0
    holders = [held for group in _by_grant(traces) if (held := _holder(group, now)) is not None]
    holders.sort(key=lambda each: each.token)
    healed = heal(Lock(token=token, holders=tuple(holders[:MAX_HOLDERS])), alive, token, now)
    assert healed.lock is not None
    names = ", ".join(f"{each.claim} (token {each.token})" for each in healed.lock.holders) or "nobody"
    text = f"status.lock was absent; rebuilt from {', '.join(source.name for source in sources)}: held by {names}"
    message = f"{text}; {healed.message}" if healed.message else text
    if not seen:  # nobody is told of the first record of a new Repository
        return Healed(healed.lock, healed.notes, healed.reason or "New", "nobody has held it before", healed.conflict)
    notes = (Note("LockRebuilt", text, warning=True), *healed.notes)
    return Healed(healed.lock, notes, healed.reason or "Rebuilt", message, healed.conflict)


def _unreadable(why: str) -> Healed:
    message = f"who holds it cannot be found out, so nothing is granted: {why}"
    return Healed(None, reason="SourceUnreadable", message=message)


def _by_grant(traces: Iterable[Trace]) -> list[list[Trace]]:
    """Traces of the same grant together: same token, and not of two attempts (which only damage can bring about)."""
    groups: dict[int, list[list[Trace]]] = {}
    for trace in sorted(traces, key=lambda each: not each.attempt):  # those without an attempt join the others
        same = groups.setdefault(trace.token, [])
        found = next((group for group in same if _one_grant(group[0], trace)), None)
        if found is None:
            same.append([trace])
        else:
            found.append(trace)
    return [group for same in groups.values() for group in same]


def _one_grant(one: Trace, other: Trace) -> bool:
    if one.attempt and other.attempt:
        return one.attempt == other.attempt
    return not one.uid or not other.uid or one.uid == other.uid


def _holder(group: list[Trace], now: datetime) -> Holder | None:
    if any(trace.over for trace in group):
        return None
    first = group[0]
    uid = next((trace.uid for trace in group if trace.uid), first.attempt)
    alone = any(trace.mode is LockMode.EXCLUSIVE for trace in group)
    return Holder(
        claim=next((trace.claim for trace in group if trace.claim), ""),
        uid=uid,
        mode=LockMode.EXCLUSIVE if alone else LockMode.SHARED,
        token=first.token,
        attempt=first.attempt,
        granted_at=next((trace.granted_at for trace in group if trace.granted_at), None),
        fenced_at=now if any(trace.fenced for trace in group) else None,
    )


def heal(lock: Lock, alive: Collection[str], floor: int, now: datetime) -> Healed:
    """Repair what a recorded lock can never be by itself; the same object where nothing was wrong.

    Of holders that exclude each other those keep their right that are proved alive, then those of the newest grant:
    the fence accepted only its token since. The others are fenced, and stay: missing proof of life is no proof.

    Args:
        lock: as recorded.
        alive: as of `rebuild`.
        floor: largest token that the fence file remembers; 0 where there is none.
        now: wall clock, timezone-aware UTC.
    """
    notes: list[Note] = []
    holders = _once_each(lock.holders, notes)
    holders = _one_side(holders, alive, now, notes)
    token = max((lock.token, floor, *(held.token for held in holders)))
    if token != lock.token:
        notes.append(Note("TokenRaised", f"status.lock.token was {lock.token}, but {token} was given", warning=True))
    pushing = [held for held in holders if held.fenced_at is None]
    conflict = any(not compatible(pushing, held.mode) for held in holders if held.fenced_at is not None and pushing)
    if not notes:
        return Healed(lock, conflict=conflict)
    reason = "Conflict" if conflict else "Healed"
    message = "; ".join(note.message for note in notes)
    return Healed(
        lock.model_copy(update={"token": token, "holders": tuple(holders)}), tuple(notes), reason, message, conflict
    )


def _once_each(holders: Iterable[Holder], notes: list[Note]) -> list[Holder]:
    kept: dict[str, Holder] = {}
    for held in holders:
        other = kept.get(held.uid)
        if other is not None:
            notes.append(Note("DuplicateHolder", f"{held.claim} was recorded twice as a holder", warning=True))
        if other is None or held.token > other.token:
            kept[held.uid] = held
    return list(kept.values())


def _one_side(holders: list[Holder], alive: Collection[str], now: datetime, notes: list[Note]) -> list[Holder]:
    """Fence all that exclude the one with the best right; fenced ones before are no conflict any more."""
    pushing = [held for held in holders if held.fenced_at is None]
    if len(pushing) < 2 or all(held.mode is LockMode.SHARED for held in pushing):
        return holders
    best = max(pushing, key=lambda held: ((held.attempt or held.uid) in alive, held.token))
    shared = best.mode is LockMode.SHARED
    result = []
    for held in holders:
        stays = held.fenced_at is not None or held is best or (shared and held.mode is LockMode.SHARED)
        if not stays:
            text = f"{held.claim} (token {held.token}) and {best.claim} (token {best.token}) exclude each other"
            notes.append(Note("Conflict", f"{text}: pushes of {held.claim} are refused", warning=True))
        result.append(held if stays else held.model_copy(update={"fenced_at": now}))
    return result


def sound(conditions: tuple[Condition, ...], healed: Healed, generation: int, now: datetime) -> tuple[Condition, ...]:
    """`conditions` with LockSound: Unknown while nothing can be rebuilt, False while holders exclude each other."""
    if healed.lock is None:
        return with_condition(conditions, LOCK_SOUND, "Unknown", healed.reason, healed.message, generation, now)
    if healed.reason:
        value: ConditionStatus = "False" if healed.conflict else "True"
        return with_condition(conditions, LOCK_SOUND, value, healed.reason, healed.message, generation, now)
    old = find(conditions, LOCK_SOUND)
    if old is None or old.status == "True" or healed.conflict:
        return conditions
    return with_condition(conditions, LOCK_SOUND, "True", "Sound", "the record of the lock is sound", generation, now)
