"""A log in segments: lines are appended to one live file, which is set aside, compressed and at last dropped.

    <name>.jsonl                         live: only ever appended to
    <name>-<UTC of its end>.jsonl        set aside by one rename, to be compressed
    <name>-<UTC of its end>.jsonl.zst    the same lines, made under a temporary name, fsynced, then renamed

Promises: a reader never sees half of a rotation, and of a crash at most one torn line, which a newline ends before the
next one. Nothing is fsynced but a compressed segment before its original goes: SIGKILL loses no line that was appended,
a power cut may lose the last seconds. One writer at a time, and whoever appends a line beside it (`append_beside`);
reading is in `segment_reader`.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from controller.files.atomic import fsync_directory, remove_stale_temps, temp_name, write_all

PLAIN, COMPRESSED = ".jsonl", ".jsonl.zst"
STAMP = "%Y%m%dT%H%M%S%fZ"
LEVEL = 3  # of zstandard: 200 MB/s, a twelfth of the size
TRIES_BESIDE = 3
AGAIN_SECONDS = 60.0  # until a rotation or compression that failed is tried again

_STAMPED = re.compile(r"-(\d{8}T\d{12}Z)\.jsonl(\.zst)?$")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept.

    Args:
        segment_bytes: the live file is set aside at this size, at the latest at a quarter of `total_bytes`.
        segment_seconds: the same by its age.
        total_bytes: of all files together; the oldest segments go. While one is compressed it may be exceeded by it.
        least_free_bytes: with less free on the file system lines are refused.
    """

    segment_bytes: int
    segment_seconds: float
    total_bytes: int
    least_free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Appended:
    """What came of an append.

    Args:
        lost: lines that were not written, or not wholly.
        error: why; also why old segments could not be tended, which loses nothing now.
    """

    lost: int = 0
    error: str = ""


def stamps(directory: Path, name: str) -> list[str]:
    """Stamps of all segments that were set aside, oldest first. Raises OSError but for a missing directory."""
    try:
        entries = [entry.name for entry in directory.iterdir()]
    except FileNotFoundError:
        return []
    found = {match[1] for entry in entries if entry.startswith(f"{name}-") and (match := _STAMPED.search(entry))}
    return sorted(found)


def ended_at(stamp: str) -> datetime:
    """When the segment with this stamp was set aside, by the writer's clock."""
    return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)


def append_beside(directory: Path, name: str, line: bytes) -> None:
    """Append one line while another process may be the writer: by one write, into the file that is live after it too.

    A line that was written while the file was set aside is written again: twice rather than not at all.

    Args:
        line: ends with a newline.

    Raises:
        OSError: it is not written, or not wholly.
    """
    live = directory / f"{name}{PLAIN}"
    for _ in range(TRIES_BESIDE):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(live, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            write_all(fd, line)
            if _is(live, fd):
                return
        finally:
            os.close(fd)
    raise OSError(f"{live} is set aside again and again")


def _is(path: Path, fd: int) -> bool:
    """Whether `path` names the open file."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    own = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)


class SegmentWriter:
    """The writing end; every method may wait for the disk, none raises OSError.

    Args:
        directory: made where it is missing.
        name: of the live file, without its suffix.
    """

    def __init__(self, directory: Path, name: str, bounds: Bounds) -> None:
        self._directory = directory
        self._name = name
        self._bounds = bounds
        self._limit = min(bounds.segment_bytes, bounds.total_bytes // 4)
        self._live = directory / f"{name}{PLAIN}"
        self._fd: int | None = None
        self._began: datetime | None = None
        self._torn = False
        self._tend_at: datetime | None = None  # None: nothing to tend

    def append(self, data: bytes, now: datetime) -> Appended:
        """Append whole lines.

        Args:
            data: ends with a newline.
            now: wall clock, timezone-aware UTC.
        """
        try:
            fd = self._open(now)
            if shutil.disk_usage(self._directory).free < self._bounds.least_free_bytes:
                return Appended(data.count(b"\n"), f"{self._directory}: the file system is nearly full")
        except OSError as failed:
            return Appended(data.count(b"\n"), _words(failed, self._live))
        lost, error = self._write(fd, data)
        return Appended(lost, error or self._keep(now))

    def close(self) -> None:
        """Let go of the live file; the next append opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    # --- the live file

    def _open(self, now: datetime) -> int:
        if self._fd is not None and not _is(self._live, self._fd):
            self.close()  # somebody removed or replaced it
        if self._fd is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self._live, flags, 0o600)
            size = os.fstat(self._fd).st_size
            self._torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"
            self._began = _first_time(self._fd) or now
            self._tend_at = now
        return self._fd

    def _write(self, fd: int, data: bytes) -> tuple[int, str]:
        whole, written = b"\n" + data if self._torn else data, 0
        try:
            while written < len(whole):
                written += os.write(fd, memoryview(whole)[written:])
        except OSError as failed:
            there = max(0, whole[:written].count(b"\n") - self._torn)
            self._torn = self._torn if not written else whole[written - 1 : written] != b"\n"
            return data.count(b"\n") - there, _words(failed, self._live)
        self._torn = False
        return 0, ""

    # --- rotation

    def _keep(self, now: datetime) -> str:
        """Set the live file aside where it is due, and tend what was set aside; returns what went wrong."""
        try:
            if self._fd is not None and self._due(self._fd, now):
                self._set_aside(now)
            if self._tend_at is not None and now >= self._tend_at:
                self._tend_at = now + timedelta(seconds=AGAIN_SECONDS)
                self._tend(now)
                self._tend_at = None
        except OSError as failed:
            return _words(failed, self._directory)
        return ""

    def _due(self, fd: int, now: datetime) -> bool:
        size = os.fstat(fd).st_size
        assert self._began is not None
        old = (now - self._began).total_seconds() >= self._bounds.segment_seconds
        return size >= self._limit or (old and size > 0)

    def _set_aside(self, now: datetime) -> None:
        known = stamps(self._directory, self._name)
        after = ended_at(known[-1]) + timedelta(microseconds=1) if known else now  # also where the clock was set back
        stamp = max(now, after).strftime(STAMP)
        self._live.rename(self._directory / f"{self._name}-{stamp}{PLAIN}")
        self.close()
        self._tend_at = now

    def _tend(self, now: datetime) -> None:
        remove_stale_temps(self._directory, now=now.timestamp())
        for stamp in stamps(self._directory, self._name):
            plain = self._directory / f"{self._name}-{stamp}{PLAIN}"
            if plain.exists():
                self._drop_oldest()  # first, so that there is room
                _compress(plain, plain.with_suffix(COMPRESSED))
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        found = [self._files(stamp) for stamp in stamps(self._directory, self._name)]
        total = self._limit + sum(size for files in found for _, size in files)
        for files in found:
            if total <= self._bounds.total_bytes:
                return
            for path, size in files:
                path.unlink(missing_ok=True)
                total -= size

    def _files(self, stamp: str) -> list[tuple[Path, int]]:
        paths = [self._directory / f"{self._name}-{stamp}{suffix}" for suffix in (PLAIN, COMPRESSED)]
        return [(path, path.stat().st_size) for path in paths if path.exists()]


def _words(error: OSError, where: Path) -> str:
    return f"{error.filename or where}: {error.strerror}"


def _first_time(fd: int) -> datetime | None:
    """When a live file was begun: the time of its first line, which begins with it."""
    match = re.match(rb'\{"time":"([^"]{10,40})"', os.pread(fd, 64, 0))
    try:
        found = datetime.fromisoformat(match[1].decode("ascii")) if match else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _compress(plain: Path, target: Path) -> None:
    """Raises OSError; the plain file stays then, and nothing of the compressed one."""
    import zstandard  # 30 ms, and needed once in 16 MB

    temp = Path(temp_name(str(target)))
    try:
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with plain.open("rb") as source:
                for block in zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).read_to_iter(source):
                    write_all(fd, block)
            os.fsync(fd)
        finally:
            os.close(fd)
        temp.rename(target)
    except OSError:
        temp.unlink(missing_ok=True)
        raise
    fsync_directory(str(target.parent))
    plain.unlink()
