"""File systems of their own, small enough to fill."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.needs import lack, need, need_root


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A tmpfs at `place`, for as long as the context lasts.

    Args:
        place: a directory; made where it is missing.
        size: as tmpfs(5) takes it: 64k, 24m.
    """
    need_root()
    place.mkdir(exist_ok=True)
    mount = [need("mount"), "-t", "tmpfs", "-o", f"size={size},mode=0700", "holdfast-test", str(place)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        lack(f"no tmpfs can be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run([need("umount"), "--lazy", str(place)], check=True, timeout=60)
