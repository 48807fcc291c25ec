"""What a killed git leaves in a mirror: lock files, temporary packs and objects, quarantines of pushes.

A lock file that a live push holds looks the same as a left one, and git has it closed. But whoever changes a repository
runs in it: what was there before a look at all processes that found none working in the mirror belongs to nobody.
Standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

from controller.files.trees import remove_tree, walk

_TOP_LOCKS = ("index.lock", "packed-refs.lock", "packed-refs.new", "HEAD.lock", "config.lock", "shallow.lock")
_TEMP_PREFIXES = ("tmp_", "incoming-", "tmp_objdir-", ".tmp-")


def processes_in(mirror: Path) -> list[int]:
    """Processes other than this one whose working directory is in the mirror; those of other users are not seen."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            cwd = os.readlink(f"/proc/{name}/cwd")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if cwd == str(mirror) or cwd.startswith(f"{mirror}/"):
            found.append(int(name))
    return found


def remove_stale(mirror: Path) -> list[str]:
    """Remove what nobody works on any more.

    Returns:
        The removed paths, relative to the mirror; none where somebody works in it.

    Raises:
        OSError: something could not be removed.
    """
    real = Path(os.path.realpath(mirror))
    left = {path: _stamp(path) for path in _leftovers(real)}
    left = {path: stamp for path, stamp in left.items() if stamp}
    if not left or processes_in(real):
        return []
    removed = []
    for path, stamp in left.items():
        if _stamp(path) != stamp:
            continue  # made anew by somebody who came after the look
        remove_tree(path)
        removed.append(str(path.relative_to(real)))
    return removed


def _leftovers(mirror: Path) -> list[Path]:
    found = [mirror / name for name in _TOP_LOCKS]
    for names, entry in walk(mirror / "refs"):
        if entry.name.endswith(".lock") and not entry.is_dir(follow_symlinks=False):
            found.append(Path(mirror, *names, entry.name))
    for names, entry in walk(mirror / "objects"):
        if entry.name.startswith(_TEMP_PREFIXES) and not any(name.startswith(_TEMP_PREFIXES) for name in names):
            found.append(Path(mirror, *names, entry.name))
    return found


def _stamp(path: Path) -> frozenset[tuple[int, int]]:
    """Inode and mtime of all that is there; empty where nothing is."""
    try:
        seen = [path.lstat(), *(entry.stat(follow_symlinks=False) for _, entry in walk(path))]
    except FileNotFoundError:
        return frozenset()
    return frozenset((entry.st_ino, entry.st_mtime_ns) for entry in seen)
