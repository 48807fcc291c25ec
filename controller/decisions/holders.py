"""Which holders of a repository go, which are fenced, which stay: by evidence (requirement 5.4, design 5).

Promises: what may still run keeps the lock. A holder goes when its end is proved, or when a person says so with the
claim's own uid; silence alone fences it, and gives its lock on only where the Repository's policy says GiveOn.
Clocks count for claims of people only; the silence of jobs is measured by the caller and survives no clock change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from controller.api.batchjob_status import Attempt
from controller.api.repository import Holder, Lock, LockPolicy, WhenSilent
from controller.api.repositorylock import RepositoryLock
from controller.api.units import duration_seconds
from controller.decisions.lock import compatible
from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import Owner, is_live
from controller.decisions.plan import Note

PROVED_OVER = (Evidence.ENDED, Evidence.GONE, Evidence.NEVER_STARTED)


class Record(StrEnum):
    """What the BatchJob's recorded status says about the attempt that a holder names."""

    ACTIVE = "Active"  # Starting, Running or Stopping
    OVER = "Over"  # recorded as over, or a later attempt is recorded
    NOT_ADMITTED = "NotAdmitted"  # the record was read and names no such attempt
    GONE = "Gone"  # an uncached read proved that the BatchJob does not exist
    UNKNOWN = "Unknown"  # it could not be read


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a holder found.

    Args:
        claim: whether its RepositoryLock exists; only an uncached read says GONE. Counts for people only.
        force_release: spec.forceRelease of its claim.
        renew_time: spec.renewTime of a person's claim.
        lease_seconds: spec.leaseDuration of a person's claim, None: held until it is deleted.
        record: what the BatchJob's status says of the attempt.
        found: what was observed of the attempt.
        granted: the grant is still on its way to the BatchJob's record in this process.
        silent_for: seconds (monotonic) since there was last evidence about the attempt.
    """

    claim: Owner = Owner.UNKNOWN
    force_release: str = ""
    renew_time: datetime | None = None
    lease_seconds: float | None = None
    record: Record = Record.UNKNOWN
    found: Observation = field(default_factory=lambda: Observation(Evidence.UNKNOWN, message="it was not observed"))
    granted: bool = False
    silent_for: float = 0.0


@dataclass(frozen=True, slots=True)
class Gone:
    """One holder that was released, and why: `reason` for the claim's status."""

    holder: Holder
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Released:
    """The lock after a release.

    Args:
        lock: to be recorded; the same object where nothing changed.
        gone: who was released.
        notes: Events to send after the record.
        wake_after: seconds until time alone may change something, None where only a change of the world can.
    """

    lock: Lock
    gone: tuple[Gone, ...] = ()
    notes: tuple[Note, ...] = ()
    wake_after: float | None = None


@dataclass(frozen=True, slots=True)
class _Verdict:
    """`go`: released for this reason. `fence`: silent for too long. Neither: it stays; look again after `wake`."""

    go: str = ""
    message: str = ""
    warning: bool = False
    fence: bool = False
    wake: float | None = None


_STAYS = _Verdict()


def look_at(claim: RepositoryLock) -> Look:
    """What a claim says by itself; for a job's claim the caller adds record and evidence (dataclasses.replace)."""
    spec = claim.spec
    lease = duration_seconds(spec.lease_duration) if spec.lease_duration is not None else None
    return Look(Owner.PRESENT, spec.force_release, spec.renew_time, lease)


def record_of(holder: Holder, newest: Attempt | None) -> Record:
    """What a BatchJob's status says of `holder`'s attempt.

    Args:
        holder: of a job.
        newest: status.attempt of its BatchJob, which was read.
    """
    uid, _, number = holder.attempt.rpartition(".")
    if newest is None or newest.id.rpartition(".")[0] != uid or not number.isdecimal() or newest.number < int(number):
        return Record.NOT_ADMITTED
    if newest.number > int(number) or newest.state.over:
        return Record.OVER
    # Also with another token: what is recorded as begun will run, and nobody else beside it. Its pushes are refused.
    return Record.ACTIVE


def release(lock: Lock, looks: Mapping[str, Look], policy: LockPolicy, now: datetime) -> Released:
    """Decide about every holder of `lock`.

    Args:
        lock: as recorded.
        looks: by uid of the claim; a holder without a look was not looked at, and stays.
        policy: spec.lock of the Repository.
        now: wall clock, timezone-aware UTC; counts for leases of people only.
    """
    stay: list[Holder] = []
    gone: list[Gone] = []
    notes: list[Note] = []
    wakes: list[float] = []
    for holder in lock.holders:
        verdict = _judge(holder, looks.get(holder.uid), policy, now)
        if verdict.go:
            gone.append(Gone(holder, verdict.go, verdict.message))
            notes.append(Note(verdict.go, verdict.message, verdict.warning))
            continue
        if verdict.fence and holder.fenced_at is None:
            holder = holder.model_copy(update={"fenced_at": now})
            notes.append(Note("Fenced", verdict.message, warning=True))
        stay.append(holder)
        wakes += [verdict.wake] if verdict.wake is not None else []
    kept = _heard_again(stay, looks, notes)
    wake = min(wakes, default=None)
    if kept == lock.holders:
        return Released(lock, wake_after=wake)
    return Released(lock.model_copy(update={"holders": kept}), tuple(gone), tuple(notes), wake)


def _judge(holder: Holder, look: Look | None, policy: LockPolicy, now: datetime) -> _Verdict:
    if look is None:
        return _STAYS
    if look.force_release == holder.uid:
        text = f"{holder.claim} (token {holder.token}) was released by spec.forceRelease"
        return _Verdict("ForceReleased", text, warning=True)
    return _job(holder, look, policy) if holder.attempt else _person(holder, look, now)


def _person(holder: Holder, look: Look, now: datetime) -> _Verdict:
    if look.claim is Owner.GONE:
        return _Verdict("ClaimDeleted", f"{holder.claim} was deleted")
    starts = [moment for moment in (look.renew_time, holder.granted_at) if moment is not None]
    if look.claim is Owner.UNKNOWN or look.lease_seconds is None or not starts:
        return _STAYS
    # Also of a claim that was renewed only while it waited: its time begins with the grant.
    left = (max(starts) + timedelta(seconds=look.lease_seconds) - now).total_seconds()
    if left > 0:
        # A clock that was set back makes the sum longer, never the sleep.
        return _Verdict(wake=min(left, look.lease_seconds))
    return _Verdict("Expired", f"{holder.claim} was not renewed for its leaseDuration of {look.lease_seconds:g} s")


def _job(holder: Holder, look: Look, policy: LockPolicy) -> _Verdict:
    """One row per kind of proof; what is not proved waits, and after the lease is fenced."""
    evidence = look.found.evidence
    text = f"{holder.claim} (attempt {holder.attempt}, token {holder.token})"
    if is_live(look.found):
        return _STAYS
    if look.record is Record.OVER:
        return _Verdict("Ended", f"{text} has ended")
    if evidence in PROVED_OVER:
        # The BatchJob's record goes first (design 5): its reconciler has the same evidence and is at it.
        return _STAYS if look.record is Record.ACTIVE else _Verdict("Ended", f"{text} has ended: {evidence}")
    if look.record is Record.NOT_ADMITTED and look.granted:
        return _STAYS
    if evidence is Evidence.ABSENT and look.record is Record.ACTIVE:
        return _STAYS  # about to be launched; a loss is recorded by its own reconciler first
    if evidence is Evidence.ABSENT and look.record is Record.NOT_ADMITTED:
        return _Verdict("NotAdmitted", f"{text} was granted and never recorded by its job")
    if evidence is Evidence.ABSENT and look.record is Record.GONE:
        return _Verdict("HolderNotFound", f"{text}: neither its BatchJob nor an attempt of it exists", warning=True)
    return _silent(holder, look, policy, text)


def _silent(holder: Holder, look: Look, policy: LockPolicy, text: str) -> _Verdict:
    lease = duration_seconds(policy.lease_duration)
    why = look.found.message or f"nothing is proved (evidence {look.found.evidence}, record {look.record})"
    if look.silent_for < lease and holder.fenced_at is None:
        return _Verdict(wake=lease - look.silent_for)
    if policy.when_silent is WhenSilent.GIVE_ON and look.silent_for >= lease:
        told = f"{text}: {why}; its lock is given on (spec.lock.whenSilent is GiveOn), its pushes are refused"
        return _Verdict("GivenOn", told, warning=True)
    ask = f'kubectl patch rlock {holder.claim} --type=merge -p \'{{"spec":{{"forceRelease":"{holder.uid}"}}}}\''
    told = f"{text}: {why}; its pushes are refused, it keeps the lock. If you know that it is over: {ask}"
    wake = lease - look.silent_for if look.silent_for < lease else None
    return _Verdict(fence=True, message=told, wake=wake)


def _heard_again(stay: list[Holder], looks: Mapping[str, Look], notes: list[Note]) -> tuple[Holder, ...]:
    """A fenced holder that is silent no more may push again, unless somebody else was given the lock meanwhile."""
    kept = {holder.uid: holder for holder in stay}
    for holder in sorted(stay, key=lambda each: -each.token):
        others = [each for each in kept.values() if each.uid != holder.uid and each.fenced_at is None]
        look = looks.get(holder.uid)
        if holder.fenced_at is None or look is None or not _heard(holder, look):
            continue
        if compatible(others, holder.mode):
            kept[holder.uid] = holder.model_copy(update={"fenced_at": None})
            notes.append(Note("HeardAgain", f"{holder.claim} (token {holder.token}) is proved to hold: fenced no more"))
    return tuple(kept.values())


def _heard(holder: Holder, look: Look) -> bool:
    """Proved to live, or known to be about to start: what was never launched cannot be heard first."""
    if not holder.attempt:
        return look.claim is Owner.PRESENT
    due = look.found.evidence is Evidence.ABSENT and (look.record is Record.ACTIVE or look.granted)
    return is_live(look.found) or due
