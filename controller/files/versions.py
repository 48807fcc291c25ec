"""The versions of all state files, in one table, and how an older one becomes the current one, in memory.

A file's `version` rises only where a field changes its meaning; readers ignore fields that they do not know. An older
version is migrated step by step when it is read, and never written back for that alone. A newer one is refused: what it
means is not guessed at, and it is not overwritten. The fence is text, as a shell script reads it too, and carries a
checksum: see there. Only the standard library may be imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Value = dict[str, Any]


class NewerVersion(ValueError):
    """A newer version of Holdfast wrote the file."""

    def __init__(self, version: int, known: int) -> None:
        text = f"was written by a newer version of Holdfast (version {version}, this one knows {known}): use that one"
        super().__init__(text)


def _as_it_is(value: Value) -> Value:
    """The fields are the same; only the version was not written yet."""
    return value


# Of each sort of file: what leads from version n to n+1, by n. The current version is one above the last key.
MIGRATIONS: Mapping[str, Mapping[int, Callable[[Value], Value]]] = {
    # a run directory
    "attempt.json": {},
    "process.json": {},
    "stop.json": {},
    "exit.json": {},
    "lock": {},
    # the state directory
    "identity.json": {0: _as_it_is},
    "http.json": {0: _as_it_is},
    "stopped.json": {},
    # kept output of Pods
    "position.json": {},
    # repositories
    "result": {},
    "mirror.json": {},
    "holdfast.json": {},
    "fence": {1: _as_it_is},
}


def known(sort: str) -> int:
    """The version that this Holdfast writes. Raises KeyError for a sort that has no row."""
    return max(MIGRATIONS[sort], default=0) + 1


def current(sort: str, value: object) -> Value:
    """`value`, as a file of this sort held it, in the form of the current version.

    Args:
        sort: a row of MIGRATIONS.
        value: the parsed JSON.

    Raises:
        NewerVersion: it is refused.
        ValueError: it has no version that ever was, or is no JSON object.
    """
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    steps, newest = MIGRATIONS[sort], known(sort)
    version = value.get("version", 0)
    if type(version) is not int or version < min(steps, default=1):
        raise ValueError(f"version {version!r} never was one" if "version" in value else "has no version")
    if version > newest:
        raise NewerVersion(version, newest)
    for step in range(version, newest):
        value = {**steps[step](value), "version": step + 1}
    return value
