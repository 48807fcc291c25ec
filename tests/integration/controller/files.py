"""What is in files that others replace, remove and end meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def contents(directory: Path) -> Iterator[tuple[Path, bytes]]:
    """Each plain file below a directory with what is in it, but for those that vanish before they are read."""
    for place, _, names in os.walk(directory):
        for path in (Path(place) / name for name in names):
            if path.is_file() and not path.is_symlink() and (data := read(path)) is not None:
                yield path, data


def command_lines() -> bytes:
    """Those of all processes."""
    return b"".join(read(path) or b"" for path in Path("/proc").glob("[0-9]*/cmdline"))


def read(path: Path) -> bytes | None:
    """None where it, or the process that it tells of, is gone."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
