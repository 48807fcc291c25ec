"""Reads what commands need out of a BatchJob as the API server sent it; absent means None or empty, never an error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]

SIGNAL_BASE = 128  # how shells tell the end by a signal
NOT_STARTED = {"CommandNotFound": 127, "NotExecutable": 126}  # POSIX shell, 2.8.2


def name(job: Object) -> str:
    """metadata.name."""
    return str(job["metadata"]["name"])


def uid(job: Object) -> str:
    """metadata.uid."""
    return str(job["metadata"]["uid"])


def status(job: Object) -> Object:
    """What Holdfast recorded, {} before it did."""
    return dict(job.get("status") or {})


def phase(job: Object) -> str:
    """status.phase; `New` before Holdfast has seen the job."""
    return str(status(job).get("phase") or "New")


def attempt(job: Object) -> Object | None:
    """The newest attempt."""
    return status(job).get("attempt")


def condition(job: Object, kind: str) -> Object | None:
    """The condition of type `kind` if it is True."""
    found = (c for c in status(job).get("conditions") or () if c.get("type") == kind and c.get("status") == "True")
    return next(found, None)


def ended(job: Object) -> bool:
    """Whether the job has ended, in whatever way."""
    return condition(job, "Finished") is not None


def why(job: Object) -> str:
    """One clause about the phase: `Failed (OutputLimit)`."""
    reason = status(job).get("reason")
    return f"{phase(job)} ({reason})" if reason else phase(job)


def exit_code(job: Object) -> int:
    """What a shell would say of the ended job: 0 for success only; else the own code, 128+n, 126, 127 or 1."""
    if phase(job) == "Succeeded":
        return 0
    last = attempt(job) or {}
    if last.get("exitCode"):
        return int(last["exitCode"])
    if last.get("signal"):
        return SIGNAL_BASE + int(last["signal"])
    return NOT_STARTED.get(str(last.get("reason")), 1)


def moment(text: Any) -> datetime | None:
    """An RFC 3339 time, None where there is none that can be read."""
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None


def age(text: Any, now: datetime | None = None) -> str:
    """How long ago a time is (or how long until, with a sign), as kubectl prints ages."""
    then = moment(text)
    if then is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    return f"in {span(-seconds)}" if seconds < 0 else span(seconds)


def span(seconds: float) -> str:
    """A length of time in at most two units: 45s, 3m20s, 2h5m, 4d3h."""
    whole = round(seconds)
    for size, unit, smaller, smaller_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            big, rest = divmod(whole, size)
            small = rest // smaller
            return f"{big}{unit}{small}{smaller_unit}" if small else f"{big}{unit}"
    return f"{whole}s"


def took(began: Any, finished: Any) -> str:
    """The time between two RFC 3339 times, to the tenth where it is below ten seconds; empty where one is missing."""
    first, last = moment(began), moment(finished)
    if first is None or last is None:
        return ""
    seconds = max(0.0, (last - first).total_seconds())
    return f"{seconds:.1f}s" if seconds < 9.95 else span(seconds)


def size(count: int) -> str:
    """Bytes in the largest unit of which there is at least one: 512 B, 3.3 KiB, 1.2 GiB."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{count} B" if units[0] == "B" else f"{value:.1f} {units[0]}"
