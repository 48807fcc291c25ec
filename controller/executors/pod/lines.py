"""A log as the kubelet tells it with `timestamps=true`: each line begins with its time (RFC 3339, nanoseconds).

Pure: bytes in, entries out, however they are cut. The time tells which lines are known already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

NANOSECONDS = 10**9


@dataclass(frozen=True, slots=True)
class Entry:
    """One line with its newline, or the last piece of one without; `at` in nanoseconds since 1970."""

    at: int
    text: bytes


class Lines:
    """Cuts a stream into entries; a line without its end is kept back until `rest`."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Entry]:
        """The entries that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield _entry(line + b"\n")

    def rest(self) -> Iterator[Entry]:
        """What is left at the end: output that does not end with a newline."""
        if self._rest:
            yield _entry(self._rest)
            self._rest = b""


def _entry(line: bytes) -> Entry:
    stamp, space, text = line.partition(b" ")
    try:
        return Entry(nanoseconds(stamp.decode("ascii")), text)
    except ValueError:
        return Entry(0, line if space else stamp)  # no time: an error message of the kubelet in place of a line


def nanoseconds(stamp: str) -> int:
    """The moment of an RFC 3339 time. Raises ValueError."""
    seconds, point, rest = stamp.partition(".")
    digits = ""
    if point:
        digits = rest[: next((at for at, one in enumerate(rest) if not one.isdigit()), len(rest))]
        seconds += rest[len(digits) :]
    moment = datetime.fromisoformat(seconds)
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone: {stamp!r}")
    return round(moment.timestamp()) * NANOSECONDS + int(digits[:9].ljust(9, "0") or 0)
