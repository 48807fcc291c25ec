"""When a Callback is tried, stands behind another one, or is done with (requirement 6.3).

Promises: the schedule alone says how often it is tried; a clock that is set back makes no wait longer than it was when
it began; what fell due while nothing could be sent is spread over time; what a person asks for again is sent again
with the same id; a dead letter outlives its job. What an answer means stands in `answer`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.api.callback import Callback, CallbackPhase, CallbackStatus
from controller.api.callback_use import DeliveryState
from controller.api.conditions import find
from controller.api.units import duration_seconds
from controller.decisions.answer import Answer, Blocked, Meaning, Notes, anew, blocked, meaning_of, over, tried

KEEP_FAILED = 30 * 24 * 3600.0  # seconds that a dead letter is kept, and what became of one
SPREAD = 60.0  # seconds over which retries are spread that fell due before this controller ran
PATIENCE = 600.0  # seconds that an open circuit may hold up a try, where its step is shorter
BLOCKED_FIRST, BLOCKED_LIMIT = 5.0, 600.0  # seconds until a missing Secret is looked for again
HELD_AGAIN = 60.0  # seconds; the end of the one that goes first wakes sooner
LONGEST_WAKE = 3600.0  # seconds; also notices a clock that was set while a timer runs


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was read for one decision.

    Args:
        up_since: when this controller began to send.
        ended: how a try, or the preparation of one, ended that may not be recorded yet.
        ended_after: status.attempts when that try began: one that is recorded already is not counted twice.
        in_flight: a try is being made.
        held_by: the Callback that goes before this one, "" for none.
        jitter: in [0, 1).
    """

    up_since: datetime
    ended: Answer | Blocked | None = None
    ended_after: int = 0
    in_flight: bool = False
    held_by: str = ""
    jitter: float = 0.5


@dataclass(frozen=True, slots=True)
class CallbackPlan:
    """One decision: the status to record, then what it entitles.

    Args:
        send: make a try as soon as its host has room.
        impatient: the try waited long enough for a open circuit: it goes whatever the host's record is.
        release: a dead letter: it is no longer to be deleted with its job.
        delete: it was kept long enough.
        wake_after: seconds until the next look, None where only a change wakes.
    """

    status: CallbackStatus
    send: bool = False
    impatient: bool = False
    release: bool = False
    delete: bool = False
    wake_after: float | None = None
    notes: Notes = ()


def decide(callback: Callback, seen: Seen, now: datetime) -> CallbackPlan:
    """Decide about `callback`, whose recorded status is `callback.status`.

    Args:
        callback: declared and recorded.
        seen: what was observed for this decision.
        now: wall clock, timezone-aware UTC.
    """
    recorded = callback.status
    if callback.metadata.deletion_timestamp is not None:
        return CallbackPlan(recorded)
    status, notes = _after(callback, seen, now)
    if callback.spec.redeliver > status.redelivered:
        status, again = anew(callback, status, now)
        return CallbackPlan(status, wake_after=0.0, notes=(*notes, again))
    if over(status):
        return _kept(callback, status, notes, now)
    return _next(callback, _rebased(status, now), seen, notes, now)


def _after(callback: Callback, seen: Seen, now: datetime) -> tuple[CallbackStatus, Notes]:
    """What is recorded with what ended since."""
    status = callback.status
    if seen.ended is None or over(status) or status.attempts > seen.ended_after:
        return status, ()
    if isinstance(seen.ended, Answer):
        return tried(callback, status, seen.ended, seen.jitter, now)
    return blocked(callback, status, seen.ended, now)


def _kept(callback: Callback, status: CallbackStatus, notes: Notes, now: datetime) -> CallbackPlan:
    """What was delivered goes with its job; a dead letter outlives it, and so does one that was sent again."""
    failed, owned = status.phase is CallbackPhase.FAILED, is_owned(callback)
    if status.finished_at is None or (owned and not failed):
        return CallbackPlan(status, notes=notes)
    left = KEEP_FAILED - (now - status.finished_at).total_seconds()
    if left <= 0:
        return CallbackPlan(status, delete=True, notes=notes)
    return CallbackPlan(status, release=owned, wake_after=left, notes=notes)


def is_owned(callback: Callback) -> bool:
    """Whether it is deleted with its job."""
    return any(owner.uid == callback.spec.job.uid for owner in callback.metadata.owner_references)


def end_of(callback: Callback) -> DeliveryState | None:
    """How it ended, as its job records it; None: not yet.

    A dead letter counts once it outlives its job, whose time to live waits for what is not recorded.
    """
    if callback.status.phase is CallbackPhase.DELIVERED:
        return DeliveryState.DELIVERED
    failed = callback.status.phase is CallbackPhase.FAILED
    return DeliveryState.FAILED if failed and not is_owned(callback) else None


def _rebased(status: CallbackStatus, now: datetime) -> CallbackStatus:
    """The clock was set back: what is left of the wait is at most what it was when it began."""
    wait = timedelta(milliseconds=status.wait_ms)
    if status.next_attempt_at is None or status.next_attempt_at - now <= wait:
        return status
    return status.model_copy(update={"next_attempt_at": now + wait})


def due_at(callback: Callback, status: CallbackStatus, up_since: datetime, now: datetime) -> datetime:
    """When the next try is due.

    What fell due before this controller ran comes at its own, always the same place in the first minute; a first try
    is due since the Callback was made. A start in the future is a clock that was set back since.
    """
    due = status.next_attempt_at
    if now < up_since:
        return due or now
    if due is None:
        return max(_since(callback, status, now), up_since)
    if due >= up_since:
        return due
    window = min(SPREAD, (up_since - due).total_seconds())
    return up_since + timedelta(seconds=window * place_of(callback.spec.id))


def place_of(id_: str) -> float:
    """A number in [0, 1) that is a delivery's own."""
    return int.from_bytes(hashlib.sha256(id_.encode()).digest()[:4]) / 2**32


def _next(callback: Callback, status: CallbackStatus, seen: Seen, notes: Notes, now: datetime) -> CallbackPlan:
    """Not over: wait, stand behind another one, or send."""
    if seen.in_flight:
        return CallbackPlan(status, notes=notes)
    if isinstance(seen.ended, Blocked):
        return CallbackPlan(status, wake_after=_blocked_for(status, now), notes=notes)
    waited = (now - due_at(callback, status, seen.up_since, now)).total_seconds()
    if waited < 0 and status.next_attempt_at is not None:
        return CallbackPlan(status, wake_after=min(-waited, LONGEST_WAKE), notes=notes)
    if seen.held_by:
        return CallbackPlan(status, wake_after=HELD_AGAIN, notes=notes)
    left = _patience(callback, status) - max(0.0, waited)
    return CallbackPlan(status, True, left <= 0, wake_after=left if left > 0 else None, notes=notes)


def _patience(callback: Callback, status: CallbackStatus) -> float:
    steps = callback.spec.schedule
    step = duration_seconds(steps[min(status.tries, len(steps)) - 1]) if steps and status.tries else 0.0
    return max(step, PATIENCE)


def _since(callback: Callback, status: CallbackStatus, now: datetime) -> datetime:
    """Since when a first try is due: the creation, or the redelivery."""
    told = find(status.conditions, "Finished")
    return told.last_transition_time if told is not None else callback.metadata.creation_timestamp or now


def _blocked_for(status: CallbackStatus, now: datetime) -> float:
    """Doubles with the time that it has lasted: nothing of it needs to be remembered."""
    told = find(status.conditions, "Delivered")
    lasted = (now - told.last_transition_time).total_seconds() if told is not None else 0.0
    return min(max(lasted, BLOCKED_FIRST), BLOCKED_LIMIT)


def holds_back(earlier: Callback | None) -> bool:
    """Whether a Callback that goes first keeps the next one of its line waiting (order per job).

    It does until it is over, but for one case: a receiver that answers and does not want it would otherwise not hear
    of the job's end for days.
    """
    if earlier is None or earlier.metadata.deletion_timestamp is not None or over(earlier.status):
        return False
    last = earlier.status.last_attempt
    return last is None or last.code is None or meaning_of(last.code) is not Meaning.REFUSED
