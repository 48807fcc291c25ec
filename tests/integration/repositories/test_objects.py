"""Objects of a mirror as the controller looks for them, against what git itself has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from controller.repositories.objects import has_object
from tests.integration.repositories.homes import Upstream, git

COMMITS = 40


@pytest.fixture(params=["sha1", "sha256"])
def upstream(request: pytest.FixtureRequest, tmp_path: Path) -> Upstream:
    """Some commits in packs, one of them in none."""
    made = Upstream.make(tmp_path, object_format=request.param)
    for number in range(COMMITS):
        made.commit({"file": f"{number}\n"})
        if number % 15 == 14:
            git(made.bare, "repack", "-q", "-d")
    return made


def test_every_object_is_found(upstream: Upstream) -> None:
    """5.1: loose or packed, first or last of its pack; a commit that was pushed just now is seen to be missing."""
    listed = git(upstream.bare, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").stdout.split()
    assert len(listed) == 3 * COMMITS
    assert len(list((upstream.bare / "objects" / "pack").glob("*.idx"))) == 2
    assert all(has_object(upstream.bare, name) for name in listed)


def test_what_is_not_there_is_not_found(upstream: Upstream) -> None:
    """5.1: neighbours of what is there, both ends of the range, ids of the other format."""
    for number in range(500):
        for digest in (hashlib.sha1, hashlib.sha256):
            assert not has_object(upstream.bare, digest(str(number).encode()).hexdigest())
    for end in ("0", "f"):
        assert not has_object(upstream.bare, end * 40) and not has_object(upstream.bare, end * 64)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xfftOc\x00\x00\x00\x02" + b"\x00" * 10, b"\xff" * 5000])
def test_damaged_index(upstream: Upstream, content: bytes) -> None:
    """7.5: what git cannot read either counts as nothing; the other packs are still read."""
    head, pack = upstream.head(), upstream.bare / "objects" / "pack"
    git(upstream.bare, "repack", "-q", "-d")
    (pack / "pack-0.idx").write_bytes(content)
    assert has_object(upstream.bare, head)
    assert not has_object(upstream.bare, "1" * len(head))
