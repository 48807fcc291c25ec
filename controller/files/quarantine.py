"""Where what is damaged goes: `$HOLDFAST_HOME/quarantine/<name>.<time>`, with `<name>.<time>.reason` beside it (7.5).

Promises: nothing is overwritten, and the reason is durable before the thing is moved. Whether something is damaged, and
whether it may be moved at all, is decided by who reads it. A person looks, and removes it; what nobody removes is kept
within BOUNDS, the oldest goes first, the newest of its kind never. Only the standard library may be imported here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.errors import Failure, Several
from controller.files.atomic import fsync_directory, write_atomic
from controller.files.trees import remove_tree
from controller.files.usage import disk_usage

DIRECTORY = "quarantine"
REASON = ".reason"
_DANGLING_SECONDS = 600.0


COLLECTIONS = ("runs", "operations", "results")  # directories whose entries are all of one kind


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: so many things, bytes of disk, and for so long. Whichever is reached first counts."""

    count: int = 200
    bytes: int = 1024**3
    seconds: float = 90 * 86400.0


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Aside:
    """Something that was set aside. `since`: seconds since the epoch."""

    path: Path
    reason: str
    since: float

    @property
    def kind(self) -> str:
        """What it is one of: a state file by its name, an entry of a collection by that."""
        was = Path(self.reason.partition(": ")[0])
        return was.parent.name if was.parent.name in COLLECTIONS else was.name


def set_aside(home: str | os.PathLike[str], path: str | os.PathLike[str], reason: str) -> Path | None:
    """Move a damaged file or directory out of the way, by one rename on the same file system.

    Args:
        home: the state directory.
        reason: one sentence for a person.

    Returns:
        Where it is now; None where somebody else took it first.

    Raises:
        OSError: it stays where it was.
    """
    target = _reasoned(Path(home), Path(path), reason)
    try:
        Path(path).rename(target)
    except FileNotFoundError:
        Path(f"{target}{REASON}").unlink(missing_ok=True)
        return None
    fsync_directory(str(target.parent))
    fsync_directory(str(Path(path).parent))
    return target


def keep_copy(home: str | os.PathLike[str], path: str | os.PathLike[str], reason: str) -> Path | None:
    """Keep a copy of a damaged file that has to stay in its place until it is rewritten; arguments as above."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return None
    target = _reasoned(Path(home), Path(path), reason)
    write_atomic(target, data)
    return target


def entries(home: str | os.PathLike[str]) -> Iterator[Aside]:
    """What is there, oldest first; nothing where there is no such directory. Raises OSError."""
    directory = Path(home) / DIRECTORY
    try:
        reasons = sorted(path for path in directory.iterdir() if path.name.endswith(REASON))
    except FileNotFoundError:
        return
    for reason in sorted(reasons, key=lambda path: path.stat().st_mtime):
        target = reason.with_name(reason.name.removesuffix(REASON))
        if os.path.lexists(target):
            yield Aside(target, reason.read_text(errors="replace").strip(), reason.stat().st_mtime)


def keep_within(
    home: str | os.PathLike[str], now: float, bounds: Bounds = BOUNDS
) -> tuple[list[Aside], Failure | None]:
    """Remove what is too old or too much, the oldest first; the newest of each kind stays.

    The reason goes last, so that what a crash interrupts is found and gone on with.

    Args:
        now: seconds since the epoch.

    Returns:
        What was removed, and why something was not, None: all went. What stays counts, so that others go in its place.

    Raises:
        OSError: it could not be read what is there.
    """
    several = Several()
    there = list(entries(home))
    newest = {each.kind: each for each in there}.values()  # of each kind the last one
    sizes = {each.path: disk_usage(str(each.path)) for each in there}
    count, total, removed = len(there), sum(sizes.values()), []
    for each in there:
        if count <= bounds.count and total <= bounds.bytes and now - each.since <= bounds.seconds:
            break
        if each in newest:
            continue
        with several.kept():
            remove_tree(each.path)
            Path(f"{each.path}{REASON}").unlink(missing_ok=True)
            count, total = count - 1, total - sizes[each.path]
            removed.append(each)
    return removed, several.error


def remove_dangling(home: str | os.PathLike[str], now: float) -> list[str]:
    """Remove reasons whose thing was never moved, because the mover was killed in between. Raises OSError."""
    removed, several = [], Several()
    directory = Path(home) / DIRECTORY
    for reason in directory.iterdir() if directory.is_dir() else ():
        alone = reason.name.endswith(REASON) and not os.path.lexists(str(reason).removesuffix(REASON))
        with several.kept():
            if alone and now - reason.stat().st_mtime > _DANGLING_SECONDS:
                reason.unlink(missing_ok=True)
                removed.append(str(reason))
    several.raise_all()
    return removed


def _reasoned(home: Path, path: Path, reason: str) -> Path:
    directory = home / DIRECTORY
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = directory / f"{path.name}.{time.time_ns()}"
    write_atomic(f"{target}{REASON}", f"{path}: {reason}\n".encode("utf-8", "replace"))
    return target
