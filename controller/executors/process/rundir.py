"""The run directory `<runs>/<job uid>.<attempt>/`: the only contract between the controller and a running job.

Promises: the directory is complete or absent; attempt.json, process.json, stop.json and exit.json are complete or
absent; what must be written on a full disk (exit.json, stop.json) has its blocks before the command may run.
Only the standard library may be imported here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from controller.executors.process.identity import Identity, Stat, parse_stat
from controller.executors.process.records import (
    EXIT_BYTES,
    STOP_BYTES,
    Attempt,
    Exit,
    Process,
    RecordError,
    Stop,
    parse_lock,
)
from controller.files.atomic import fsync_directory, temp_name, write_all, write_atomic, write_durable
from controller.files.trees import remove_tree

_ATTEMPT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}\.(0|[1-9][0-9]{0,8})")
TRASH_PREFIX = ".trash."
_RECORD_LIMIT = 16 * 1024 * 1024


def is_attempt_name(name: str) -> bool:
    """Whether `name` can be the name of a run directory; anything else would be a path traversal or foreign."""
    return _ATTEMPT_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class RunDir:
    """The files of one attempt by name. `path` is the directory."""

    path: str

    @classmethod
    def of(cls, runs: str, attempt: str) -> RunDir:
        """The directory of an attempt; raises ValueError where `attempt` is not `<uid>.<number>`."""
        if not is_attempt_name(attempt):
            raise ValueError(f"not the name of a run directory: {attempt!r}")
        return cls(os.path.join(runs, attempt))

    def file(self, name: str) -> str:
        """Path of a file in the directory."""
        return f"{self.path}/{name}"

    @property
    def output(self) -> str:
        """What the command printed, as raw bytes."""
        return self.file("output.log")

    @property
    def journal(self) -> str:
        """The story as the supervisor tells it."""
        return self.file("journal.jsonl")

    @property
    def heartbeat(self) -> str:
        """Its mtime moves every 5 s while the supervisor runs."""
        return self.file("heartbeat")

    def read_attempt(self) -> Attempt | None:
        """None where the file is absent. Raises RecordError for garbage, OSError where it cannot be read."""
        data = self._read("attempt.json")
        return None if data is None else Attempt.from_bytes(data)

    def read_process(self) -> Process | None:
        """None while the command may not have begun. Raises RecordError, OSError."""
        data = self._read("process.json")
        return None if data is None else Process.from_bytes(data)

    def read_stop(self) -> Stop | None:
        """None where nobody asked to stop. Raises RecordError, OSError."""
        data = self._read("stop.json")
        return None if data is None else Stop.from_bytes(data)

    def read_exit(self) -> Exit | None:
        """None where no end is recorded. Raises RecordError, OSError."""
        data = self._read("exit.json")
        return None if data is None else Exit.from_bytes(data)

    def read_supervisor(self) -> Identity | None:
        """Who wrote its identity into `lock` last; says nothing about whether it still holds it."""
        data = self._read("lock")
        return parse_lock(data) if data else None

    def read_command(self, process: Process) -> Identity | None:
        """The command itself, None where its recorder did not get that far. Raises RecordError, OSError."""
        stat, recorder = self.read_command_stat(), process.recorder
        if stat is None:
            return None
        return Identity(recorder.machine, recorder.boot, recorder.pid_namespace, stat.pid, stat.start_ticks)

    def read_command_stat(self) -> Stat | None:
        """The line of /proc/<pid>/stat that the recorder writes into `recorder.lock` before the exec; as above."""
        data = (self._read("recorder.lock") or b"").strip()
        if not data:
            return None
        try:
            return parse_stat(data)
        except ValueError as error:
            raise RecordError("recorder.lock", str(error)) from error

    def _read(self, name: str) -> bytes | None:
        try:
            fd = os.open(self.file(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        try:
            return os.read(fd, _RECORD_LIMIT)
        finally:
            os.close(fd)

    def exists(self, name: str) -> bool:
        """Whether the file is there; raises OSError where that cannot be told."""
        try:
            os.lstat(self.file(name))
        except FileNotFoundError:
            return False
        return True

    def write_process(self, process: Process) -> None:
        """Durably. Raises OSError."""
        write_atomic(self.file("process.json"), process.to_bytes())

    def write_exit(self, record: Exit) -> None:
        """Record the end in place and by rename, so that it works on a full disk. Durable. Raises OSError."""
        self._write_reserved("exit", record.to_bytes())

    def write_stop(self, stop: Stop) -> bool:
        """Ask to stop; durable. False where an earlier request is there: its reason stays. Raises OSError."""
        if self.exists("stop.json"):
            return False
        self._write_reserved("stop", stop.to_bytes())
        return True

    def replace_stop(self, stop: Stop) -> None:
        """Put a changed request in the place of an earlier one. Raises OSError."""
        write_atomic(self.file("stop.json"), stop.to_bytes())

    def reserve(self) -> None:
        """Give exit.json and stop.json their blocks while there is space. Raises OSError."""
        for name, size in (("exit", EXIT_BYTES), ("stop", STOP_BYTES)):
            if not self.exists(f"{name}.json"):
                self._reserve(f"{name}.reserved", size)

    def _reserve(self, name: str, size: int) -> None:
        fd = os.open(self.file(name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            write_all(fd, b" " * (size - 1) + b"\n")
        finally:
            os.close(fd)

    def _write_reserved(self, name: str, data: bytes) -> None:
        """Take the reserved file under a name of our own (two writers never share one), fill it, publish it."""
        own = temp_name(self.file(f"{name}.json"))
        try:
            os.rename(self.file(f"{name}.reserved"), own)
        except FileNotFoundError:
            write_atomic(self.file(f"{name}.json"), data)
            return
        fd = os.open(own, os.O_WRONLY | os.O_CLOEXEC)
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(own, self.file(f"{name}.json"))
        fsync_directory(self.path)

    def make_exit_durable(self) -> None:
        """fsync what the recorder renamed, before anybody is told (design 6). Raises OSError."""
        fd = os.open(self.file("exit.json"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        fsync_directory(self.path)


def build(runs: str, name: str, files: Mapping[str, bytes]) -> RunDir | None:
    """Make the run directory of an attempt, durably and all at once.

    Args:
        runs: the directory of all run directories.
        name: of the attempt.
        files: content by name; attempt.json is one of them.

    Returns:
        The directory, or None where one was there: the attempt was built before, look at that one.

    Raises:
        OSError: nothing was published.
    """
    target = RunDir.of(runs, name)
    temp = os.path.join(runs, "." + temp_name(name))
    os.mkdir(temp, 0o700)
    try:
        for file, data in files.items():
            write_durable(f"{temp}/{file}", data)
        for directory in ("home", "tmp", "work"):
            os.mkdir(f"{temp}/{directory}", 0o700)
        fsync_directory(temp)
        published = _publish(temp, target.path)
    except OSError:
        remove_tree(temp)
        raise
    if not published:
        remove_tree(temp)
        return None
    fsync_directory(runs)
    return target


def _publish(temp: str, target: str) -> bool:
    try:
        os.rename(temp, target)
    except OSError as error:
        # A run directory is never empty, so rename(2) refuses to replace it.
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def try_lock(path: str, limit_seconds: float = 0.0, *, create: bool = True) -> int | None:
    """Take an exclusive flock without waiting longer than `limit_seconds`.

    Args:
        create: False: a missing file counts as not locked by anybody and raises FileNotFoundError.

    Returns:
        The descriptor that holds it, not inheritable; None where somebody else holds it.

    Raises:
        OSError: the file cannot be opened.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0), 0o600)
    end = time.monotonic() + limit_seconds
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(fd)
                return None
            time.sleep(0.005)
        except OSError:
            os.close(fd)
            raise


def is_locked(path: str) -> bool:
    """Whether somebody holds the flock of `path`; a missing file is held by nobody. Raises OSError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
