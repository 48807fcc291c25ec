"""What becomes of a Snapshot, and which ones retention removes (requirement 7.10).

Promises: begun only after it is recorded that it is, under a location that follows from the object, so that taking it
twice leaves one archive; an interrupted one is taken again a few times, then given up; the newest good one is never
removed, nor one that a person keeps; an archive goes before the object that names it, and is recorded as going first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.api.conditions import is_true, with_condition
from controller.api.keys import Key
from controller.api.snapshot import SUFFIX, KindCount, Snapshot, SnapshotPhase, SnapshotStatus
from controller.decisions.schedule import scheduled_for

MAX_TRIES = 5  # that were begun and not ended: one that ends the controller each time must not do so for ever
FAILED_TRIES = 20  # that ended with a fault of the world: over two hours in all
FIRST_AGAIN, LAST_AGAIN = 5.0, 600.0  # seconds between such a try and the next, doubled each time
BUSY_AGAIN = 30.0  # seconds; the end of the one that is being taken wakes sooner
BUSY = "another one is being taken"  # message of one that waits for its turn
MAX_TEXT = 2048  # bound of status.message in the schema

EXPIRED = "Expired"


@dataclass(frozen=True, slots=True)
class Taken:
    """A whole archive, in place and verified.

    Args:
        objects: kind and count of what is in it.
        size: bytes.
        skipped: objects that could not be read, for people.
    """

    objects: tuple[tuple[str, int], ...]
    size: int
    sha256: str
    archive_id: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why there is no archive; `final`: trying again cannot help."""

    reason: str
    message: str
    final: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was read for one decision.

    Args:
        ended: how taking it ended, where that is not recorded yet.
        in_flight: it is being taken by this process.
        busy: another one is.
        location: where its archive goes.
        refused: why it cannot go there, "" where it can.
        expired: retention says that it goes.
    """

    location: str
    ended: Taken | NotTaken | None = None
    in_flight: bool = False
    busy: bool = False
    refused: str = ""
    expired: bool = False


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """One decision: the status to record, then what it entitles: `take` it, or `remove` archive and object."""

    status: SnapshotStatus
    take: bool = False
    remove: bool = False
    wake_after: float | None = None


def location_of(snapshot: Snapshot, directory: str) -> str:
    """Where the archive of `snapshot` goes: a name of its own, the same whenever it is taken.

    Args:
        directory: path or address without a trailing slash.
    """
    meta = snapshot.metadata
    return f"{directory.rstrip('/')}/{meta.namespace}-{meta.name[:120]}-{meta.uid[:8]}{SUFFIX}"


def decide(snapshot: Snapshot, seen: Seen, now: datetime) -> SnapshotPlan:
    """Decide about `snapshot`, whose recorded status is `snapshot.status`.

    Args:
        snapshot: declared and recorded.
        seen: what was observed for this decision.
        now: wall clock, timezone-aware UTC.
    """
    status = snapshot.status
    if snapshot.metadata.deletion_timestamp is not None:
        return SnapshotPlan(status)
    if status.phase is not None and status.phase.over:
        return _over(snapshot, seen, now)
    if seen.in_flight:
        return SnapshotPlan(status)
    if isinstance(seen.ended, Taken):
        return SnapshotPlan(_complete(snapshot, seen.ended, now))
    if isinstance(seen.ended, NotTaken) and seen.ended.final:
        return SnapshotPlan(_failed(snapshot, seen.ended.reason, seen.ended.message, now))
    if seen.refused:
        return SnapshotPlan(_failed(snapshot, "DestinationRefused", seen.refused, now))
    if isinstance(seen.ended, NotTaken):
        return _not_yet(snapshot, seen.ended, now)
    if (left := _left(status, now)) is not None:
        return SnapshotPlan(status, wake_after=left)
    if status.tries >= MAX_TRIES and status.phase is SnapshotPhase.RUNNING:
        why = "the controller ended while it was taken"
        return SnapshotPlan(_failed(snapshot, "GivenUp", f"begun {status.tries} times; {why}", now))
    if seen.busy:
        waiting = status.model_copy(update={"phase": SnapshotPhase.PENDING, "message": BUSY})
        waits_for_its_next_try = status.phase is SnapshotPhase.PENDING  # and says what went wrong
        return SnapshotPlan(status if waits_for_its_next_try else waiting, wake_after=BUSY_AGAIN)
    begun = {
        "phase": SnapshotPhase.RUNNING,
        "tries": status.tries + 1,
        "location": seen.location,
        "started_at": now,
        "finished_at": None,
        "message": status.message if status.tries and status.message != BUSY else "",
    }
    return SnapshotPlan(status.model_copy(update=begun), take=True)


def _not_yet(snapshot: Snapshot, ended: NotTaken, now: datetime) -> SnapshotPlan:
    """The world was not ready: it waits for its next try, or is given up."""
    status = snapshot.status
    if status.tries >= FAILED_TRIES:
        return SnapshotPlan(_failed(snapshot, "GivenUp", f"begun {status.tries} times; {ended.message}", now))
    update = {"phase": SnapshotPhase.PENDING, "message": ended.message[:MAX_TEXT], "finished_at": now}
    waiting = status.model_copy(update=update)
    return SnapshotPlan(waiting, wake_after=_left(waiting, now))


def _left(status: SnapshotStatus, now: datetime) -> float | None:
    """Seconds until the next try of one that failed; None where it may begin now."""
    if status.phase is not SnapshotPhase.PENDING or status.finished_at is None:
        return None
    pause = min(LAST_AGAIN, FIRST_AGAIN * 2.0 ** (status.tries - 1))
    left = pause - (now - status.finished_at).total_seconds()
    return min(left, pause) if left > 0 else None


def _over(snapshot: Snapshot, seen: Seen, now: datetime) -> SnapshotPlan:
    status = snapshot.status
    if is_true(status.conditions, EXPIRED):
        return SnapshotPlan(status, remove=True)
    if not seen.expired:
        return SnapshotPlan(status)
    text = "removed by retention: first its archive, then this object"
    return SnapshotPlan(_marked(snapshot, status, now, (EXPIRED, "True", "Retention", text)), remove=True)


def _complete(snapshot: Snapshot, taken: Taken, now: datetime) -> SnapshotStatus:
    counts = tuple(KindCount(kind=kind, count=count) for kind, count in taken.objects)
    total = sum(each.count for each in counts)
    update = {
        "phase": SnapshotPhase.COMPLETE,
        "objects": counts,
        "total": total,
        "bytes": taken.size,
        "sha256": taken.sha256,
        "archive_id": taken.archive_id,
        "resource_version": taken.resource_version,
        "finished_at": now,
        "message": "",
    }
    text = f"{total} objects, {taken.size} bytes"
    return _marked(
        snapshot,
        snapshot.status.model_copy(update=update),
        now,
        ("Complete", "True", "Taken", text),
        ("Failed", "False", "Taken", ""),
        ("Finished", "True", "Taken", text),
    )


def _failed(snapshot: Snapshot, reason: str, message: str, now: datetime) -> SnapshotStatus:
    text = message[:MAX_TEXT]
    update = {"phase": SnapshotPhase.FAILED, "finished_at": now, "message": text}
    return _marked(
        snapshot,
        snapshot.status.model_copy(update=update),
        now,
        ("Complete", "False", reason, text),
        ("Failed", "True", reason, text),
        ("Finished", "True", reason, text),
    )


def _marked(
    snapshot: Snapshot, status: SnapshotStatus, now: datetime, *rows: tuple[str, str, str, str]
) -> SnapshotStatus:
    conditions, generation = status.conditions, snapshot.metadata.generation
    for kind, value, reason, text in rows:
        conditions = with_condition(
            conditions, kind, "True" if value == "True" else "False", reason, text, generation, now
        )
    return status.model_copy(update={"conditions": conditions})


def is_good(snapshot: Snapshot) -> bool:
    """Whether it can be restored from as far as is recorded."""
    return snapshot.status.phase is SnapshotPhase.COMPLETE and not is_true(snapshot.status.conditions, EXPIRED)


def expired(snapshots: Sequence[Snapshot], keep: int, keep_for: timedelta, now: datetime) -> frozenset[Key]:
    """Which of all Snapshots retention removes.

    Good ones beyond the newest `keep`, or older than `keep_for`, go; failed ones are counted by themselves. The newest
    good one stays whatever its age, and so does the newest that the schedule made: it tells when it was last followed.

    Args:
        snapshots: all there are, of all namespaces.
        keep: how many good ones stay, at least 1.
        keep_for: how long one stays.
        now: wall clock, timezone-aware UTC.
    """
    gone: set[Key] = set()
    for good in (True, False):
        over = [each for each in snapshots if each.status.phase and each.status.phase.over and is_good(each) is good]
        over = [each for each in over if not is_true(each.status.conditions, EXPIRED)]
        over.sort(key=lambda each: each.status.finished_at or now, reverse=True)
        for place, each in enumerate(over):
            if (good and place == 0) or each.spec.keep:
                continue
            if too_old(each, keep_for, now) or place >= keep:
                gone.add(each.key)
    return frozenset(gone - _last_scheduled(snapshots))


def too_old(snapshot: Snapshot, keep_for: timedelta, now: datetime) -> bool:
    """Whether its age alone has retention remove it."""
    return snapshot.status.finished_at is not None and now - snapshot.status.finished_at > keep_for


def _last_scheduled(snapshots: Sequence[Snapshot]) -> frozenset[Key]:
    made = [(moment, each.key) for each in snapshots if (moment := scheduled_for(each)) is not None]
    return frozenset({max(made)[1]}) if made else frozenset()
