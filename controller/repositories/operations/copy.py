"""Copying a checkout: by reflink where the file system can, else byte by byte, both by cp(1), which is faster at it
than anything in Python. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from controller.repositories.operations.failures import Failed, failure_of

_FICLONE = 0x40049409  # ioctl_ficlone(2)


def can_reflink(directory: Path) -> bool:
    """Whether files in `directory` can share their blocks; found out by doing it, with files that have no name."""
    files: list[int] = []
    try:
        for _ in range(2):
            files.append(os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
        os.write(files[0], b"x" * 4096)
        fcntl.ioctl(files[1], _FICLONE, files[0])
    except OSError:
        return False
    finally:
        for fd in files:
            os.close(fd)
    return True


def copy_tree(source: Path, target: Path) -> None:
    """Copy what is in `source` into the empty directory `target`, with modes, times and links.

    Raises:
        Failed: cp could not; `target` is half-made.
        OSError: a file could not be written.
    """
    if _has_gnu_cp():
        command = ["cp", "-r", "--no-dereference", "--preserve=mode,timestamps,links", "--reflink=auto", "-T", "--"]
        done = subprocess.run([*command, source, target], check=False, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise _failure(done.stderr)
        return
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def _has_gnu_cp() -> bool:
    if shutil.which("cp") is None:
        return False
    asked = subprocess.run(["cp", "--version"], check=False, capture_output=True, text=True)
    return "GNU coreutils" in asked.stdout


def _failure(errors: str) -> Failed:
    return failure_of(errors, "(cp)")
