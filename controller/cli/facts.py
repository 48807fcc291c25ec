"""What a run directory says about its attempt, for people: read-only, and a file that cannot be read says so itself."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller.cli import runs, tail, view
from controller.executors.process.identity import Identity, Verdict, compare
from controller.executors.process.records import RecordError, parse_lock
from controller.executors.process.rundir import RunDir
from controller.files import journal

JOURNAL_ENTRIES = 5

_WORDS = {Verdict.SAME: "alive", Verdict.GONE: "gone", Verdict.UNKNOWN: "not to be told from here"}


def facts(run: runs.Run, now: float) -> dict[str, Any]:
    """Attempt, command, processes, heartbeat, output and end of one run directory.

    Args:
        now: seconds since the epoch.
    """
    directory = run.directory
    found: dict[str, Any] = {"attempt": run.number, "directory": str(run.path)}
    for name, read in (
        ("command", _command),
        ("recorder", _recorder),
        ("supervisor", _supervisor),
        ("heartbeat", lambda d: _heartbeat(d, now)),
        ("output", _output),
        ("stop", _stop),
        ("end", _end),
        ("journal", _journal),
    ):
        value = _told(read, directory)
        if value:
            found[name] = value
    return found


def _told(read: Callable[[RunDir], str], directory: RunDir) -> str:
    try:
        return read(directory)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (RecordError, ValueError) as error:
        return f"damaged: {error}"


def _command(directory: RunDir) -> str:
    attempt = directory.read_attempt()
    if attempt is None:
        return "attempt.json is missing"
    return f"{shlex.join(attempt.argv)} in {attempt.cwd}"


def _recorder(directory: RunDir) -> str:
    process = directory.read_process()
    return "" if process is None else _process(process.recorder)


def _supervisor(directory: RunDir) -> str:
    data = Path(directory.file("lock")).read_bytes()
    return _process(parse_lock(data)) if data else ""


def _process(identity: Identity) -> str:
    return f"pid {identity.pid}, {_WORDS[compare(identity)]}"


def _heartbeat(directory: RunDir, now: float) -> str:
    return f"{view.span(max(0.0, now - Path(directory.heartbeat).stat().st_mtime))} ago"


def _output(directory: RunDir) -> str:
    path = Path(directory.output)
    return f"{tail.size(path)} bytes, {path}"


def _stop(directory: RunDir) -> str:
    stop = directory.read_stop()
    if stop is None:
        return ""
    return f"{stop.reason} with {view.span(stop.grace_seconds)} of grace{': ' + stop.message if stop.message else ''}"


def _end(directory: RunDir) -> str:
    end = directory.read_exit()
    if end is None:
        return ""
    text = "never started" if end.never_started else f"signal {end.signal}" if end.signal else f"exit code {end.code}"
    why = " ".join(part for part in (end.reason, end.message) if part)
    return f"{text} ({why})" if why else text


def _journal(directory: RunDir) -> str:
    told = journal.read(directory.journal)
    events = [str(entry.get("event")) for entry in told.entries[-JOURNAL_ENTRIES:]]
    return ", ".join(events) + (f"; {told.garbage} damaged lines" if told.garbage else "")
