"""What a killed git leaves in a mirror: lock files, temporary packs and objects, quarantines of pushes.

A lock file that a live push holds looks the same as a left one, and git has it closed. But whoever changes a repository
runs in it: what was there before a look at all processes that found none working in the mirror belongs to nobody.
Standard library only.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

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
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        removed.append(str(path.relative_to(real)))
    return removed


def _leftovers(mirror: Path) -> list[Path]:
    found = [mirror / name for name in _TOP_LOCKS]
    for directory, _, names in os.walk(mirror / "refs"):
        found += [Path(directory, name) for name in names if name.endswith(".lock")]
    for directory, folders, names in os.walk(mirror / "objects"):
        entries = [name for name in (*folders, *names) if name.startswith(_TEMP_PREFIXES)]
        found += [Path(directory, name) for name in entries]
        folders[:] = [name for name in folders if name not in entries]
    return found


def _stamp(path: Path) -> frozenset[tuple[int, int]]:
    """Inode and mtime of all that is there; empty where nothing is."""
    try:
        seen = [path.lstat()]
        for directory, folders, names in os.walk(path):
            seen += [os.lstat(os.path.join(directory, name)) for name in (*folders, *names)]
    except FileNotFoundError:
        return frozenset()
    return frozenset((entry.st_ino, entry.st_mtime_ns) for entry in seen)
