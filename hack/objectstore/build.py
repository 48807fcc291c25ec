"""versitygw as a binary, built once and kept in the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from controller.local import binaries, gobuild

VERSION = "1.8.0"  # as in go.mod
PACKAGE = "github.com/versity/versitygw/cmd/versitygw"


def find_or_build(cache: Path, say: Callable[[str], None]) -> Path:
    """Its path; two to three minutes of one CPU where the cache has none.

    Args:
        cache: Settings.cache.

    Raises:
        Terminal, Transient: as `gobuild.build_package`.
    """
    directory = cache.expanduser() / "objectstore"
    path = directory / f"versitygw-{VERSION}"
    if not binaries.is_executable(path):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with binaries.turn(directory, say):
            if not binaries.is_executable(path):
                gobuild.build_package(PACKAGE, "-s -w", Path(__file__).parent, path, say)
    return path
