"""Removing what nothing uses any more, in two steps that a crash can interrupt, and listing what is there (7.6).

All of it is blocking file work, to be called in a thread. Whether something may go is decided by the caller, from what
is recorded; here only names that were never in use, or are not any more, are judged.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.errors import Several
from controller.files.atomic import stale_temps
from controller.files.trees import remove_tree
from controller.repositories.facts import Damaged, WorkspaceFacts, read_workspace
from controller.repositories.names import BadName, check_attempt, check_key, check_label
from controller.repositories.places import BASES, CORRUPT, MAKING, REMOVING, Places
from controller.repositories.trees import remove

_OPERATION = re.compile(r"[^.]+\.[0-9]+$")


@dataclass(frozen=True, slots=True)
class Found:
    """A workspace or a base.

    Args:
        name: `<job uid>.<number>`, or a base's key.
        facts: None where they are missing or damaged.
        used_at: seconds since the epoch: when a base was put in place or last copied.
    """

    name: str
    path: Path
    facts: WorkspaceFacts | None
    used_at: float


def list_repositories(places: Places) -> list[tuple[str, str]]:
    """(namespace, name) of all directories of Repositories; raises OSError."""
    pairs = []
    for namespace in _names(places.repositories):
        for name in _names(places.repositories / namespace):
            with contextlib.suppress(BadName):
                pairs.append((check_label(namespace, "namespace"), check_label(name, "Repository")))
    return sorted(pairs)


def list_workspaces(places: Places) -> list[Found]:
    """All workspaces; raises OSError."""
    return [_found(places.workspaces / name, name) for name in _names(places.workspaces) if _is_attempt(name)]


def list_bases(places: Places, namespace: str, name: str) -> list[Found]:
    """All bases of one Repository; raises OSError."""
    directory = places.repository(namespace, name) / BASES
    return [_found(directory / key, key) for key in _names(directory) if _is_key(key)]


def list_set_aside(places: Places, namespace: str, name: str) -> list[Path]:
    """Corrupt mirrors that hold pushes of jobs which could not be saved, or wait for the next clone; raises OSError."""
    directory = places.repository(namespace, name)
    return sorted(directory / entry for entry in _names(directory, hidden=True) if entry.startswith(CORRUPT))


def list_results(places: Places) -> set[str]:
    """Operations that left a result; raises OSError."""
    return {name.removesuffix(".json") for name in _names(places.results) if _is_result(name)}


def remove_workspace(places: Places, attempt: str) -> None:
    """Remove a workspace; nothing to do where it is gone. Raises BadName, OSError."""
    remove(places.workspace(attempt))


def remove_base(places: Places, namespace: str, name: str, key: str) -> bool:
    """Remove a base; False where a workspace is being copied from it. Raises BadName, OSError."""
    path = places.base(namespace, name, key)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(path)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def remove_repository(places: Places, namespace: str, name: str) -> None:
    """Remove mirror, bases and fence of a Repository that is proved gone and that no workspace borrows from.

    Raises BadName, OSError.
    """
    remove(places.repository(namespace, name))


def remove_result(places: Places, operation: str) -> None:
    """Remove what an operation said, once it is recorded. Raises BadName, OSError."""
    places.result(operation).unlink(missing_ok=True)


def clean_leftovers(
    places: Places, live: Collection[str], *, now: float, older_than_seconds: float = 600
) -> list[Path]:
    """Finish interrupted removals and remove what killed operations left half-made.

    Args:
        live: operations that run, or of which it is not proved that they do not: what they make stays.
        now: wall clock in seconds since the epoch.
        older_than_seconds: age by mtime of what is removed.

    Returns:
        The removed paths.

    Raises:
        OSError: something could not be read or removed; all else is removed.
    """
    removed, several = [], Several()
    for path in leftovers(places, live, now=now, older_than_seconds=older_than_seconds):
        with several.kept():
            remove_tree(path)
            removed.append(path)
    several.raise_all()
    return removed


def leftovers(places: Places, live: Collection[str], *, now: float, older_than_seconds: float = 600) -> list[Path]:
    """What `clean_leftovers` would remove; arguments as there. Raises OSError."""
    found = []
    for path in _left(places):
        if path.name.startswith(MAKING) and (_operation_of(path.name) in live or _age(path, now) <= older_than_seconds):
            continue
        found.append(path)
    repositories = [places.repository(*name) for name in list_repositories(places)]
    for directory in (places.results, *repositories):
        if directory.exists():
            found += [Path(name) for name in stale_temps(directory, older_than_seconds, now=now)]
    return found


def _left(places: Places) -> Iterator[Path]:
    parents = [places.workspaces, places.checkpoints]
    for namespace in _names(places.repositories):
        parents.append(places.repositories / namespace)
        for name in _names(places.repositories / namespace):
            repository = places.repositories / namespace / name
            parents += [repository, repository / BASES]
    for parent in parents:
        yield from (parent / name for name in _names(parent, hidden=True) if name.startswith((MAKING, REMOVING)))


def _operation_of(name: str) -> str:
    found = _OPERATION.search(name)
    return found.group() if found else ""


def _age(path: Path, now: float) -> float:
    try:
        return now - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _found(path: Path, name: str) -> Found:
    try:
        facts = read_workspace(path)
    except Damaged:
        facts = None
    try:
        return Found(name, path, facts, path.stat().st_mtime)
    except FileNotFoundError:
        return Found(name, path, None, 0.0)


def _names(directory: Path, *, hidden: bool = False) -> list[str]:
    """Entries of a directory; none where there is no such directory."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if name.startswith(".") == hidden)


def _is_attempt(name: str) -> bool:
    try:
        return bool(check_attempt(name, "workspace"))
    except BadName:
        return False


def _is_result(name: str) -> bool:
    return name.endswith(".json") and _is_attempt(name.removesuffix(".json"))


def _is_key(name: str) -> bool:
    try:
        return bool(check_key(name))
    except BadName:
        return False
