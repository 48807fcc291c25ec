"""What a killed git leaves in a mirror: lock files, temporary packs and objects, quarantines of pushes.

A lock file that a live push holds looks the same as a left one, and git has it closed. But whoever changes a repository
runs in it: while any process has its working directory there, nothing is removed; what is younger than the look at the
processes belongs to one that began after it. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

_TOP_LOCKS = ("packed-refs.lock", "packed-refs.new", "HEAD.lock", "config.lock", "shallow.lock")
_TEMP_PREFIXES = ("tmp_", "incoming-", "tmp_objdir-", ".tmp-")
_MARGIN_SECONDS = 2.0


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
    before = time.time() - _MARGIN_SECONDS
    real = Path(os.path.realpath(mirror))
    left = [path for path in _leftovers(real) if _is_older(path, before)]
    if not left or processes_in(real):
        return []
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return [str(path.relative_to(real)) for path in left]


def _leftovers(mirror: Path) -> list[Path]:
    found = [mirror / name for name in _TOP_LOCKS]
    for directory, _, names in os.walk(mirror / "refs"):
        found += [Path(directory, name) for name in names if name.endswith(".lock")]
    for directory, folders, names in os.walk(mirror / "objects"):
        entries = [name for name in (*folders, *names) if name.startswith(_TEMP_PREFIXES)]
        found += [Path(directory, name) for name in entries]
        folders[:] = [name for name in folders if name not in entries]
    return found


def _is_older(path: Path, moment: float) -> bool:
    """By the time of the newest entry for a directory: a quarantine lives as long as its push writes into it."""
    try:
        times = [path.lstat().st_mtime]
        for directory, folders, names in os.walk(path):
            times += [os.lstat(os.path.join(directory, name)).st_mtime for name in (*folders, *names)]
    except FileNotFoundError:
        return False
    return max(times) < moment
