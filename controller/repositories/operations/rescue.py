"""Pushes of jobs that are only in a mirror that was set aside: brought over where all their objects are sound (5.2).

Nothing of a job's push is silently lost: what cannot be saved stays where it is and is named. Standard library only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from controller.repositories import refs
from controller.repositories.operations.git import Git
from controller.repositories.places import CORRUPT
from controller.repositories.trees import remove


@dataclass(frozen=True, slots=True)
class Rescue:
    """What became of the branches that jobs had pushed.

    Args:
        saved: branches that the new mirror has.
        lost: branches whose objects are not sound, as `<directory>/<branch>`.
        done: mirrors that nothing is kept in any more.
    """

    saved: tuple[str, ...]
    lost: tuple[str, ...]
    done: tuple[Path, ...]

    def forget(self) -> None:
        """Remove the mirrors that were emptied, once the new one is in place; raises OSError."""
        for directory in self.done:
            remove(directory)


def rescue(repository: Path, git: Git) -> Rescue:
    """Bring over what jobs pushed into mirrors that were set aside.

    Args:
        repository: its directory.
        git: in the new mirror, which is not in place yet.

    Raises:
        Failed, OSError: the new mirror cannot be written.
    """
    saved: list[str] = []
    lost: list[str] = []
    done: list[Path] = []
    for name in sorted(os.listdir(repository)):
        if not name.startswith(CORRUPT):
            continue
        old = repository / name
        pushed = refs.list_refs(old, refs.HEADS) if (old / "HEAD").exists() else {}
        failed = [branch for branch, commit in pushed.items() if not _save(git, old, branch, commit)]
        saved += [branch for branch in pushed if branch not in failed]
        lost += [f"{name}/{branch}" for branch in failed]
        if not failed:
            done.append(old)
    if saved:
        git.run("pack-refs", "--all")
    return Rescue(tuple(sorted(set(saved))), tuple(lost), tuple(done))


def _save(git: Git, old: Path, branch: str, commit: str) -> bool:
    """Copy what `commit` needs beyond the new mirror; False where that is not whole."""
    borrowed = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(old / "objects")}
    # Not `--all`: before git 2.42 only object ids were understood here.
    known = {
        *refs.list_refs(git.directory, refs.UPSTREAM).values(),
        *refs.list_refs(git.directory, refs.HEADS).values(),
    }
    wanted = "\n".join([commit, *(f"^{one}" for one in sorted(known)), ""])
    if not _whole(git, wanted):
        packed, _, _ = git.call("pack-objects", "--quiet", "--revs", "objects/pack/pack", given=wanted, env=borrowed)
        if packed != 0 or not _whole(git, wanted):
            return False
    taken = refs.read_head(git.directory, branch)
    if taken is not None and taken != commit and not _contains(git, commit, taken):
        return _contains(git, taken, commit)
    git.run("update-ref", refs.HEADS + branch, commit)
    return True


def _whole(git: Git, wanted: str) -> bool:
    return git.call("rev-list", "--objects", "--quiet", "--stdin", given=wanted)[0] == 0


def _contains(git: Git, commit: str, other: str) -> bool:
    return git.call("merge-base", "--is-ancestor", other, commit)[0] == 0
