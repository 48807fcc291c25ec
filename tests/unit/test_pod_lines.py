"""The kubelet's lines with their times, however they are cut (requirement 3.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.executors.pod.lines import PIECE_BYTES, Entry, Lines, nanoseconds

STAMP = "2026-11-20T21:52:56.621285001Z"
AT = nanoseconds(STAMP)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("2026-11-20T21:52:56Z", -621285001),
        ("2026-11-20T21:52:56.6Z", -21285001),
        ("2026-11-20T22:52:56.621285001+01:00", 0),
        ("2026-11-20T21:52:57.000000000Z", 378714999),
    ],
)
def test_moments(text: str, after: int) -> None:
    """RFC 3339 with as many digits as the runtime writes."""
    assert nanoseconds(text) - AT == after


@given(st.lists(st.integers(1, 9), max_size=20))
def test_entries_do_not_depend_on_how_the_stream_is_cut(cuts: list[int]) -> None:
    """3.2: bytes as they are, a missing last newline stays missing."""
    data = f"{STAMP} one\n{STAMP} \n{STAMP}  two \x00\n{STAMP} end".encode() + b"\xff"
    lines, found, at = Lines(), [], 0
    for cut in cuts:
        found += lines.feed(data[at : at + cut])
        at += cut
    found += [*lines.feed(data[at:]), *lines.rest()]
    assert found == [Entry(AT, text) for text in (b"one\n", b"\n", b" two \x00\n", b"end\xff")]


def test_a_line_without_a_time() -> None:
    """Who reads it sees that it has none."""
    assert list(Lines().feed(b"unable to retrieve container logs\n")) == [
        Entry(0, b"unable to retrieve container logs\n")
    ]


def test_output_without_newlines_is_given_out_in_pieces() -> None:
    """10.3: no more than a piece of a line that does not end is kept back, whatever the stream hands out at a time."""
    lines, given = Lines(), 0
    assert list(lines.feed(f"{STAMP} ".encode())) == []
    for _ in range(10_000):
        for entry in lines.feed(b"\x00" * 1000):
            assert entry.at == AT and entry.start == given and not entry.ends
            given += len(entry.text)
    assert given > 10_000 * 1000 - PIECE_BYTES
    (end,) = lines.feed(b"\n" + STAMP.encode())
    assert end.ends and end.start == given and end.start + len(end.text) == 10_000 * 1000 + 1
    assert list(lines.feed(b" next\n")) == [Entry(AT, b"next\n")]


def test_a_long_line_without_a_time_is_kept() -> None:
    """Whatever a kubelet says: a stream may begin in the middle of a line that began before the second asked for."""
    assert list(Lines().feed(b"x" * PIECE_BYTES)) == [Entry(0, b"x" * PIECE_BYTES)]
