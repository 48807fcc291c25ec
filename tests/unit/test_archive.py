"""The archive of a Snapshot: whole or refused, of a known format, at any address (requirement 7.10)."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
import zstandard
from fsspec.core import url_to_fs

from controller.errors import Terminal, Transient
from controller.recovery.archive import places
from controller.recovery.archive.manifest import trailer
from controller.recovery.archive.read import objects, read_manifest, verify
from controller.recovery.archive.write import file_sha256
from tests.unit.archives import archive, item

JOBS = [item(f"job-{n}", status={"phase": "Queued"}) for n in range(200)]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "whole"
    archive(path, {"JobQueue": [item("q")], "BatchJob": JOBS})
    return path


def test_what_went_in_comes_out(whole: Path) -> None:
    """7.10: every object with its status, in its order, without who wrote which field."""
    manifest = verify(whole)
    assert manifest.counts == (("JobQueue", 1), ("BatchJob", 200))
    found = list(objects(whole))
    assert [each["metadata"]["name"] for kind, each in found if kind == "BatchJob"] == [f"job-{n}" for n in range(200)]
    assert found[1][1]["status"] == {"phase": "Queued"}
    assert all("managedFields" not in each["metadata"] for _, each in found)


def test_every_flipped_byte_is_found(whole: Path, tmp_path: Path) -> None:
    """7.10: at every position of the file, its first and last bytes too."""
    data = whole.read_bytes()
    bad = tmp_path / "bad"
    for at in range(0, len(data), 7) if len(data) > 2000 else range(len(data)):
        bad.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(Terminal):
            verify(bad)
    bad.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Terminal, match="bad"):
        verify(bad)


def test_every_truncation_is_found(whole: Path, tmp_path: Path) -> None:
    """7.10: also one that costs only the last bytes; and something appended."""
    data = whole.read_bytes()
    bad = tmp_path / "bad"
    for length in (0, 1, 10, len(data) // 2, len(data) - 5, len(data) - 1):
        bad.write_bytes(data[:length])
        with pytest.raises(Terminal):
            verify(bad)
    bad.write_bytes(data + b"x")
    with pytest.raises(Terminal, match="changed or cut off"):
        verify(bad)


def test_a_newer_format_is_refused_before_anything_else(tmp_path: Path) -> None:
    """7.10: the message says who wrote it and what to do; what is unknown in its manifest does not matter."""
    path = tmp_path / "newer"
    archive(path, {"BatchJob": JOBS}, format=2, controller="9.9")
    for call in (verify, read_manifest):
        with pytest.raises(Terminal, match=r"format 2.*9\.9.*up to 1.*newer one") as error:
            call(path)
        assert error.value.reason == "NewerFormat"


def repack(source: Path, target: Path, change: dict[str, bytes], extra: dict[str, bytes] | None = None) -> None:
    """Write the archive anew, as somebody could who computes the frame's checksum too."""
    plain = zstandard.ZstdDecompressor().stream_reader(source.read_bytes()).readall()
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(plain)) as old, tarfile.open(fileobj=packed, mode="w") as new:
        for member in old.getmembers():
            body = change.get(member.name, old.extractfile(member).read())  # type: ignore[union-attr]
            member.size = len(body)
            new.addfile(member, io.BytesIO(body))
        for name, body in (extra or {}).items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            new.addfile(info, io.BytesIO(body))
    data = zstandard.compress(packed.getvalue())
    target.write_bytes(data + trailer(hashlib.sha256(data).digest()))


def test_parts_are_compared_with_the_manifest(whole: Path, tmp_path: Path) -> None:
    """7.10: the sha256 of each part decides, whatever else was made to fit; nothing is smuggled in."""
    bad = tmp_path / "bad"
    queue = next(json.dumps(each, separators=(",", ":")).encode() + b"\n" for _, each in objects(whole))
    repack(whole, bad, {"objects/JobQueue.jsonl": queue.replace(b'"q"', b'"r"')})
    with pytest.raises(Terminal, match=r"checksum of its part objects/JobQueue\.jsonl"):
        verify(bad)
    repack(whole, bad, {}, {"objects/Secret.jsonl": b"{}\n"})
    with pytest.raises(Terminal, match="more parts"):
        verify(bad)
    repack(whole, bad, {"manifest.json": b"{}"})
    with pytest.raises(Terminal, match="manifest is wrong at format"):
        verify(bad)


def test_something_else_is_no_archive(tmp_path: Path) -> None:
    """7.10: one message, no trace."""
    path = tmp_path / "x"
    path.write_bytes(b"hello")
    with pytest.raises(Terminal, match="cannot be decompressed"):
        verify(path)
    with pytest.raises(Terminal, match="no archive"):
        places.fetch(str(tmp_path / "absent"), tmp_path)


@pytest.fixture(params=["local", "file", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    names = {"local": f"{tmp_path}/deep/er/a", "file": f"file://{tmp_path}/b", "memory": f"memory://{uuid4().hex}/a/b"}
    yield names[request.param]
    fsspec.filesystem("memory").store.clear()


def sha256_at(address: str) -> str | None:
    system, path = url_to_fs(address)
    return hashlib.sha256(system.cat_file(path)).hexdigest() if system.exists(path) else None


def test_put_fetch_remove_at_any_address(whole: Path, tmp_path: Path, address: str) -> None:
    """7.10: through fsspec; putting twice leaves one, removing twice is no error, nothing temporary is left."""
    for _ in range(2):
        places.put(whole, file_sha256(whole), address)
    assert sha256_at(address) == file_sha256(whole)
    (tmp_path / "down").mkdir()
    assert verify(places.fetch(address, tmp_path / "down"), address).counts[1] == ("BatchJob", 200)
    system, path = url_to_fs(address)
    assert not [name for name in system.find(path.rpartition("/")[0]) if ".tmp." in name]
    for _ in range(2):
        places.remove(address)
    assert sha256_at(address) is None


def test_what_a_killed_controller_left_of_an_archive_goes_with_the_next_try(whole: Path, address: str) -> None:
    """7.6, 7.10: an unfinished copy of this archive; another one's is left alone."""
    system, path = url_to_fs(address)
    own, other = f"{path}.tmp.0123456789abcdef", f"{path}2.tmp.0123456789abcdef"
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    for left in (own, other):
        system.pipe_file(left, b"half")
    places.put(whole, file_sha256(whole), address)
    assert system.exists(path) and system.exists(other) and not system.exists(own)


def test_what_arrives_damaged_never_gets_the_name(whole: Path) -> None:
    """7.10: compared before the final name is given."""
    where = f"memory://{uuid4().hex}/a"
    with pytest.raises(Transient, match="not what was sent"):
        places.put(whole, "0" * 64, where)
    assert sha256_at(where) is None


@pytest.mark.parametrize("bad", ["nosuchthing://x/y", "simplecache::memory://x"])
def test_bad_addresses(bad: str, tmp_path: Path) -> None:
    """7.10: said in one sentence."""
    with pytest.raises(Terminal) as error:
        places.fetch(bad, tmp_path)
    assert error.value.reason == "BadAddress"
