"""Output that is taken over bit by bit from somewhere else: a file that grows, and how far it is known to be whole.

    output.log       the bytes; what lies behind the position is cut off at the next opening
    position.json    how many of them count, and where in the source they end

Promises: after a crash the two agree, so taking over goes on where it stood, with nothing twice and nothing left out.
One writer at a time.
"""

from __future__ import annotations

import json
import os
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
    """See the module. Raises OSError wherever it touches the disk.

    Args:
        directory: of this output alone; made by `open`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1
        self.position = read_position(directory)

    def open(self) -> None:
        """Make it ready to be appended to; a file that is shorter than its position was damaged: begin anew."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self._directory / OUTPUT, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size < self.position.size:
            self.position = Position()
        os.ftruncate(self._fd, self.position.size)
        os.lseek(self._fd, 0, os.SEEK_END)

    def append(self, data: bytes, position: Position) -> None:
        """Append; `position` says where in the source `data` ends, its size is counted here."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.position = replace(position, size=self.position.size + len(data))

    def remember(self) -> None:
        """Write the position down."""
        fields = {name: getattr(self.position, name) for name in FIELDS}
        data = json.dumps({"version": known(POSITION), **fields}).encode()
        if self.position.complete:
            os.fsync(self._fd)
        write_atomic(self._directory / POSITION, data)

    def complete(self) -> None:
        """Nothing more will come: what is there is made durable."""
        self.position = replace(self.position, complete=True)
        self.remember()

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read_position(directory: Path) -> Position:
    """The position that was written down last; the beginning where there is none that can be used."""
    try:
        found = current(POSITION, json.loads((directory / POSITION).read_bytes()))
        size, last, same = int(found["size"]), int(found["last"]), int(found["same"])
        return Position(size, last, same, found["complete"] is True, int(found.get("part", 0)))  # older ones have none
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return Position()
