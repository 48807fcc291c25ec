"""Tools that are built once from a pinned Go module and kept in the user's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from controller.local import binaries, gobuild


def find_or_build(package: str, flags: str, module: Path, path: Path, say: Callable[[str], None]) -> Path:
    """The binary at `path`, built where it is not there; of several that want it one builds it.

    Args:
        package: Go package of the command.
        flags: for the linker.
        module: directory of go.mod and go.sum.
        path: where it is kept; its name tells its version.

    Raises:
        Terminal, Transient: as `gobuild.build_package`.
    """
    if not binaries.is_executable(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with binaries.turn(path.parent, say):
            if not binaries.is_executable(path):
                gobuild.build_package(package, flags, module, path, say)
    return path
