"""verify: after a stop that was not clean, remove what was left behind and see whether the mirror is whole (5.2).

Usually by what refers to what, which does not read the files' content (git-fsck(1)); after an operation found the
mirror damaged every object is read. A mirror that is not whole is set aside by a rename, so that nothing uses it any
more; `clone` makes a new one and brings over what jobs had pushed. Standard library only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from controller.files.atomic import fsync_directory
from controller.repositories import refs
from controller.repositories.facts import Damaged, read_mirror
from controller.repositories.operations import git as calls
from controller.repositories.operations.failures import Failed
from controller.repositories.operations.git import Git
from controller.repositories.operations.mirror import (
    branch_commit,
    clear_suspicion,
    is_suspect,
    locked,
    size_of,
    sound_mirror,
)
from controller.repositories.operations.outcome import Outcome
from controller.repositories.operations.stale import remove_stale
from controller.repositories.orders import Verify
from controller.repositories.places import CORRUPT, MIRROR
from controller.repositories.results import Reason
from controller.repositories.trees import remove_made

LOOKS = 5  # at a mirror in which jobs push
_MACHINE_TROUBLE = re.compile(r"No space left|Cannot allocate memory|Too many open files|Input/output error")


def verify(order: Verify) -> Outcome:
    """Clean and look; of a corrupt mirror the outcome is Corrupt, with the place where it is now.

    Raises:
        Failed, OSError: it could not be looked at; it stays in place.
    """
    repository = Path(order.repository)
    with locked(repository, order.lock_seconds, alone=True):
        remove_made(repository, "mirror")
        mirror = repository / MIRROR
        if not mirror.exists():
            raise Failed(Reason.NO_MIRROR, f"{mirror} is not there: clone it first")
        removed = remove_stale(mirror)
        trouble = _lasting_trouble(mirror, whole=is_suspect(repository))
        if trouble:
            aside = _set_aside(mirror)
            clear_suspicion(repository)
            return Outcome(Reason.CORRUPT, f"{trouble}; set aside as {aside.name}", set_aside=str(aside))
        mirror, facts = sound_mirror(repository)
        calls.local(mirror).run("pack-refs", "--all")
        clear_suspicion(repository)
        return Outcome(
            message=f"removed {', '.join(removed)}" if removed else "",
            commit=branch_commit(mirror, order.branch),
            size_bytes=size_of(mirror),
            object_format=facts.object_format,
            default_branch=facts.default_branch,
        )


def _lasting_trouble(mirror: Path, *, whole: bool) -> str:
    """As `_trouble`, believed only where no ref has changed meanwhile.

    Jobs push while it is looked at. fsck lists the objects first and reads the refs later, so what a push brought in
    between is missing for it.

    Raises:
        Failed: somebody pushed each time, and something seemed wrong each time.
    """
    trouble = ""
    for _ in range(LOOKS):
        before = _all_refs(mirror)
        trouble = _trouble(mirror, whole=whole)
        if not trouble or _all_refs(mirror) == before:
            return trouble
    raise Failed(Reason.BUSY, f"jobs pushed each of the {LOOKS} times that it was looked at; the last time: {trouble}")


def _all_refs(mirror: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for prefix in (refs.HEADS, refs.UPSTREAM, refs.TAGS):
        found |= {prefix + name: commit for name, commit in refs.list_refs(mirror, prefix).items()}
    return found


def _trouble(mirror: Path, *, whole: bool) -> str:
    """What is wrong with the mirror, "" where nothing is; `whole`: by reading every object."""
    try:
        if read_mirror(mirror) is None:
            return "it has no mirror.json"
    except Damaged as error:
        return str(error)
    git = calls.local(mirror)
    broken = _mend_upstream(git)
    how = "--full" if whole else "--connectivity-only"
    status, output, errors = git.call("fsck", how, "--no-dangling", "--no-progress")
    if status == 0:
        return broken
    if _MACHINE_TROUBLE.search(errors):
        raise Failed(Reason.STATE_DIRECTORY_FAILED, f"git fsck: {errors.strip()[-300:]}")
    lines = [line for line in (errors + output).splitlines() if line.strip() and not line.startswith("notice:")]
    return f"git fsck: {'; '.join(lines[:3])}"[:600]


def _mend_upstream(git: Git) -> str:
    """Ref files that a power cut left without an id: the remote's come back by the next fetch, a job's do not."""
    for prefix in (refs.UPSTREAM, refs.TAGS, refs.HEADS):
        known = refs.list_refs(git.directory, prefix)
        for name in refs.ref_files(git.directory, prefix):
            path = git.directory / prefix / name
            if name.endswith(".lock") or (name in known and path.stat().st_size > 0):
                continue
            if prefix == refs.HEADS:
                return f"{prefix}{name} is empty"
            path.unlink()
    return ""


def _set_aside(mirror: Path) -> Path:
    numbers = [int(name[len(CORRUPT) :]) for name in os.listdir(mirror.parent) if re.fullmatch(r"\.corrupt\.\d+", name)]
    aside = mirror.parent / f"{CORRUPT}{max(numbers, default=0) + 1}"
    os.rename(mirror, aside)
    fsync_directory(str(mirror.parent))
    return aside
