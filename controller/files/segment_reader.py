"""Reads a log in segments (`segments`) while it is written, rotated, compressed and dropped: every line once, in order.

Which lines are in the live file is known by the segments that exist before and after it is opened: where they are the
same, nothing was set aside in between. A torn last line is left alone until it is whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

from controller.files.segments import COMPRESSED, PLAIN, ended_at, stamps

CHUNK = 1024 * 1024


class SegmentReader:
    """One reading of the log; `lines` first, then `more` as often as wanted.

    Attributes:
        damaged: segments that could not be read to their end, each with the reason.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self._live: IO[bytes] | None = None
        self._offset = 0
        self._known: list[str] = []
        self.damaged: list[str] = []

    def lines(self, since: datetime | None = None) -> Iterator[bytes]:
        """All whole lines that are there now, without their newlines.

        Args:
            since: segments that ended before it are left out; lines are not looked at.

        Raises:
            OSError: the directory or the live file cannot be read.
        """
        known = self._snapshot()
        for stamp in known:
            if since is None or ended_at(stamp) >= since:
                yield from self._segment(stamp)
        yield from self._rest()

    def more(self) -> Iterator[bytes]:
        """Whole lines that came since; none where there are none. Raises OSError as `lines`."""
        while True:
            rotated = not self._is_live()  # asked before reading: what is set aside is not written to any more
            yield from self._rest()
            if not rotated:
                return
            before, was_open = self._known, self._live is not None
            new = [stamp for stamp in self._snapshot() if not before or stamp > before[-1]]
            for stamp in new[1:] if was_open else new:  # the first of them is what was open
                yield from self._segment(stamp)
            if self._live is None:
                return

    def close(self) -> None:
        """Let go of the live file."""
        if self._live is not None:
            self._live.close()
            self._live = None

    def _snapshot(self) -> list[str]:
        """Open the live file, if there is one; returns the segments that come before it."""
        while True:
            self.close()
            before = stamps(self._directory, self._name)
            with contextlib.suppress(FileNotFoundError):
                self._live = (self._directory / f"{self._name}{PLAIN}").open("rb", buffering=0)
            after = stamps(self._directory, self._name)
            if before[-1:] == after[-1:]:  # the oldest may have been dropped
                self._offset, self._known = 0, after or self._known
                return after

    def _is_live(self) -> bool:
        try:
            there = (self._directory / f"{self._name}{PLAIN}").stat()
        except FileNotFoundError:
            return self._live is None and stamps(self._directory, self._name)[-1:] == self._known[-1:]
        if self._live is None:
            return False
        own = os.fstat(self._live.fileno())
        return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)

    def _rest(self) -> Iterator[bytes]:
        """Whole lines of the open live file from where reading stopped."""
        if self._live is None:
            return
        self._live.seek(self._offset)
        for line in _whole_lines(self._live):
            self._offset += len(line) + 1
            yield line

    def _segment(self, stamp: str) -> Iterator[bytes]:
        base = self._directory / f"{self._name}-{stamp}"
        for suffix in (COMPRESSED, PLAIN, COMPRESSED):  # it may be compressed between two looks
            try:
                file = Path(f"{base}{suffix}").open("rb")  # noqa: SIM115 - closed below
            except FileNotFoundError:
                continue
            with file:
                yield from self._decompressed(file) if suffix == COMPRESSED else _whole_lines(file)
            return

    def _decompressed(self, file: IO[bytes]) -> Iterator[bytes]:
        import zstandard

        try:
            with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
                yield from _whole_lines(stream)
        except zstandard.ZstdError as error:
            self.damaged.append(f"{file.name}: {error}")


def _whole_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines that have an end, without it; what a crash tore at the end is left out."""
    left = b""
    while block := file.read(CHUNK):
        *whole, left = (left + block).split(b"\n")
        yield from whole
