"""Making whole trees durable before they get their name: a power cut must not leave empty files in what is in use.

Standard library only.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from controller.files.atomic import fsync_directory

_LIBC = ctypes.CDLL(None, use_errno=True)


def put_in_place(made: Path, final: Path, *, durable: bool) -> None:
    """Rename a complete directory to its name.

    Args:
        made: in a directory on the same file system.
        final: must not exist, or be an empty directory.
        durable: all of it is on the disk first (syncfs(2)) and its name after; else only the name can be trusted
            until the next boot.

    Raises:
        OSError: it is still at `made`; ENOTEMPTY where somebody else was faster.
    """
    if durable:
        sync_file_system(made)
    os.rename(made, final)
    fsync_directory(str(final.parent))


def sync_file_system(path: Path) -> None:
    """syncfs(2); raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)
