"""Where the output of Pods is kept: one directory per attempt, or an address of fsspec (requirement 4.2).

With an address the directory is only where it is collected; it goes there once it is complete, whole or not at all.
Everything waits for a disk, and raises OSError, or for a network, and raises Transient.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.errors import Terminal, Transient
from controller.executors.base import NOT_KEPT, AttemptId
from controller.files.remote import Remote
from controller.files.spool import OUTPUT, read_position

SETTING = "HOLDFAST_POD_OUTPUT"


class OutputPlace:
    """See the module.

    Args:
        directory: made where it is missing.
        address: URL of fsspec, "" to keep everything in the directory.
        host: name of this host, in front of locations that only it can read; "" for a directory that is shared.
    """

    def __init__(self, directory: Path, address: str, host: str) -> None:
        self._directory = directory
        self._address = address.rstrip("/")
        self._host = host

    def directory(self, attempt: AttemptId) -> Path:
        """Where its output is collected."""
        return self._directory / str(attempt)

    def location(self, attempt: AttemptId) -> str:
        """Where people find its output: `host:path`, or a URL."""
        if self._address:
            return f"{self._address}/{attempt}/{OUTPUT}"
        return f"{self._host}:{self.directory(attempt) / OUTPUT}"

    def size(self, attempt: AttemptId) -> int:
        """Bytes collected so far on this host; 0 where nothing is known."""
        try:
            return (self.directory(attempt) / OUTPUT).stat().st_size
        except OSError:
            return 0

    @property
    def elsewhere(self) -> bool:
        """Whether it is brought to another machine, which may take long, or fail."""
        return bool(self._address)

    def is_kept(self, attempt: AttemptId) -> bool:
        """Whether all of its output is where it is to be kept."""
        if not self._address:
            return read_position(self.directory(attempt)).complete
        with self._named():
            return self._remote(attempt).size() is not None

    def keep(self, attempt: AttemptId) -> None:
        """Bring a complete output to where it is kept."""
        source = self.directory(attempt) / OUTPUT
        if self._address and source.exists():
            with self._named():
                self._remote(attempt).put(source)
            shutil.rmtree(self.directory(attempt))

    def has(self, attempt: AttemptId) -> bool:
        """Whether anything of its output is here or kept."""
        return self.directory(attempt).is_dir() or (bool(self._address) and self.is_kept(attempt))

    def attempts_here(self) -> list[AttemptId]:
        """Attempts with output in the directory."""
        return _attempts(path.name for path in self._directory.iterdir()) if self._directory.is_dir() else []

    def attempts_elsewhere(self) -> list[AttemptId]:
        """Attempts with output at the address."""
        with self._named():
            return _attempts(Remote(self._address).names()) if self._address else []

    def remove(self, attempt: AttemptId) -> None:
        """Remove it."""
        shutil.rmtree(self.directory(attempt), ignore_errors=True)
        if self._address:
            with self._named():
                Remote(f"{self._address}/{attempt}").remove_tree()

    def _remote(self, attempt: AttemptId) -> Remote:
        return Remote(self.location(attempt))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors begin with the setting that named the address."""
        try:
            yield
        except (Transient, Terminal) as error:  # a package may be installed, a setting mended
            raise Transient(NOT_KEPT, f"{SETTING}: {error.message} ({error.reason})") from error


def _attempts(names: Iterable[str]) -> list[AttemptId]:
    return [AttemptId.parse(name) for name in sorted(names) if _is_attempt(name)]


def _is_attempt(name: str) -> bool:
    try:
        AttemptId.parse(name)
    except ValueError:
        return False
    return True
