"""Atomic files under writers that race, are killed, run out of space or permission (requirements 8.1-8.3)."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.files.atomic import is_temp_name, remove_stale_temps, temp_name, write_atomic
from tests.disks import small_disk

SIZE = 200_000


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return sorted(path.name for path in directory.iterdir())


def content(writer: int) -> bytes:
    """What writer number `writer` writes: a mix of two is not of this form."""
    return bytes([writer]) * SIZE


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child and return its pid; the child never returns."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def test_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    """8.1: old or new content, mode as asked for whatever the umask is, no temporary file left."""
    path = tmp_path / "file"
    previous = os.umask(0o777)
    try:
        write_atomic(path, b"old")
        write_atomic(path, b"new", mode=0o640)
    finally:
        os.umask(previous)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["file"]


def test_a_hundred_concurrent_writers_never_show_a_mix(tmp_path: Path) -> None:
    """8.1: 100 processes write while one reads; each read is the whole content of one writer."""
    place, stop = tmp_path / "place", tmp_path / "stop"
    place.mkdir()
    path = place / "file"
    write_atomic(path, content(0))
    gate, opens = os.pipe()

    def write(number: int) -> None:
        os.close(opens)
        os.read(gate, 1)  # its end, when all are there: none has ended before the first read
        written = 0
        while written < 3 or not stop.exists():
            write_atomic(path, content(number))
            written += 1

    writers = [in_child(lambda number=number: write(number)) for number in range(100)]  # type: ignore[misc]
    os.close(opens)
    os.close(gate)
    seen = set()
    running = set(writers)
    while running:
        data = path.read_bytes()
        assert data == content(data[0])
        seen.add(data[0])
        if len(seen - {0}) > 1:
            stop.touch()
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in running:
            assert status == 0
            running.remove(pid)
    assert names(place) == ["file"]


@pytest.mark.timeout(600)
def test_a_thousand_kills_leave_no_corrupt_file(tmp_path: Path) -> None:
    """8.2: SIGKILL at 1,000 random instants of a writer; the file is whole each time, leftovers are temporary ones."""
    path = tmp_path / "file"
    chance = random.Random(8)
    write_atomic(path, content(0))

    begun, begins = os.pipe()

    def write_for_ever() -> None:
        os.write(begins, b"x")
        number = 0
        while True:
            number = (number + 1) % 251
            write_atomic(path, content(number))

    in_the_middle = 0
    for _ in range(1000):
        pid = in_child(write_for_ever)
        os.read(begun, 1)
        time.sleep(chance.uniform(0.0002, 0.003))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        data = path.read_bytes()
        assert data == content(data[0])
        left = [name for name in names(tmp_path) if name != "file"]
        assert all(is_temp_name(name) for name in left)
        in_the_middle += bool(left)
        for name in left:
            (tmp_path / name).unlink()
    os.close(begun)
    os.close(begins)
    assert in_the_middle > 100, "the kills did not hit writers in mid-write"


def test_only_stale_temporary_files_are_removed(tmp_path: Path) -> None:
    """8.2: leftovers older than 10 min go, younger ones and other names stay."""
    old, young, other = tmp_path / temp_name("a"), tmp_path / temp_name("a"), tmp_path / "a.tmp.notours"
    now = time.time()
    for path, age in ((old, 601), (young, 599), (other, 10_000)):
        path.write_bytes(b"")
        os.utime(path, (now - age, now - age))
    assert remove_stale_temps(tmp_path, now=now) == [str(old)]
    assert not old.exists() and young.exists() and other.exists()


def check_old_content_stays(path: Path, number: int) -> None:
    """The write fails with `number`, names the path, and leaves the old content and nothing else."""
    with pytest.raises(OSError) as failure:
        write_atomic(path, content(1))
    assert failure.value.errno == number
    assert failure.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert names(path.parent) == [path.name]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    with small_disk(tmp_path / "disk", "64k") as place:
        yield place


def test_full_disk(disk: Path) -> None:
    """8.3: ENOSPC: the old content stays and the error names the path."""
    write_atomic(disk / "file", b"old")
    check_old_content_stays(disk / "file", errno.ENOSPC)


def test_size_limit(tmp_path: Path) -> None:
    """8.3: a write that fails half way leaves the old content (RLIMIT_FSIZE)."""
    write_atomic(tmp_path / "file", b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, before[1]))
    try:
        check_old_content_stays(tmp_path / "file", errno.EFBIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_permission_denied(open_place: Path) -> None:
    """8.3: a directory that may not be written: the error names the path, the old content stays."""
    place = open_place / "locked"
    place.mkdir()
    write_atomic(place / "file", b"old")
    place.chmod(0o555)

    def write_as_nobody() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        try:
            write_atomic(place / "file", b"new")
        except PermissionError as error:
            os._exit(42 if error.filename == str(place / "file") else 43)

    _, status = os.waitpid(in_child(write_as_nobody), 0)
    place.chmod(0o755)
    assert os.waitstatus_to_exitcode(status) == 42
    assert names(place) == ["file"]
    assert (place / "file").read_bytes() == b"old"
