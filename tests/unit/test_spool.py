"""Output that is taken over: after a crash file and position agree (requirements 3.2, 4.2, 8.1)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.files.spool import OUTPUT, POSITION, Position, Spool, read_position
from tests.disks import small_disk


def test_it_goes_on_where_it_was_remembered(tmp_path: Path) -> None:
    """4.2: what was written after the last record is cut off and taken over again, so nothing is there twice."""
    spool = Spool(tmp_path / "a")
    spool.open()
    spool.append(b"one\n", replace(spool.position, last=5, same=1))
    spool.remember()
    spool.append(b"two\n", replace(spool.position, last=6, same=1))
    spool.close()
    again = Spool(tmp_path / "a")
    assert again.position == Position(4, 5, 1)
    again.open()
    assert (tmp_path / "a" / OUTPUT).read_bytes() == b"one\n"
    again.append(b"two\n", replace(again.position, last=6, same=1))
    again.complete()
    again.close()
    assert (tmp_path / "a" / OUTPUT).read_bytes() == b"one\ntwo\n"
    assert read_position(tmp_path / "a") == Position(8, 6, 1, complete=True)


def test_a_file_that_lost_its_end_is_begun_anew(tmp_path: Path) -> None:
    """8.1: a machine that went down may have kept the position and not the bytes."""
    spool = Spool(tmp_path)
    spool.open()
    spool.append(b"0123456789", replace(spool.position, last=5, same=1))
    spool.remember()
    spool.close()
    (tmp_path / OUTPUT).write_bytes(b"012")
    again = Spool(tmp_path)
    again.open()
    again.close()
    assert again.position == Position() and (tmp_path / OUTPUT).read_bytes() == b""


def test_a_damaged_position_counts_as_none(tmp_path: Path) -> None:
    """7.5"""
    for text in ("", "{", "[]", '{"version": 1}', '{"version": 99, "size": 1, "last": 1, "same": 1, "complete": true}'):
        (tmp_path / "position.json").write_text(text)
        assert read_position(tmp_path) == Position()


def test_a_position_of_a_version_before_is_read(tmp_path: Path) -> None:
    """7.5: it knew whole lines only."""
    text = '{"version": 1, "size": 12, "last": 5, "same": 2, "complete": false}'
    (tmp_path / "position.json").write_text(text)
    assert read_position(tmp_path) == Position(12, 5, 2)


def test_on_a_full_disk_a_piece_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    """8.3: the error says which file, what was there stays, and the same piece can be appended once there is room."""
    piece = b"x" * 100_000
    with small_disk(tmp_path / "disk", "256k") as disk:
        spool = Spool(disk / "a")
        spool.open()
        spool.append(b"one\n", replace(spool.position, last=5, same=1))
        filler = disk / "filler"
        filler.write_bytes(b"x" * 200_000)
        before = spool.position
        with pytest.raises(OSError, match=OUTPUT):
            spool.append(piece, replace(before, last=6, same=1))
        assert spool.position == before and (disk / "a" / OUTPUT).read_bytes() == b"one\n"
        filler.unlink()
        spool.append(piece, replace(before, last=6, same=1))
        spool.complete()
        spool.close()
        assert (disk / "a" / OUTPUT).read_bytes() == b"one\n" + piece
        assert read_position(disk / "a") == Position(4 + len(piece), 6, 1, complete=True)


def test_on_a_full_disk_it_does_not_count_as_complete(tmp_path: Path) -> None:
    """8.3: only what was written down is; then it can be tried again."""
    with small_disk(tmp_path / "disk", "256k") as disk:
        spool = Spool(disk / "a")
        spool.open()
        spool.append(b"one\n", replace(spool.position, last=5, same=1))
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(b"x" * 2**20)
        for write in (spool.remember, spool.complete):
            with pytest.raises(OSError, match=POSITION):
                write()
        assert not spool.position.complete
        filler.unlink()
        spool.complete()
        spool.close()
        assert read_position(disk / "a") == Position(4, 5, 1, complete=True)
