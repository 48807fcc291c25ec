"""versitygw as a binary, built once and kept in the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hack import kept

VERSION = "1.8.0"  # as in go.mod
PACKAGE = "github.com/versity/versitygw/cmd/versitygw"


def find_or_build(cache: Path, say: Callable[[str], None]) -> Path:
    """Its path; two to three minutes of one CPU where the cache has none.

    Args:
        cache: Settings.cache.

    Raises:
        Terminal, Transient: as `gobuild.build_package`.
    """
    path = cache.expanduser() / "objectstore" / f"versitygw-{VERSION}"
    return kept.find_or_build(PACKAGE, "-s -w", Path(__file__).parent, path, say)
