"""Trees that others made: walked and removed, whatever is in them and however deep they are (requirements 7.3, 7.6).

A job may leave anything in its directories. So nothing here recurses, no path below the top is given to the kernel (it
may be longer than PATH_MAX), the number of open descriptors is bounded, and no symbolic link is followed.
Only the standard library may be imported here: the supervisor of each attempt uses this module.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator

_HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_AT_MOST = 32  # directories on the way down; the way back to those above them is `..`


def remove_tree(path: str | os.PathLike[str]) -> None:
    """rm -rf, also of directories that their owner may not write (module caches make such).

    What cannot be removed stays, and all else goes. What is gone already is no error.

    Raises:
        OSError: of the first entry that could not be removed.
    """
    try:
        cursor = _Cursor(os.fspath(path))
    except FileNotFoundError:
        return
    with contextlib.closing(cursor):
        removal = _Removal(cursor)
        removal.remove(cursor.top)
        while cursor.levels:
            if left := cursor.levels[-1].left:
                removal.remove(left.pop())
            else:
                removal.leave()
    if removal.error is not None:
        raise removal.error


def walk(
    path: str | os.PathLike[str], failed: Callable[[OSError], None] = lambda error: None
) -> Iterator[tuple[list[str], os.DirEntry[str]]]:
    """All that is below a directory, a directory before what is in it; where it is gone, nothing.

    Args:
        failed: told of each directory that cannot be read, but for those that are gone. It may raise.

    Yields:
        The names of the directories on the way, the first that of `path` itself, and the entry; both are good until
        the next one is asked for.
    """
    try:
        cursor = _Cursor(os.fspath(path))
    except FileNotFoundError:
        return
    except OSError as error:
        failed(error)
        return
    with contextlib.closing(cursor):
        yield from _entries(cursor, cursor.top, failed)
        while cursor.levels:
            if left := cursor.levels[-1].left:
                yield from _entries(cursor, left.pop(), failed)
            else:
                cursor.up()


def _entries(
    cursor: _Cursor, name: str, failed: Callable[[OSError], None]
) -> Iterator[tuple[list[str], os.DirEntry[str]]]:
    try:
        fd = os.open(name, _LISTED, dir_fd=cursor.fd)
    except FileNotFoundError:
        return
    except OSError as error:
        failed(cursor.named(error, name))
        return
    left = cursor.down(name, fd)
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.name)
                yield cursor.names, entry
    except OSError as error:
        failed(cursor.named(error, "."))


class _Level:
    """A directory on the way: who it is, and its directories that are still to be gone into."""

    __slots__ = ("identity", "left")

    def __init__(self, identity: tuple[int, int]) -> None:
        self.identity = identity
        self.left: list[str] = []


class _Cursor:
    """A directory in a tree, reached from the directory that holds the tree, one step at a time.

    The way back may be `..`. Others may move directories meanwhile, so what `..` leads to is compared with what was
    left; where it is another one, or may not be reached, the way is gone again from the top, as far as it is there.
    """

    def __init__(self, path: str) -> None:
        self._path = path.rstrip("/") or "/"
        place, self.top = os.path.split(self._path)
        self.names: list[str] = []
        self.levels: list[_Level] = []
        self._open = [os.open(place or ".", _HANDLE)]  # the one that holds the tree, then the last ones of the way

    @property
    def fd(self) -> int:
        """The directory where it is, to name its entries by; it may not be readable by this descriptor."""
        return self._open[-1]

    def down(self, name: str, fd: int) -> list[str]:
        """Into an entry that was opened; returns the list of what is still to be gone into there, empty yet."""
        level = _Level(_identity(os.fstat(fd)))
        self.names.append(name)
        self.levels.append(level)
        self._open.append(fd)
        if len(self._open) > _OPEN_AT_MOST:
            os.close(self._open.pop(1))
        return level.left

    def up(self) -> None:
        """Back to the directory above, or, where it is not above any more, to the last one that is in its place."""
        self.names.pop()
        self.levels.pop()
        below = self._open.pop()
        try:
            if len(self._open) == 1 and self.levels:
                self._open_above(below)
        finally:
            os.close(below)

    def _open_above(self, below: int) -> None:
        try:
            fd = os.open("..", _HANDLE, dir_fd=below)
        except OSError:
            self._go_again()
            return
        self._open.append(fd)
        if _identity(os.fstat(fd)) != self.levels[-1].identity:
            os.close(self._open.pop())
            self._go_again()

    def _go_again(self) -> None:
        way = list(zip(self.names, self.levels, strict=True))
        self.names.clear()
        self.levels.clear()
        for name, level in way:
            try:
                fd = os.open(name, _HANDLE | os.O_NOFOLLOW, dir_fd=self.fd)
            except OSError:
                return
            left = self.down(name, fd)
            if self.levels[-1].identity != level.identity:
                self.up()
                return
            left += level.left

    def named(self, error: OSError, name: str) -> OSError:
        """The error with the path of an entry of this directory; a path that nobody can read is cut short."""
        way = self.names[1:] if len(self.names) <= _OPEN_AT_MOST else [*self.names[1:_OPEN_AT_MOST], "…"]
        return OSError(error.errno, error.strerror, "/".join([self._path, *way, name] if self.names else [self._path]))

    def close(self) -> None:
        """Let go of what is open."""
        while self._open:
            os.close(self._open.pop())


class _Removal:
    """The steps of a removal; `error` is the first."""

    def __init__(self, cursor: _Cursor) -> None:
        self._cursor = cursor
        self.error: OSError | None = None

    def remove(self, name: str) -> None:
        """An entry of the directory where the cursor is; of a directory that is not empty, what is no directory."""
        cursor = self._cursor
        try:
            fd = _opened_to_clear(name, cursor.fd)
        except NotADirectoryError:
            self._do(os.unlink, name)
        except OSError as error:
            self._failed(error, name)
        else:
            self._clear(fd, cursor.down(name, fd))

    def leave(self) -> None:
        """An emptied directory, which goes."""
        cursor = self._cursor
        name, above = cursor.names[-1], len(cursor.levels) - 1
        cursor.up()
        if len(cursor.levels) == above:
            self._do(os.rmdir, name)

    def _do(self, act: Callable[..., None], name: str) -> None:
        try:
            act(name, dir_fd=self._cursor.fd)
        except OSError as error:
            self._failed(error, name)

    def _clear(self, fd: int, left: list[str]) -> None:
        try:
            with os.scandir(fd) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            self._failed(error, ".")
            return

        for name, is_directory in found:
            if is_directory:
                left.append(name)
                continue
            try:
                os.unlink(name, dir_fd=fd)
            except OSError as error:
                self._failed(error, name)

    def _failed(self, error: OSError, name: str) -> None:
        if self.error is None and not isinstance(error, FileNotFoundError):
            self.error = self._cursor.named(error, name)


def _opened_to_clear(name: str, at: int) -> int:
    """A directory whose entries may be listed and removed now, where it is ours. Raises OSError."""
    try:
        fd = os.open(name, _LISTED, dir_fd=at)
    except PermissionError:
        fd = _opened_closed(name, at)
    if os.fstat(fd).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        with contextlib.suppress(OSError):  # somebody else's: what cannot be removed in it is told
            os.fchmod(fd, stat.S_IRWXU)
    return fd


def _opened_closed(name: str, at: int) -> int:
    """One that may not be read. There is no chmod(2) that follows no link; what a descriptor is of, cannot be one."""
    handle = os.open(name, _HANDLE | os.O_NOFOLLOW, dir_fd=at)
    try:
        os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)
        return os.open(".", _LISTED, dir_fd=handle)
    finally:
        os.close(handle)


def _identity(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_dev, seen.st_ino
