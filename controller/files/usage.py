"""What files and directories take, and how old they are; reads only. Only the standard library may be imported here."""

from __future__ import annotations

import os
from pathlib import Path

from controller.files.trees import walk


def disk_usage(path: str) -> int:
    """Bytes of disk that a file or a tree takes (st_blocks, stat(2)); what cannot be read counts nothing."""
    try:
        total = os.lstat(path).st_blocks if path else 0
    except OSError:
        return 0
    for _, entry in walk(path) if path else ():
        try:
            total += entry.stat(follow_symlinks=False).st_blocks
        except OSError:
            continue
    return total * 512


def used_at(path: str | Path) -> float | None:
    """When something was changed last, for its age; None where it is gone."""
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return None
