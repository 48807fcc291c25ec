"""Journals: one JSON object a line, appended with one write(2) each, read tolerantly (requirement 3.1).

A line that a crash tore is the last one and is ignored; the next append starts a new line, so nothing is lost with it.
Other lines that are no JSON objects are counted and reported, never raised. Only the standard library is used here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal holds.

    Args:
        entries: the readable ones in order.
        garbage: number of complete lines that are not JSON objects.
        torn: whether the last line has no end.
    """

    entries: tuple[dict[str, Any], ...]
    garbage: int
    torn: bool

    def last(self, event: str) -> dict[str, Any] | None:
        """The newest entry whose `event` is the given one."""
        return next((entry for entry in reversed(self.entries) if entry.get("event") == event), None)


def append(path: str | os.PathLike[str], entry: dict[str, Any], mode: int = 0o600) -> None:
    """Append one entry; a torn line before it is closed first.

    Survives SIGKILL of the writer as soon as this returns; it is not fsynced: a journal tells a story, it decides
    nothing that must survive a power cut.

    Raises:
        OSError: nothing or a torn line was written; `filename` is `path`.
    """
    line = json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n"
    try:
        _append_line(path, line, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _append_line(path: str | os.PathLike[str], line: bytes, mode: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line
        while line:
            line = line[os.write(fd, line) :]
    finally:
        os.close(fd)


def read(path: str | os.PathLike[str]) -> Journal:
    """Read a whole journal; a missing file is an empty one.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        data = b""
    lines = data.split(b"\n")
    torn = bool(lines.pop())
    parsed = [_parse(line) for line in lines if line]
    entries = tuple(entry for entry in parsed if entry is not None)
    return Journal(entries, len(parsed) - len(entries), torn)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
