"""Directories on their way into or out of use, told by their names (`.making.…`, `.removing.…`).

Standard library only; the controller's cleanup uses it too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from controller.errors import Several
from controller.files.atomic import fsync_directory
from controller.files.trees import remove_tree
from controller.repositories.places import MAKING, REMOVING


@contextlib.contextmanager
def making(parent: Path, what: str, operation: str) -> Iterator[Path]:
    """A new directory `.making.<what>.<operation>`; what is still there at the end is removed."""
    directory = parent / f"{MAKING}{what}.{operation}"
    remove_tree(directory)
    directory.mkdir(mode=0o700, parents=True)
    try:
        yield directory
    finally:
        remove_tree(directory)


def remove_made(parent: Path, what: str) -> None:
    """Remove what killed operations left of `what`: the caller knows that none of them is alive."""
    prefix, several = f"{MAKING}{what}.", Several()
    for name in os.listdir(parent) if parent.exists() else ():
        if name.startswith(prefix):
            with several.kept():
                remove_tree(parent / name)
    several.raise_all()


def remove(path: Path) -> None:
    """Take a tree out of use by a rename, then remove it: what a crash leaves says by its name that it goes.

    Nothing to do where it is gone. Raises OSError.
    """
    trash = path.parent / f"{REMOVING}{os.urandom(8).hex()}"
    try:
        os.rename(path, trash)
    except FileNotFoundError:
        return
    fsync_directory(str(path.parent))
    remove_tree(trash)
