"""Output that is taken over bit by bit from somewhere else: a file that grows, and how far it is known to be whole.

    output.log       the bytes; what lies behind the position is cut off at the next opening, or at once where it can be
    position.json    how many of them count, and where in the source they end

Promises: after a crash the two agree, so taking over goes on where it stood, with nothing twice and nothing left out.
One writer at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from controller.files.atomic import write_atomic
from controller.files.versions import current, known

OUTPUT, POSITION = "output.log", "position.json"
FIELDS = ("size", "last", "same", "complete", "part")


@dataclass(frozen=True, slots=True)
class Position:
    """How far the output was taken over.

    Args:
        size: bytes of output.log that count.
        last: moment of the last line, in nanoseconds; 0 before the first.
        same: lines of that very moment that are whole.
        part: bytes of a line of that moment, after those, whose end has not come; 0: there is none.
        complete: nothing more will come.
    """

    size: int = 0
    last: int = 0
    same: int = 0
    complete: bool = False
    part: int = 0


class Spool:
    """See the module. Raises OSError, with the path, wherever it touches the disk; all can be tried again then.

    Args:
        directory: of this output alone; made by `open`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._output = directory / OUTPUT
        self._fd = -1
        self.position = read_position(directory)

    def open(self) -> None:
        """Make it ready to be appended to; a file that is shorter than its position was damaged: begin anew."""
        if self._fd >= 0:
            return
        with _named(self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _named(self._output):
            self._fd = os.open(self._output, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(self._fd).st_size < self.position.size:
                    self.position = Position()
                self._cut()
            except OSError:
                self.close()
                raise

    def append(self, data: bytes, position: Position) -> None:
        """Append, all or nothing; `position` says where in the source `data` ends, its size is counted here."""
        view, at = memoryview(data), self.position.size
        try:
            with _named(self._output):
                while view:
                    written = os.pwrite(self._fd, view, at)
                    view, at = view[written:], at + written
        except OSError:
            with suppress(OSError):  # what stays for now is written over, or cut off in the end
                self._cut()
            raise
        self.position = replace(position, size=at)

    def remember(self) -> None:
        """Write the position down."""
        self._write(self.position)

    def complete(self) -> None:
        """Nothing more will come: what is there is made durable."""
        position = replace(self.position, complete=True)
        with _named(self._output):
            self._cut()
            os.fsync(self._fd)
        self._write(position)
        self.position = position

    def _write(self, position: Position) -> None:
        fields = {name: getattr(position, name) for name in FIELDS}
        data = json.dumps({"version": known(POSITION), **fields}).encode()
        write_atomic(self._directory / POSITION, data)

    def _cut(self) -> None:
        os.ftruncate(self._fd, self.position.size)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Calls on an open file do not say which one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_position(directory: Path) -> Position:
    """The position that was written down last; the beginning where there is none that can be used."""
    try:
        found = current(POSITION, json.loads((directory / POSITION).read_bytes()))
        size, last, same = int(found["size"]), int(found["last"]), int(found["same"])
        return Position(size, last, same, found["complete"] is True, int(found.get("part", 0)))  # older ones have none
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Position()
