"""Passes over a log: each byte is kept once, wherever one breaks off (requirements 3.2, 4.2, 10.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.errors import Transient
from controller.executors.pod.lines import NANOSECONDS, PIECE_BYTES
from controller.executors.pod.passes import GAP, Pass, mark_gap
from controller.files.spool import OUTPUT, Spool

PIECE = 16 * 1024  # that a container runtime cuts long lines into
CHUNK = 5000


@dataclass(frozen=True)
class Piece:
    """A line of a container's log file: what a runtime writes for a line, or for a part of a long one."""

    tenths: int  # of seconds, its moment
    text: bytes

    @property
    def stamp(self) -> bytes:
        return f"2026-01-01T00:00:{self.tenths // 10:02d}.{self.tenths % 10}00000000Z ".encode()


def told(pieces: list[Piece], since_tenths: int) -> bytes:
    """As the kubelet tells them: what is older is left out, a time is only where a line begins."""
    found, begins = b"", True
    for piece in pieces:
        if piece.tenths >= since_tenths:
            found += piece.stamp * begins + piece.text
        begins = piece.text.endswith(b"\n")
    return found


def pieces_of(lines: list[tuple[int, int]]) -> list[Piece]:
    """The log of lines: their lengths, and tenths of seconds that pass after each piece."""
    found, now = [], 3
    for number, (length, after) in enumerate(lines):
        text = bytes(33 + (number + at) % 90 for at in range(length)) + b"\n"
        for start in range(0, len(text), PIECE):
            found.append(Piece(now, text[start : start + PIECE]))
            now += after
    return found


class Taking:
    """A spool that takes over a log, and is broken off."""

    def __init__(self, directory: Path, limit: int | None = None) -> None:
        self._directory = directory
        self._limit = limit
        self.spool = Spool(directory)
        self.spool.open()

    def take(self, pieces: list[Piece], size: int | None = None) -> Pass:
        """A pass over the first bytes of what the kubelet tells from where it stands; None: all of it."""
        second = self.spool.position.last // NANOSECONDS % 60
        data = told(pieces, 10 * second)[:size]
        made = Pass(self.spool, self._limit)
        for at in range(0, len(data), CHUNK):
            made.take(data[at : at + CHUNK])
        return made

    def crash(self) -> None:
        """What was not remembered is forgotten."""
        self.spool.close()
        self.spool = Spool(self._directory)
        self.spool.open()

    @property
    def kept(self) -> bytes:
        return (self._directory / OUTPUT).read_bytes()


Break = tuple[int, str]  # after how many thousandths of the log, and what follows
WAYS = ("stream", "remembered crash", "crash")
LENGTHS = (0, 1, 100, PIECE - 1, PIECE, 5 * PIECE + 7)
LOG = st.lists(st.tuples(st.sampled_from(LENGTHS), st.integers(0, 9)), max_size=9)
BREAKS = st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(WAYS)), max_size=6)


def broken_off(pieces: list[Piece], breaks: Iterable[Break]) -> bytes:
    """What is kept of a log whose stream breaks off again and again, and then is read to its end."""
    with TemporaryDirectory() as directory:
        taking = Taking(Path(directory))
        for where, how in breaks:
            taking.take(pieces, where * len(told(pieces, 0)) // 1000)
            if how == "remembered crash":
                taking.spool.remember()
            if how != "stream":
                taking.crash()
        taking.take(pieces).end()
        taking.spool.close()
        return taking.kept


@settings(max_examples=60, deadline=None)
@given(LOG, BREAKS)
def test_wherever_a_log_breaks_off_each_byte_is_kept_once(lines: list[tuple[int, int]], breaks: list[Break]) -> None:
    """4.2: also in the middle of a line that the kubelet has told in part, and of one of several of the same moment."""
    pieces = pieces_of(lines)
    assert broken_off(pieces, breaks) == b"".join(piece.text for piece in pieces)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("pause", [0, 4])
def test_a_long_line_that_breaks_off(how: str, pause: int) -> None:
    """4.2, 10.3: the same, at each place of a log of long lines; all pieces of one moment, or a line of seconds."""
    pieces = pieces_of([(100, pause), (5 * PIECE + 7, pause), (4 * PIECE, pause), (100, pause)])
    whole = b"".join(piece.text for piece in pieces)
    for where in range(0, 1000, 15):
        assert broken_off(pieces, [(where, how), (where // 2 + 300, how)]) == whole


def test_the_limit_acts_in_the_middle_of_a_line(tmp_path: Path) -> None:
    """10.3: of `cat /dev/zero` no more than the limit is kept, and it is known at once."""
    limit = 10 * PIECE_BYTES + 5
    made = Taking(tmp_path, limit)
    reading, sent = Pass(made.spool, limit), 0
    while not reading.full:
        reading.take(b"2026-01-01T00:00:00.5Z " * (sent == 0) + b"\x00" * 1000)
        sent += 1000
    assert sent - limit <= PIECE_BYTES + 1000 and made.kept == b"\x00" * limit
    made.spool.close()


def test_it_reaches_the_file_before_its_line_ends(tmp_path: Path) -> None:
    """4.2: a progress bar that only returns is seen while it grows."""
    made = Taking(tmp_path)
    reading, sent = Pass(made.spool, None), 0
    reading.take(b"2026-01-01T00:00:00.5Z ")
    while sent < 100 * PIECE_BYTES:
        reading.take(b"50 %\r" * 200)
        sent += 1000
        assert len(made.kept) > sent - PIECE_BYTES
    made.spool.close()


def test_a_line_whose_rest_is_lost(tmp_path: Path) -> None:
    """4.2: the gap is said in a line of its own, once."""
    made = Taking(tmp_path)
    lost = pieces_of([(2 * PIECE, 0)])
    made.take(lost, 2 * PIECE)
    begun = made.kept
    assert PIECE <= len(begun) < 2 * PIECE
    made.take([Piece(50, b"later\n")]).end()
    assert made.kept == begun + b"\n" + GAP + b"later\n"
    mark_gap(made.spool)
    assert made.kept == begun + b"\n" + GAP + b"later\n" + GAP
    made.spool.close()


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize(
    "said",
    [
        "unable to retrieve container logs for containerd://4ace175088d84862702c04252639d66b",
        'failed to read log file "/var/log/pods/n_p_u/main/0.log": input/output error',
        "rpc error: code = Unavailable desc = connection refused",
    ],
)
def test_what_a_kubelet_says_in_place_of_a_log_is_no_output(tmp_path: Path, said: str, end: str) -> None:
    """4.2: it is cut off from its containers; what came before counts, and the log has to be asked for again."""
    taking = Taking(tmp_path)
    reading = taking.take([Piece(1, b"printed\n")])
    with pytest.raises(Transient, match=re.escape(said)):
        reading.take(f"{said}{end}".encode())
        reading.end()
    assert taking.kept == b"printed\n"


def test_the_rest_of_a_line_whose_beginning_is_gone_is_output(tmp_path: Path) -> None:
    """3.2: a runtime rotates in the middle of a long line: its pieces after that have no time."""
    taking = Taking(tmp_path)
    reading = taking.take([])
    reading.take(b"rest of a line\n")
    assert taking.kept == b"rest of a line\n"
