"""Atomic replacement of small files: a reader sees the old or the new content, never a mix (requirements 8.1-8.3).

The order is: a temporary name that is unique per write (`<name>.tmp.<random>`), write, fsync, rename, fsync of the
directory. A writer that is killed leaves the old file and at most a temporary one, which `remove_stale_temps` removes.
Only the standard library may be imported here: the supervisor of each attempt uses this module.
"""

from __future__ import annotations

import os
import re

COPY_CHUNK = 1024**2

_TEMP_NAME = re.compile(r"\.tmp\.[0-9a-f]{16}$")


def temp_name(name: str) -> str:
    """A name beside `name` that no other writer has: `<name>.tmp.<16 hex digits>`."""
    return f"{name}.tmp.{os.urandom(8).hex()}"


def is_temp_name(name: str) -> bool:
    """Whether `temp_name` made this name."""
    return _TEMP_NAME.search(name) is not None


def write_atomic(path: str | os.PathLike[str], data: bytes, mode: int = 0o600) -> None:
    """Replace the content of `path` durably.

    Args:
        path: the file; its directory must exist.
        data: the whole new content.
        mode: permission bits of the new file, not masked by the umask.

    Raises:
        OSError: nothing was replaced, the old content stays and the temporary file is gone; `filename` is `path`.
            Only where the final fsync of the directory fails the new content may already be visible.
    """
    target = os.fspath(path)
    temp = temp_name(target)
    try:
        write_durable(temp, data, mode)
        os.rename(temp, target)
        fsync_directory(os.path.dirname(target) or ".")
    except OSError as error:
        _remove_if_there(temp)
        raise OSError(error.errno, error.strerror, target) from error


def copy_atomic(source: str | os.PathLike[str], path: str | os.PathLike[str], mode: int = 0o600) -> None:
    """Replace `path` durably with a copy of the file `source`, of any size and from any file system.

    Raises:
        OSError: as `write_atomic`; also where `source` cannot be read, with its own name.
    """
    target = os.fspath(path)
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    temp = temp_name(target)
    try:
        write_durable(temp, b"", mode)
        _append_all(reading, temp)
        os.rename(temp, target)
        fsync_directory(os.path.dirname(target) or ".")
    except OSError as error:
        _remove_if_there(temp)
        raise OSError(error.errno, error.strerror, target) from error
    finally:
        os.close(reading)


def _append_all(reading: int, path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        while data := os.read(reading, COPY_CHUNK):
            write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durable(path: str, data: bytes, mode: int = 0o600) -> None:
    """Make a new file with `data` and fsync it, without a rename: for files inside a directory not yet published."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(fd, mode)
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all of `data` is written; a file at a size limit or on a full disk gives short writes first."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def fsync_directory(path: str) -> None:
    """Make renames and new names in the directory `path` durable (fsync(2), section on directories)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_stale_temps(directory: str | os.PathLike[str], older_than_seconds: float = 600, *, now: float) -> list[str]:
    """Remove what killed writers left in `directory`; younger files may belong to a writer at work (8.2).

    Args:
        directory: looked at without its sub-directories.
        older_than_seconds: age by the file's mtime.
        now: wall clock in seconds since the epoch.

    Returns:
        The removed paths. A file that another process removed first is not an error.

    Raises:
        OSError: the directory cannot be read or a stale file cannot be removed.
    """
    removed = []
    for path in stale_temps(directory, older_than_seconds, now=now):
        try:
            os.unlink(path)
            removed.append(path)
        except FileNotFoundError:
            continue
    return removed


def stale_temps(directory: str | os.PathLike[str], older_than_seconds: float = 600, *, now: float) -> list[str]:
    """What `remove_stale_temps` would remove; arguments as there. Raises OSError."""
    stale = []
    with os.scandir(directory) as entries:
        temps = [entry for entry in entries if is_temp_name(entry.name) and entry.is_file(follow_symlinks=False)]
    for entry in temps:
        try:
            if now - entry.stat(follow_symlinks=False).st_mtime > older_than_seconds:
                stale.append(entry.path)
        except FileNotFoundError:
            continue
    return stale


def _remove_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
