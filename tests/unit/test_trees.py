"""Trees of jobs are measured and removed, whatever is in them (requirements 7.3, 7.5, 7.6)."""

from __future__ import annotations

import os
import resource
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.files.trees import remove_tree, walk
from controller.files.usage import disk_usage
from tests.unprivileged import as_nobody

DEEP = sys.getrecursionlimit() + 500
STEP = "below"  # so often that it is longer than PATH_MAX


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach and write in."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    yield path
    remove_tree(path)


def make_deep(top: Path, depth: int = DEEP) -> None:
    """Nested directories with a file in the lowest."""
    top.mkdir(parents=True, exist_ok=True)
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(STEP, dir_fd=fd)
        below = os.open(STEP, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def with_few_descriptors(act: Callable[[], object]) -> None:
    """Call it where only 64 more can be opened."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 64, before[1]))
    try:
        act()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_deep_tree_is_removed(place: Path) -> None:
    """7.3, 7.6: deeper than Python recurses, longer than a path may be, with few descriptors."""
    make_deep(place / "tree")
    make_deep(place / "tree" / "other")
    with_few_descriptors(lambda: remove_tree(place / "tree"))
    assert list(place.iterdir()) == []


def test_a_deep_tree_is_measured(place: Path) -> None:
    """7.6: all of it counts, as deep as it is."""
    make_deep(place / "tree")
    sizes: list[int] = []
    with_few_descriptors(lambda: sizes.append(disk_usage(str(place / "tree"))))
    block = (place / "tree").stat().st_blocks * 512
    assert sizes == [block * (DEEP + 1)]
    remove_tree(place / "tree")


def test_what_is_measured(place: Path) -> None:
    """7.6: blocks of the top, of directories, files and links themselves; "" and what is gone take nothing."""
    (place / "tree" / "below").mkdir(parents=True)
    (place / "tree" / "below" / "file").write_bytes(b"x" * 100_000)
    (place / "outside").write_bytes(b"x" * 1_000_000)
    (place / "tree" / "link").symlink_to(place / "outside")
    paths = ("tree", "tree/below", "tree/below/file", "tree/link")
    assert disk_usage(str(place / "tree")) == sum((place / path).lstat().st_blocks * 512 for path in paths)
    assert disk_usage(str(place / "outside")) == (place / "outside").stat().st_blocks * 512
    assert disk_usage("") == disk_usage(str(place / "gone")) == disk_usage(str(place / "gone" / "too")) == 0


@pytest.mark.parametrize("top", [True, False])
def test_links_are_not_followed(place: Path, top: bool) -> None:
    """7.6: a job's link out of its tree leads nowhere."""
    (place / "outside").mkdir()
    (place / "outside" / "file").write_text("kept")
    link = place / "tree" if top else place / "tree" / "link"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(place / "outside")
    assert [entry.name for _, entry in walk(place / "tree")] == ([] if top else ["link"])
    remove_tree(place / "tree")
    assert [path.name for path in place.iterdir()] == ["outside"]
    assert (place / "outside" / "file").read_text() == "kept"


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o333, 0o444, 0o555, 0o666])
def test_directories_that_may_not_be_written(place: Path, mode: int) -> None:
    """7.6: `go build` leaves its module cache at 0555; what may not be read or searched goes too."""

    def act() -> None:
        for path in ("tree/home/go/pkg", "tree/tmp/a"):
            (place / path).mkdir(parents=True)
            (place / path / "file").write_text("")
        for path in ("tree/home/go/pkg", "tree/home/go", "tree"):
            (place / path).chmod(mode)
        remove_tree(place / "tree")

    as_nobody(act)
    assert list(place.iterdir()) == []


def test_nothing_outside_of_the_tree_is_made_writable(place: Path) -> None:
    """7.6: neither the directory that holds the tree nor what a link names; the error has the path."""
    place.chmod(0o777)

    def act() -> None:
        (place / "holds" / "tree" / "below").mkdir(parents=True)
        (place / "outside").mkdir()
        (place / "outside").chmod(0o500)
        (place / "holds" / "tree" / "link").symlink_to(place / "outside")
        (place / "holds").chmod(0o555)
        with pytest.raises(PermissionError) as caught:
            remove_tree(place / "holds" / "tree")
        assert caught.value.filename == str(place / "holds" / "tree")

    as_nobody(act)
    assert list((place / "holds" / "tree").iterdir()) == []
    assert stat.S_IMODE((place / "holds").stat().st_mode) == 0o555
    assert stat.S_IMODE((place / "outside").stat().st_mode) == 0o500


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
@pytest.mark.parametrize("mode", [0o700, 0o744, 0o755])
def test_the_rest_goes_where_a_part_cannot(place: Path, mode: int) -> None:
    """7.6: one directory that is somebody else's keeps itself and the way to it, nothing more; it is named."""
    make_deep(place / "tree" / "a", 50)
    make_deep(place / "tree" / "c", 50)
    kept = place / "tree" / "a" / Path(*[STEP] * 40) / "kept"
    (kept / "in it").mkdir(parents=True)
    kept.chmod(mode)
    for path in [place / "tree", *(place / "tree").rglob("*")]:
        if path != kept:
            os.chown(path, 65534, 65534)

    def act() -> None:
        seen = [entry.name for _, entry in walk(place / "tree")]
        assert seen.count(STEP) == 100 and seen.count("file") == 2 and seen.count("in it") == (mode != 0o700)
        with pytest.raises(PermissionError) as caught:
            remove_tree(place / "tree")
        assert str(place / "tree" / "a" / STEP) in str(caught.value.filename)

    as_nobody(act)
    assert sorted(path.name for path in (place / "tree").iterdir()) == ["a"]
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]
    assert (kept / "in it").is_dir()


@pytest.mark.parametrize("kind", ["file", "pipe", "dangling", "missing", "nowhere"])
def test_what_is_no_directory(place: Path, kind: str) -> None:
    """7.6: it is removed as well; what is gone is no error."""
    path = place / "it"
    match kind:
        case "file":
            path.write_text("")
        case "pipe":
            os.mkfifo(path)
        case "dangling":
            path.symlink_to("gone")
        case "nowhere":
            path = path / "below"
    remove_tree(path)
    assert list(place.iterdir()) == []


def test_a_directory_that_is_moved_meanwhile(place: Path) -> None:
    """7.6: the way back is not `..` then; what is in its place is gone through, and nothing else."""
    make_deep(place / "tree" / "a", 60)
    (place / "tree" / "b").mkdir()
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "file").write_text("")
    seen = []
    for names, entry in walk(place / "tree"):
        seen.append(entry.name)
        if entry.name == "file":
            deepest = Path(*names[1:])
            assert len(deepest.parts) == 61
            (place / "tree" / Path(*deepest.parts[:20])).rename(place / "elsewhere" / "moved")
            (place / "tree" / Path(*deepest.parts[:10]) / "new").mkdir()
    assert sorted(set(seen)) == ["a", "b", STEP, "file"] and seen.count("file") == 1
