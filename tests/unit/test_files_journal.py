"""Journals are read tolerantly and never lose what was whole (requirement 3.1)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.files import journal


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    """3.1: what was appended is read, also names that are no valid UTF-8."""
    path = tmp_path / "journal.jsonl"
    entries = [{"event": "Launched", "pid": 1}, {"event": "Ended", "name": os.fsdecode(b"a\xff\n")}]
    for entry in entries:
        journal.append(path, entry)
    assert journal.read(path) == journal.Journal(tuple(entries), garbage=0, torn=False)
    assert journal.read(path).last("Launched") == entries[0]
    assert journal.read(path).last("Never") is None


def test_missing_is_empty(tmp_path: Path) -> None:
    """3.1: complete or absent."""
    assert journal.read(tmp_path / "journal.jsonl") == journal.Journal((), 0, False)


def test_unreadable_is_not_empty(tmp_path: Path) -> None:
    """3.1: a journal that cannot be read is no empty one."""
    with pytest.raises(IsADirectoryError):
        journal.read(tmp_path)


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    """3.1: the line that a crash tore is ignored, and the next entry does not get lost with it."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"event":"A"}\n{"event":"B","x')
    assert journal.read(path) == journal.Journal(({"event": "A"},), garbage=0, torn=True)
    journal.append(path, {"event": "C"})
    assert journal.read(path) == journal.Journal(({"event": "A"}, {"event": "C"}), garbage=1, torn=False)


def test_garbage_is_counted(tmp_path: Path) -> None:
    """7.5: lines that are no JSON objects are counted and never stop the rest."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"\x00\xff\n[1]\n7\n" + b"[" * 100_000 + b'\n{"event":"A"}\n')
    assert journal.read(path) == journal.Journal(({"event": "A"},), garbage=4, torn=False)


def test_the_error_names_the_path(tmp_path: Path) -> None:
    """8.3: an append that fails says where."""
    path = tmp_path / "missing" / "journal.jsonl"
    with pytest.raises(FileNotFoundError) as failure:
        journal.append(path, {})
    assert failure.value.filename == str(path)
