"""How the controller before this one ended: a mark of a graceful stop, taken away by the next start (7.1, 7.9).

Without the mark the last stop was a crash; then the files that a controller writes tell when it was last alive.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import structlog

from controller.api.recoveryreport import PreviousStop
from controller.executors.process.identity import of_self
from controller.files.atomic import write_atomic
from controller.files.versions import current, known
from controller.recovery.binding import IDENTITY

MARK = "stopped.json"
SIGNS_OF_LIFE = (IDENTITY, "http.json", "token")

_log = structlog.get_logger("controller.recovery")


def mark_clean_stop(home: Path, now: datetime) -> None:
    """Say that the controller stopped with nothing in work. Where that cannot be written the stop counts as a crash."""
    body = {"version": known(MARK), "at": now.astimezone(UTC).isoformat(), "bootId": of_self().boot}
    try:
        write_atomic(home / MARK, json.dumps(body).encode())
    except OSError as error:
        _log.warning("cannot say that this was a clean stop", path=str(error.filename), error=str(error))


def take_previous_stop(home: Path, now: datetime) -> PreviousStop:
    """How the last stop was; taken once: the mark is removed before anything else is done."""
    mark = _take(home / MARK)
    if mark is None:
        last = _last_sign(home)
        ago = max(0, int((now - last).total_seconds())) if last is not None else 0
        return PreviousStop(clean=False, at=last, seconds_ago=ago, rebooted=last is not None and ago > _up_seconds())
    at, boot = mark
    rebooted = boot != of_self().boot
    return PreviousStop(clean=True, at=at, seconds_ago=max(0, int((now - at).total_seconds())), rebooted=rebooted)


def read_mark(path: Path) -> tuple[datetime, str]:
    """When the controller stopped, and the boot that it stopped in.

    Raises:
        ValueError: the file is damaged, or of a newer version.
        OSError: it cannot be read, or is not there.
    """
    raw = current(MARK, json.loads(path.read_bytes()))
    at, boot = raw.get("at"), raw.get("bootId")
    if not isinstance(at, str) or not isinstance(boot, str):
        raise ValueError("at or bootId is missing or no such value")
    return datetime.fromisoformat(at), boot


def _take(path: Path) -> tuple[datetime, str] | None:
    try:
        found: tuple[datetime, str] | None = read_mark(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("the mark of the last stop cannot be read: it counts as a crash", path=str(path), error=str(error))
        found = None
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("the mark of the last stop cannot be removed", path=str(path), error=str(error))
    return found


def _up_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _last_sign(home: Path) -> datetime | None:
    moments = []
    for name in SIGNS_OF_LIFE:
        try:
            moments.append((home / name).stat().st_mtime)
        except OSError:
            continue  # not there: it says nothing
    return datetime.fromtimestamp(max(moments), UTC) if moments else None
