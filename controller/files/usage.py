"""What files and directories take, and how old they are; reads only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def disk_usage(path: str) -> int:
    """Bytes of disk that a file or a tree takes (st_blocks, stat(2)); what cannot be read counts nothing."""
    if not path:
        return 0
    total = 0
    with contextlib.suppress(OSError):
        total = os.lstat(path).st_blocks * 512
    for place, directories, names in os.walk(path):
        for name in (*directories, *names):
            with contextlib.suppress(OSError):
                total += os.lstat(f"{place}/{name}").st_blocks * 512
    return total


def used_at(path: str | Path) -> float | None:
    """When something was changed last, for its age; None where it is gone."""
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return None
