"""What all operations on a mirror share: its lock, its configuration, its figures. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from controller.files.atomic import write_atomic
from controller.files.trees import walk
from controller.repositories import refs
from controller.repositories.facts import Damaged, MirrorFacts, read_mirror
from controller.repositories.fence import install_hook
from controller.repositories.operations.failures import Failed
from controller.repositories.operations.git import Git
from controller.repositories.places import LOCK, MIRROR, SUSPECT
from controller.repositories.results import Reason

_LOCK_POLL_SECONDS = 0.1
FETCH_HEADS = f"+refs/heads/*:{refs.UPSTREAM}*"
FETCH_TAGS = f"+{refs.TAGS}*:{refs.TAGS}*"
_CONFIG = {
    "gc.auto": "0",  # workspaces borrow objects: nothing is ever pruned behind their back
    "maintenance.auto": "false",
    "receive.autogc": "false",
    "receive.denyNonFastForwards": "true",  # what a job pushed is not lost to the next push
    "receive.denyDeletes": "true",
    "core.fsync": "all",
}


@contextlib.contextmanager
def locked(repository: Path, limit_seconds: float, *, alone: bool) -> Iterator[None]:
    """Hold the repository's operation lock: alone to make, repair or replace the mirror, else together with others.

    A slow remote or a long command holds up nobody: fetches share it, and a preparation lets go of it for its command.
    Whoever is killed lets go of it, so it says nothing about what was left behind.

    Args:
        limit_seconds: for this long the others are waited for (`Order.lock_seconds`).

    Raises:
        Failed: another operation held it for too long.
    """
    repository.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(repository / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    end = time.monotonic() + limit_seconds
    try:
        while True:
            try:
                fcntl.flock(fd, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise Failed(Reason.BUSY, f"another operation works on {repository}") from error
                time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(fd)


def sound_mirror(repository: Path, url: str = "") -> tuple[Path, MirrorFacts]:
    """The mirror, with its facts and its hook in place.

    Args:
        url: what it has to be a mirror of; "" where that does not matter.

    Raises:
        Failed: there is none, or it is of another remote.
    """
    mirror = repository / MIRROR
    try:
        facts = read_mirror(mirror)
    except Damaged as error:
        raise Failed(Reason.CORRUPT, str(error)) from error
    if facts is None:
        raise Failed(Reason.NO_MIRROR, f"{mirror} is not there: clone it first")
    if url and facts.url != url:
        raise Failed(Reason.OTHER_REMOTE, f"{mirror} is a mirror of {facts.url}, not of {url}: remove it first")
    install_hook(mirror)
    return mirror, facts


def suspect(repository: Path) -> None:
    """Have the mirror verified, each object of it, before anything else uses it; raises OSError."""
    if (repository / MIRROR).exists():
        write_atomic(repository / SUSPECT, b"")


def is_suspect(repository: Path) -> bool:
    """Whether an operation found the mirror damaged since it was last verified."""
    return (repository / SUSPECT).exists()


def clear_suspicion(repository: Path) -> None:
    """It was verified, or set aside; raises OSError."""
    (repository / SUSPECT).unlink(missing_ok=True)


def configure(git: Git, url: str, hooks: Path) -> None:
    """Write the mirror's configuration.

    Args:
        git: in the mirror.
        hooks: where the hooks will be once it is in place: no configuration of a job's own may lead around them.
    """
    settings = {**_CONFIG, "core.hooksPath": str(hooks), "remote.origin.url": url}
    for name, value in settings.items():
        git.run("config", "--local", name, value)
    for refspec in (FETCH_HEADS, FETCH_TAGS):
        git.run("config", "--local", "--add", "remote.origin.fetch", refspec)


def branch_commit(mirror: Path, branch: str) -> str:
    """Commit that jobs get for a branch, "" where there is none."""
    return refs.read_ref(mirror, branch) or ""


def size_of(directory: Path) -> int:
    """Bytes of all files below; what vanishes meanwhile counts nothing."""
    total = 0
    for _, entry in walk(directory):
        if not entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat(follow_symlinks=False).st_size
    return total
