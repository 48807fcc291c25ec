"""Parts of the command that need no cluster: the tail of a file, lengths of time, names and tables."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.cli import tail, view
from controller.cli.manifest import prefix
from controller.cli.tables import as_yaml, plain


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lines=st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\n", b"")), max_size=12),
    ended=st.booleans(),
    wanted=st.integers(0, 14),
    chunk=st.integers(1, 9),
)
def test_last_lines_for_any_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[bytes], ended: bool, wanted: int, chunk: int
) -> None:
    """3.2: whatever the size of a block is; an unfinished last line counts as a line."""
    monkeypatch.setattr(tail, "CHUNK", chunk)
    path = tmp_path / "output.log"
    content = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    path.write_bytes(content)
    whole = content.splitlines(keepends=True) if b"\r" not in content else _split(content)
    expected = b"".join(whole[len(whole) - wanted :] if wanted < len(whole) else whole)
    assert content[tail.last_lines(path, wanted) :] == (expected if wanted else b"")


def _split(content: bytes) -> list[bytes]:
    parts = content.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def test_tail_of_a_missing_and_of_a_truncated_file(tmp_path: Path) -> None:
    """Design 6: readers start again where a job truncated its output."""
    path = tmp_path / "output.log"
    reader = tail.Tail(path)
    assert (reader.read(), tail.size(path), tail.last_lines(path, 3)) == (b"", 0, 0)
    path.write_bytes(b"long before")
    assert (reader.read(), reader.read()) == (b"long before", b"")
    path.write_bytes(b"new")
    assert (reader.read(), reader.restarted, reader.offset) == (b"new", True, 3)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.4, "0s"), (59, "59s"), (60, "1m"), (200, "3m20s"), (3600, "1h"), (7500, "2h5m"), (356400, "4d3h")],
)
def test_spans_of_time(seconds: float, text: str) -> None:
    """1.1: as kubectl prints ages."""
    assert view.span(seconds) == text


def test_ages() -> None:
    """1.1"""
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    assert view.age("2026-11-20T11:57:00Z", now) == "3m"
    assert view.age("2026-11-20T12:00:30.000000Z", now) == "in 30s"
    assert (view.age(None), view.age("garbage")) == ("", "")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ({"phase": "Succeeded", "attempt": {"exitCode": 0}}, 0),
        ({"phase": "Failed", "attempt": {"exitCode": 7}}, 7),
        ({"phase": "Failed", "attempt": {"signal": 9}}, 137),
        ({"phase": "Failed", "attempt": {"reason": "CommandNotFound"}}, 127),
        ({"phase": "Failed", "attempt": {"reason": "NotExecutable"}}, 126),
        ({"phase": "Failed", "attempt": {"exitCode": 0, "reason": "DeadlineExceeded"}}, 1),
        ({"phase": "Canceled"}, 1),
    ],
)
def test_exit_codes(status: dict[str, object], code: int) -> None:
    """Issue item 7: 0 means success and nothing else does."""
    assert view.exit_code({"status": status}) == code


@pytest.mark.parametrize(
    ("program", "name"),
    [("make", "make-"), ("/usr/bin/My_Tool.sh", "my-tool-sh-"), ("...", "job-"), ("/", "job-"), ("ü" * 3, "job-")],
)
def test_a_name_from_a_program(program: str, name: str) -> None:
    """Issue item 7: what a DNS name allows of it."""
    assert prefix([program]) == name


def test_text_of_others_is_text() -> None:
    """Issue item 7: no control character reaches the terminal by a message."""
    assert plain("a\x1b[31mb\r\nc\u202e") == "a [31mb  c"
    assert as_yaml({"a": "x\ny\n"}) == "a: |\n  x\n  y\n"
