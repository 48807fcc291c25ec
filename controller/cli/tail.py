"""Reads an output file while it grows. Bytes as they are: nothing is decoded, a missing last newline stays missing.

A file that is shorter than what was read was truncated by the job (a script that reopened /dev/stderr): reading starts
again at its beginning (design 6).
"""

from __future__ import annotations

from pathlib import Path

CHUNK = 64 * 1024


class Tail:
    """A place in a file that may not exist yet."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self.offset = offset
        self.restarted = False

    def read(self) -> bytes:
        """The next bytes, at most CHUNK; empty where there are none now. Raises OSError but for a missing file."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self.offset:
                    self.offset, self.restarted = 0, True
                file.seek(self.offset)
                data = file.read(CHUNK)
        except FileNotFoundError:
            return b""
        self.offset += len(data)
        return data


def size(path: Path) -> int:
    """Bytes of a file; 0 where there is none. Raises OSError."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def last_lines(path: Path, lines: int) -> int:
    """Offset of the last `lines` lines of a file; an unfinished last line counts as one. Raises OSError."""
    try:
        with path.open("rb") as file:
            position = file.seek(0, 2)
            if lines == 0:
                return position
            missing = lines + 1  # the newline before the first wanted line
            if position:
                file.seek(position - 1)
                missing -= file.read(1) != b"\n"
            while position > 0:
                step = min(CHUNK, position)
                position -= step
                file.seek(position)
                block = file.read(step)
                found = block.count(b"\n")
                if found >= missing:
                    return position + _nth_newline_from_end(block, missing) + 1
                missing -= found
    except FileNotFoundError:
        return 0
    return 0


def _nth_newline_from_end(block: bytes, n: int) -> int:
    at = len(block)
    for _ in range(n):
        at = block.rindex(b"\n", 0, at)
    return at
