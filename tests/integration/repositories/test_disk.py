"""A full disk under every operation: told as such, nothing half-made in use, all well once there is room (5.2, 8.3)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.repositories import fence, requests
from controller.repositories.places import Places, base_key
from controller.repositories.results import Reason
from tests.disks import small_disk
from tests.integration.repositories.homes import Home, git

MIB = 1024**2
ROOM = 24 * MIB
BIG = 6 * MIB
COMMAND = ["sh", "-c", "head -c 6000000 /dev/urandom >built"]


@pytest.fixture
def small(home: Home, tmp_path: Path) -> Iterator[Home]:
    """The state directory is a file system of its own, 24 MiB; the remote holds a file of 6 MiB."""
    (home.upstream.work / "big").write_bytes(os.urandom(BIG))
    home.upstream.commit({})
    with small_disk(tmp_path / "small", str(ROOM)) as place:
        home.places = Places(place / "home")
        yield home


def fill(home: Home, leave: int) -> Path:
    """Use up the disk but for `leave` bytes."""
    ballast = home.places.home.parent / "ballast"
    state = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, state.f_bavail * state.f_frsize - leave))
    return ballast


@pytest.mark.parametrize("leave", [0, 64 * 1024, 2 * MIB])
def test_clone(small: Home, leave: int) -> None:
    """5.2: no mirror, no rest of one; the reason is told also where not even a result could be written."""
    ballast = fill(small, leave)
    result = small.perform(requests.clone, small.remote, "main")
    assert result.reason is Reason.DISK_FULL, (result, small.output)
    assert not small.mirror.exists() and small.half_made() == []
    ballast.unlink()
    small.clone()


@pytest.mark.parametrize("leave", [0, 64 * 1024, 2 * MIB])
def test_fetch(small: Home, leave: int) -> None:
    """5.2: the mirror stays sound and usable."""
    before = small.clone().commit
    (small.upstream.work / "more").write_bytes(os.urandom(BIG))
    after = small.upstream.commit({})
    ballast = fill(small, leave)
    result = small.perform(requests.fetch, small.remote, "main")
    assert result.reason is Reason.DISK_FULL, (result, small.output)
    ballast.unlink()
    assert small.perform(requests.verify, "main").commit == before
    assert small.fetch().commit == after
    assert not list((small.mirror / "objects" / "pack").glob("tmp_*"))


@pytest.mark.parametrize("leave", [0, 128 * 1024, 2 * MIB])
@pytest.mark.parametrize("prepared", [False, True])
def test_workspace(small: Home, leave: int, prepared: bool) -> None:
    """5.2: no workspace; the next try works."""
    commit = small.clone().commit
    key = base_key(commit, ["true"]) if prepared else ""
    if prepared:
        assert small.perform(requests.prepare, commit, key, ["true"]).succeeded
    ballast = fill(small, leave)
    result = small.perform(requests.workspace, "job.1", "main", key=key)
    assert result.reason is Reason.DISK_FULL, (result, small.output)
    assert not small.places.workspace("job.1").exists() and small.half_made() == []
    ballast.unlink()
    assert git(small.workspace(key=key), "status", "--porcelain").stdout == ""


@pytest.mark.parametrize("leave", [0, 2 * MIB])
def test_prepare(small: Home, leave: int) -> None:
    """5.2: no base."""
    commit = small.clone().commit
    ballast = fill(small, leave)
    key = base_key(commit, COMMAND)
    result = small.perform(requests.prepare, commit, key, COMMAND)
    assert result.reason is Reason.DISK_FULL, (result, small.output)
    assert not small.places.base("default", "shop", key).exists() and small.half_made() == []
    ballast.unlink()


def test_the_fence(small: Home) -> None:
    """8.3: the old fence stays, the error names the path."""
    small.clone()
    small.grant(1)
    ballast = fill(small, 0)
    with pytest.raises(OSError, match="No space left") as caught:
        small.grant(2)
    assert caught.value.filename == str(small.repository / "fence")
    assert fence.read_fence(small.repository).tokens == {1}
    ballast.unlink()
    small.grant(2)
