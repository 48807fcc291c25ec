"""How a try of a Callback ended, and the status that follows from it (requirement 6.3).

Promises: 2xx is delivered, 410 stops, all else is tried again until the schedule is used up; a reason and a message
stay with every try, never a secret (the sender takes them out of what was answered).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from controller.api.callback import (
    MAX_SNIPPET,
    TRIES_LENGTH,
    Callback,
    CallbackPhase,
    CallbackSpec,
    CallbackStatus,
    LastTry,
    Try,
)
from controller.api.conditions import ConditionStatus, find, with_condition
from controller.api.units import duration_seconds
from controller.decisions.plan import Note

JITTER = 0.2  # of a step of the schedule, up and down
MAX_RETRY_AFTER = 24 * 3600.0  # seconds; the longest step of the default schedule
MAX_TEXT = 1024  # bound of lastAttempt.message in the schema

UNSENT = frozenset({"UrlRefused", "PortRefused", "AddressRefused", "RedirectRefused"})  # reasons of the guard

Notes = tuple[Note, ...]
Next = tuple[CallbackStatus, Notes]


class Meaning(StrEnum):
    """What an answer, or none, says about going on.

    REFUSED: the receiver is well and does not want this (4xx but 408, 425 and 429). UNSENT: the guard let nothing out.
    """

    DELIVERED = "Delivered"
    GONE = "Gone"
    BUSY = "Busy"
    REFUSED = "Refused"
    FAILED = "Failed"
    UNSENT = "Unsent"

    @property
    def host_works(self) -> bool | None:
        """What it says about the host; None: nothing."""
        if self is Meaning.UNSENT:
            return None
        return self not in (Meaning.FAILED, Meaning.BUSY)


def meaning_of(code: int) -> Meaning:
    """What an HTTP status means for a delivery; redirects are followed before, so a 3xx that is left is a failure."""
    if 200 <= code < 300:
        return Meaning.DELIVERED
    if code == 410:
        return Meaning.GONE
    if code in (408, 425, 429):
        return Meaning.BUSY
    return Meaning.REFUSED if 400 <= code < 500 else Meaning.FAILED


def showed(code: int | None, reason: str) -> bool | None:
    """What a recorded try showed of its host: it works, it does not, or (None) nothing."""
    if code is not None:
        return meaning_of(code).host_works
    return None if reason in UNSENT else False


@dataclass(frozen=True, slots=True)
class Answer:
    """How one try ended.

    Args:
        reason: CamelCase.
        code: HTTP status; None where there was no answer.
        retry_after: seconds that the receiver asks to wait; None: it did not.
        snippet: beginning of the body, without secrets.
    """

    meaning: Meaning
    reason: str
    message: str
    code: int | None = None
    duration_ms: int = 0
    retry_after: float | None = None
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing was sent: something that the spec names is missing. Costs no try."""

    reason: str
    message: str


def over(status: CallbackStatus) -> bool:
    """Whether it is delivered or given up."""
    return status.phase is not None and status.phase.over


def tried(callback: Callback, status: CallbackStatus, answer: Answer, jitter: float, now: datetime) -> Next:
    """The status after one more try."""
    spec, tries = callback.spec, status.tries + 1
    common = {
        "at": now,
        "code": answer.code,
        "reason": answer.reason,
        "message": answer.message[:MAX_TEXT],
        "duration_ms": answer.duration_ms,
    }
    update: dict[str, object] = {
        "attempts": status.attempts + 1,
        "tries": tries,
        "last_attempt": LastTry.model_validate({**common, "body_snippet": cut(answer.snippet)}),
        "history": (*status.history, Try.model_validate(common))[-TRIES_LENGTH:],
        "next_attempt_at": None,
        "wait_ms": 0,
    }
    told = f"{spec.event.value} of attempt {spec.job.attempt}, try {status.attempts + 1}: {answer.message}"
    if answer.meaning is Meaning.DELIVERED:
        update |= {"phase": CallbackPhase.DELIVERED, "delivered_at": now, "finished_at": now}
        # The daily bread has no Event: it would be one more write for every delivery.
        notes = (Note("Delivered", told),) if status.attempts else ()
        return _ended(callback, status, update, "Delivered", answer.message, now), notes
    if answer.meaning is Meaning.GONE or tries > len(spec.schedule):
        reason = answer.reason if answer.meaning is Meaning.GONE else "TriesExhausted"
        update |= {"phase": CallbackPhase.FAILED, "finished_at": now}
        lost = f"{told}; given up ({reason}): holdfast callbacks redeliver {callback.metadata.name} sends it again"
        return _ended(callback, status, update, reason, lost, now), (Note("CallbackFailed", lost, warning=True),)
    wait = wait_seconds(spec, tries, answer.retry_after, jitter)
    update |= {"phase": CallbackPhase.DELIVERING, "next_attempt_at": now + timedelta(seconds=wait)}
    update |= {"wait_ms": round(wait * 1000)}
    new = _marked(callback, status, "Delivered", "False", answer.reason, answer.message, now).model_copy(update=update)
    return new, (Note("DeliveryFailed", f"{told}; again in {round(wait)} s", warning=True),)


def cut(text: str) -> str:
    """At most MAX_SNIPPET bytes of UTF-8, no half character at the end."""
    return text.encode()[:MAX_SNIPPET].decode(errors="ignore")


def wait_seconds(spec: CallbackSpec, tries: int, retry_after: float | None, jitter: float) -> float:
    """Seconds until the try after number `tries`: the schedule's step with its jitter, or longer where asked for.

    Never shorter than the schedule: its steps are counted, and a receiver must not use them up in a minute.
    """
    step = duration_seconds(spec.schedule[tries - 1]) * (1 + JITTER * (2 * jitter - 1))
    return max(step, min(retry_after or 0.0, MAX_RETRY_AFTER))


def _ended(
    callback: Callback, status: CallbackStatus, update: dict[str, object], reason: str, message: str, now: datetime
) -> CallbackStatus:
    delivered = update["phase"] is CallbackPhase.DELIVERED
    new = _marked(callback, status, "Delivered", "True" if delivered else "False", reason, message, now)
    if not delivered or find(new.conditions, "Failed") is not None:
        new = _marked(callback, new, "Failed", "False" if delivered else "True", reason, message, now)
    return _marked(callback, new, "Finished", "True", reason, message, now).model_copy(update=update)


def _marked(
    callback: Callback,
    status: CallbackStatus,
    kind: str,
    value: ConditionStatus,
    reason: str,
    message: str,
    now: datetime,
) -> CallbackStatus:
    generation = callback.metadata.generation
    conditions = with_condition(status.conditions, kind, value, reason, message, generation, now)
    return status.model_copy(update={"conditions": conditions, "observed_generation": generation})


def blocked(callback: Callback, status: CallbackStatus, why: Blocked, now: datetime) -> Next:
    """Told once for each reason; how long it lasts is what the next look is timed by."""
    told = find(status.conditions, "Delivered")
    if told is not None and (told.status, told.reason, told.message) == ("False", why.reason, why.message):
        return status, ()
    new = _marked(callback, status, "Delivered", "False", why.reason, why.message, now)
    phase = status.phase or CallbackPhase.PENDING
    return new.model_copy(update={"phase": phase}), (Note(why.reason, why.message, warning=True),)


def anew(callback: Callback, status: CallbackStatus, now: datetime) -> tuple[CallbackStatus, Note]:
    """A new round of tries; what was recorded of earlier ones stays."""
    text = f"spec.redeliver is {callback.spec.redeliver}: it is sent again with the id {callback.spec.id}"
    new = status
    for kind in ("Delivered", "Failed", "Finished"):
        if find(status.conditions, kind) is not None:
            new = _marked(callback, new, kind, "False", "Redelivering", text, now)
    update = {
        "phase": CallbackPhase.PENDING,
        "tries": 0,
        "next_attempt_at": None,
        "wait_ms": 0,
        "delivered_at": None,
        "finished_at": None,
        "redelivered": callback.spec.redeliver,
        "observed_generation": callback.metadata.generation,
    }
    return new.model_copy(update=update), Note("Redelivering", text)
