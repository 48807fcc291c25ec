"""The log in segments under the audit journal (requirement 9.3): appended, set aside, compressed, bound, read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.files.segment_reader import SegmentReader
from controller.files.segments import Bounds, SegmentWriter, append_beside, stamps
from tests.disks import small_disk

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
WIDE = Bounds(segment_bytes=1024**2, segment_seconds=3600, total_bytes=16 * 1024**2)
SMALL = Bounds(segment_bytes=200, segment_seconds=3600, total_bytes=1024**2)
ROOT = Path(__file__).resolve().parents[2]


def numbered(first: int, count: int) -> bytes:
    return b"".join(b'{"n":%d}\n' % number for number in range(first, first + count))


def numbers(lines: list[bytes]) -> list[int]:
    return [int(line[5:-1]) for line in lines if line.startswith(b'{"n":') and line.endswith(b"}")]


def read(directory: Path, since: datetime | None = None) -> list[int]:
    reader = SegmentReader(directory, "audit")
    try:
        return numbers(list(reader.lines(since)))
    finally:
        reader.close()
        assert reader.damaged == []


def test_lines_come_back_in_order_over_rotations(tmp_path: Path) -> None:
    """Requirement 9.3: rotated by size and compressed, nothing lost, nothing twice."""
    writer = SegmentWriter(tmp_path, "audit", SMALL)
    for number in range(100):
        assert writer.append(numbered(number, 1), START + timedelta(seconds=number)).lost == 0
    writer.close()
    assert len(list(tmp_path.glob("*.zst"))) >= 3
    assert not [path for path in tmp_path.iterdir() if ".tmp." in path.name]
    assert read(tmp_path) == list(range(100))


def test_a_line_of_somebody_else_is_among_them(tmp_path: Path) -> None:
    """Requirement 9.3: a command appends beside the writer, or where nobody writes; none is lost."""
    append_beside(tmp_path, "audit", numbered(0, 1))
    writer = SegmentWriter(tmp_path, "audit", SMALL)
    for number in range(1, 100, 2):
        assert writer.append(numbered(number, 1), START + timedelta(seconds=number)).lost == 0
        append_beside(tmp_path, "audit", numbered(number + 1, 1))
    writer.close()
    assert read(tmp_path) == list(range(100 + 1))


def test_rotated_by_age_of_its_first_line(tmp_path: Path) -> None:
    """Requirement 9.3: by age, also where the first line was written by a process before."""
    line = b'{"time":"2026-11-20T12:00:00.000Z"}\n'
    for hours in (0.0, 0.5, 1.0):
        writer = SegmentWriter(tmp_path, "audit", WIDE)
        writer.append(line, START + timedelta(hours=hours))
        writer.close()
    assert len(stamps(tmp_path, "audit")) == 1
    assert not (tmp_path / "audit.jsonl").exists()


def test_the_whole_stays_within_its_bound(tmp_path: Path) -> None:
    """Requirement 9.3: kept within a bound; the oldest lines go."""
    bounds = Bounds(segment_bytes=8192, segment_seconds=3600, total_bytes=32768)
    writer = SegmentWriter(tmp_path, "audit", bounds)
    for number in range(400):
        writer.append(b'{"n":%d}\n' % number + os.urandom(300).hex().encode() + b"\n", START)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 32768
    writer.close()
    kept = read(tmp_path)
    assert kept == list(range(kept[0], 400))
    assert 0 < kept[0] < 390


def test_a_clock_that_is_set_back_keeps_the_order(tmp_path: Path) -> None:
    """Segments are in the order in which they were written, whatever the clock says."""
    writer = SegmentWriter(tmp_path, "audit", SMALL)
    for number in range(100):
        writer.append(numbered(number, 1), START - timedelta(seconds=number))
    writer.close()
    assert read(tmp_path) == list(range(100))


def test_a_torn_line_is_left_out_and_ended(tmp_path: Path) -> None:
    """Requirement 9.3: readable in mid-write; what a crash tore spoils no other line."""
    (tmp_path / "audit.jsonl").write_bytes(numbered(0, 2) + b'{"n":')
    assert read(tmp_path) == [0, 1]
    writer = SegmentWriter(tmp_path, "audit", WIDE)
    writer.append(numbered(2, 1), START)
    writer.close()
    assert read(tmp_path) == [0, 1, 2]


def test_since_leaves_out_segments_that_ended_before(tmp_path: Path) -> None:
    """A question about the last hour does not decompress a month."""
    writer = SegmentWriter(tmp_path, "audit", SMALL)
    for number in range(100):
        writer.append(numbered(number, 1), START + timedelta(minutes=number))
    writer.close()
    found = read(tmp_path, START + timedelta(minutes=80))
    assert 50 < found[0] <= 80
    assert found[-1] == 99


def test_a_damaged_segment_is_told_and_stops_nothing(tmp_path: Path) -> None:
    """Requirement 7.5: garbage never stops the rest."""
    writer = SegmentWriter(tmp_path, "audit", SMALL)
    for number in range(60):
        writer.append(numbered(number, 1), START + timedelta(seconds=number))
    writer.close()
    first, *_ = sorted(tmp_path.glob("*.zst"))
    first.write_bytes(b"garbage")
    reader = SegmentReader(tmp_path, "audit")
    found = numbers(list(reader.lines()))
    reader.close()
    assert found == list(range(found[0], 60))
    assert [str(first) in text for text in reader.damaged] == [True]


def test_what_a_crash_left_between_two_steps_is_finished(tmp_path: Path) -> None:
    """A segment that was set aside and not compressed, or compressed and not removed, is read once and tidied up."""
    writer = SegmentWriter(tmp_path, "audit", SMALL)
    for number in range(30):
        writer.append(numbered(number, 1), START + timedelta(seconds=number))
    writer.close()
    done = sorted(tmp_path.glob("*.zst"))[0]
    plain = zstandard.ZstdDecompressor().stream_reader(done.read_bytes()).read()
    done.with_suffix("").write_bytes(plain)  # as if it had been killed before the unlink
    assert read(tmp_path) == list(range(30))
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit-20261120T130000000000Z.jsonl")
    assert read(tmp_path) == list(range(30))
    writer = SegmentWriter(tmp_path, "audit", SMALL)
    writer.append(numbered(30, 1), START + timedelta(hours=2))
    writer.close()
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["audit.jsonl"]
    assert read(tmp_path) == list(range(31))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["one", "many", "look", "reopen"]), max_size=40))
def test_following_sees_every_line_once(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    """Requirement 9.3: --follow goes over rotations, however many lie between two looks."""
    directory = tmp_path_factory.mktemp("log")
    writer, reader = SegmentWriter(directory, "audit", SMALL), SegmentReader(directory, "audit")
    written, seen = 0, numbers(list(reader.lines()))
    for step in steps:
        if step == "look":
            seen += numbers(list(reader.more()))
        elif step == "reopen":
            writer.close()
            writer = SegmentWriter(directory, "audit", SMALL)
        else:
            for _ in range(60 if step == "many" else 1):
                writer.append(numbered(written, 1), START + timedelta(seconds=written))
                written += 1
    writer.close()
    seen += numbers(list(reader.more()))
    reader.close()
    assert seen == list(range(written))
    assert read(directory) == list(range(written))


def test_reading_beside_a_writer_that_rotates(tmp_path: Path) -> None:
    """Requirement 9.3: a rotation is never seen half: no line is missing or doubled in any reading."""
    writer = SegmentWriter(tmp_path, "audit", SMALL)
    stop, written = threading.Event(), [0]

    def write() -> None:
        while not stop.is_set() and written[0] < 20_000:
            writer.append(numbered(written[0], 5), START + timedelta(seconds=written[0]))
            written[0] += 5

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(30):
            least = written[0]
            found = read(tmp_path)
            assert found == list(range(len(found)))
            assert len(found) >= least
    finally:
        stop.set()
        thread.join(60)
        writer.close()


KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from controller.files.segments import Bounds, SegmentWriter
writer = SegmentWriter(Path(sys.argv[1]), "audit", Bounds(2000, 3600, 1024**2))
number = int(sys.argv[2])
while True:
    writer.append(b"".join(b'{"n":%d}\\n' % each for each in range(number, number + 10)), datetime.now(UTC))
    number += 10
    os.write(1, b"%d\\n" % number)
"""


def test_sigkill_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    """Requirements 8.1, 9.3: 20 kills in mid-write and mid-rotation; each line that was appended is there, once."""
    log, number = tmp_path / "log", 0
    for turn in range(20):
        argv = [sys.executable, "-c", KILLED, str(log), str(number)]
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(20 + 7 * turn):
                told = child.stdout.readline()
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().splitlines()
            child.wait(20)
        promised = int(rest[-1] if rest else told)
        found = read(log)
        assert len(found) == len(set(found))
        assert set(range(promised)) <= set(found)
        number = max(found) + 1  # some of the last append may be there although it was not told
        assert found == sorted(found)


def test_a_full_disk_drops_lines_and_heals(tmp_path: Path) -> None:
    """Requirements 8.3, 9.3: what does not fit is counted, nothing before it is spoiled, and it goes on with room."""
    with small_disk(tmp_path / "disk", "256k") as disk:
        writer = SegmentWriter(disk / "audit", "audit", WIDE)
        ballast, lost = disk / "ballast", 0
        ballast.write_bytes(bytes(128 * 1024))
        for number in range(0, 40_000, 100):
            came = writer.append(numbered(number, 100), START)
            lost += came.lost
            assert bool(came.lost) == bool(came.error)
        assert lost > 1000
        kept = read(disk / "audit")
        assert len(kept) == 40_000 - lost
        ballast.unlink()
        assert writer.append(numbered(40_000, 1), START).lost == 0
        writer.close()
        assert read(disk / "audit") == [*kept, 40_000]


def test_it_gives_way_before_the_disk_is_full(tmp_path: Path) -> None:
    """Requirement 9.3: with less room than jobs need, lines are dropped, not jobs."""
    bounds = Bounds(1024**2, 3600, 16 * 1024**2, least_free_bytes=1024**5)
    writer = SegmentWriter(tmp_path, "audit", bounds)
    came = writer.append(numbered(0, 3), START)
    writer.close()
    assert came.lost == 3
    assert "nearly full" in came.error


def test_a_journal_that_somebody_removed_is_made_anew(tmp_path: Path) -> None:
    """Lines never go to a file without a name."""
    writer = SegmentWriter(tmp_path / "log", "audit", WIDE)
    writer.append(numbered(0, 1), START)
    (tmp_path / "log" / "audit.jsonl").unlink()
    writer.append(numbered(1, 1), START)
    writer.close()
    assert read(tmp_path / "log") == [1]


def test_a_place_that_cannot_be_written_raises_nothing(tmp_path: Path) -> None:
    """Requirement 8.3: the error names the path."""
    (tmp_path / "log").write_text("a file")
    came = SegmentWriter(tmp_path / "log", "audit", WIDE).append(numbered(0, 2), START)
    assert came.lost == 2
    assert str(tmp_path / "log") in came.error
