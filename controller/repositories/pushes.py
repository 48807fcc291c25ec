"""Which branches a push may still change although its token is refused by now (5.5). Reads files and /proc only.

git holds `<ref>.lock` from before the hook is asked until the ref has changed. A git that is killed leaves the file, so
the file alone proves no push: whoever changes a repository runs in it, and what was there before a look at all
processes that found none working in it belongs to nobody. No process is remembered, so none is mistaken for another.
Only the standard library may be imported here.
"""

from __future__ import annotations

import os
from pathlib import Path

from controller.repositories.fence import locked_refs
from controller.repositories.operations.stale import processes_in
from controller.repositories.refs import HEADS


def branches_in_flight(mirror: Path) -> list[str]:
    """Branches that are locked, by a push that works in the mirror or by another user, whose processes are not seen.

    Once the fence is closed to a holder, its branches are safe when they are not listed here. Raises OSError.
    """
    real = Path(os.path.realpath(mirror))
    locked = locked_refs(real)
    if not locked or processes_in(real):
        return locked
    return [branch for branch in locked if _of_another_user(real / f"{HEADS}{branch}.lock")]


def _of_another_user(path: Path) -> bool:
    """False also where it is gone: that push is over."""
    try:
        return path.lstat().st_uid != os.geteuid()
    except FileNotFoundError:
        return False
