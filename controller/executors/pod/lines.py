"""A log as the kubelet tells it with `timestamps=true`: each line begins with its time (RFC 3339, nanoseconds).

Pure: bytes in, entries out, however they are cut. The time tells which lines are known already. A runtime hands a long
line out in pieces of 16 KiB, each with a time of its own in its file; the kubelet joins them and tells the time of the
first alone (k8s.io/cri-client, pkg/logs). So a line that does not end has one time and goes out in pieces too: what is
kept back is no more than one of them, and each says how much of its line came before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

NANOSECONDS = 10**9
PIECE_BYTES = 16 * 1024  # of a line that has not ended, kept back at most


@dataclass(frozen=True, slots=True)
class Entry:
    """One line with its newline, a piece of one that is long, or the last one without a newline.

    Args:
        at: moment of the line, in nanoseconds since 1970; 0 where it has none.
        start: bytes of its line before `text`.
    """

    at: int
    text: bytes
    start: int = 0

    @property
    def ends(self) -> bool:
        """Whether its line is over."""
        return self.text.endswith(b"\n")


class Lines:
    """Cuts a stream into entries; the beginning of a line is kept back until it is a piece, or until `rest`."""

    def __init__(self) -> None:
        self._kept = bytearray()  # as it came: with the time, where nothing of its line was given out yet
        self._at = self._start = 0

    def feed(self, data: bytes) -> Iterator[Entry]:
        """The entries that are complete now."""
        *ends, begun = data.split(b"\n")
        for end in ends:
            self._kept += end
            self._kept += b"\n"
            yield self._entry()
        self._kept += begun
        if len(self._kept) >= PIECE_BYTES:
            yield self._entry()

    def rest(self) -> Iterator[Entry]:
        """What is left at the end: output that does not end with a newline."""
        if self._kept:
            yield self._entry()

    def _entry(self) -> Entry:
        text = bytes(self._kept)
        self._kept.clear()
        if self._start == 0:
            self._at, text = _timed(text)
        entry = Entry(self._at, text, self._start)
        self._start = 0 if entry.ends else self._start + len(text)
        return entry


def _timed(line: bytes) -> tuple[int, bytes]:
    stamp, _, text = line.partition(b" ")
    try:
        return nanoseconds(stamp.decode("ascii")), text
    except ValueError:
        return 0, line  # the kubelet's own words, or the rest of a line whose beginning is gone


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
