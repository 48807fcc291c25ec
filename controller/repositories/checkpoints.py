"""What the attempts of a job on this host go on with when one is lost, beside a checkout (requirement 3.5).

    checkpoints/<job uid>.<origin>/saved    HOLDFAST_CHECKPOINT_DIR
                                   work     working directory of a job that has no other

Promises: a directory of that name is whole, since it was put in place by one rename; `origin` is the number of the
attempt that began it. All of it is blocking file work, to be called in a thread.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from controller.files.atomic import fsync_directory
from controller.repositories.names import BadName, check_attempt
from controller.repositories.places import Places
from controller.repositories.trees import making, remove

SAVED, WORK = "saved", "work"


@dataclass(frozen=True, slots=True)
class Kept:
    """One of them; `used_at`: when an entry of its checkpoints was last made or removed, in seconds since the epoch."""

    name: str
    path: Path
    used_at: float


def saved(places: Places, attempt: str) -> Path:
    """HOLDFAST_CHECKPOINT_DIR of the attempts that go on with what `attempt` began; raises BadName."""
    return places.checkpoint(attempt) / SAVED


def work(places: Places, attempt: str) -> Path:
    """Their working directory where the job names none and has no repository; raises BadName."""
    return places.checkpoint(attempt) / WORK


def make(places: Places, attempt: str) -> None:
    """Make an empty one; nothing to do where it is there. Raises BadName, OSError."""
    target = places.checkpoint(attempt)
    if is_directory(target):
        return
    with making(target.parent, attempt, attempt) as directory:
        for part in (SAVED, WORK):
            (directory / part).mkdir(mode=0o700)
        fsync_directory(str(directory))
        try:
            os.rename(directory, target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # it is never empty: somebody else has made it
                raise
    fsync_directory(str(target.parent))


def is_directory(path: Path) -> bool:
    """Whether it is there; raises OSError where that cannot be told."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def list_checkpoints(places: Places) -> list[Kept]:
    """All that are in place; raises OSError."""
    try:
        names = sorted(os.listdir(places.checkpoints))
    except FileNotFoundError:
        return []
    return [_kept(places, name) for name in names if _is_attempt(name)]


def remove_checkpoints(places: Places, attempt: str) -> None:
    """Remove one; nothing to do where it is gone. Raises BadName, OSError."""
    remove(places.checkpoint(attempt))


def _kept(places: Places, name: str) -> Kept:
    try:
        used_at = saved(places, name).stat().st_mtime
    except FileNotFoundError:
        used_at = 0.0
    return Kept(name, places.checkpoint(name), used_at)


def _is_attempt(name: str) -> bool:
    try:
        return bool(check_attempt(name, "attempt"))
    except BadName:
        return False
