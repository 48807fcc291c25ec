"""Where the output of Pods is kept: one directory per attempt, or an address of fsspec (requirement 4.2).

With an address the directory is only where it is collected; it goes there once it is complete. Everything waits for a
disk or a network and raises OSError.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from controller.executors.base import AttemptId
from controller.files.spool import OUTPUT, read_position


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

    def is_kept(self, attempt: AttemptId) -> bool:
        """Whether all of its output is where it is to be kept."""
        if not self._address:
            return read_position(self.directory(attempt)).complete
        system, path = self._remote(attempt)
        return bool(system.exists(path))

    def keep(self, attempt: AttemptId) -> None:
        """Bring a complete output to where it is kept."""
        if not self._address:
            return
        system, path = self._remote(attempt)
        source = self.directory(attempt) / OUTPUT
        if not source.exists():
            return
        system.makedirs(system._parent(path), exist_ok=True)
        system.put_file(str(source), path)
        if system.size(path) != source.stat().st_size:
            raise OSError(f"{self.location(attempt)}: what arrived is not what was sent")
        shutil.rmtree(self.directory(attempt))

    def has(self, attempt: AttemptId) -> bool:
        """Whether anything of its output is here or kept."""
        return self.directory(attempt).is_dir() or (bool(self._address) and self.is_kept(attempt))

    def attempts(self) -> list[AttemptId]:
        """Attempts with output here or kept."""
        names = [path.name for path in self._directory.iterdir()] if self._directory.is_dir() else []
        if self._address:
            system, path = self._open(self._address)
            with contextlib.suppress(FileNotFoundError):
                names += [str(entry).rstrip("/").rpartition("/")[2] for entry in system.ls(path, detail=False)]
        return [AttemptId.parse(name) for name in sorted(set(names)) if _is_attempt(name)]

    def remove(self, attempt: AttemptId) -> None:
        """Remove it."""
        shutil.rmtree(self.directory(attempt), ignore_errors=True)
        if self._address:
            system, path = self._remote(attempt)
            if system.exists(path):
                system.rm(system._parent(path), recursive=True)

    def _remote(self, attempt: AttemptId) -> tuple[Any, str]:
        return self._open(self.location(attempt))

    def _open(self, address: str) -> tuple[Any, str]:
        from fsspec.core import url_to_fs  # late: only who keeps output elsewhere waits for it

        try:
            system, path = url_to_fs(address)
        except (ValueError, ImportError) as error:
            raise OSError(f"HOLDFAST_POD_OUTPUT {address}: {error}; is its fsspec package installed?") from error
        return system, str(path)


def _is_attempt(name: str) -> bool:
    try:
        AttemptId.parse(name)
    except ValueError:
        return False
    return True
