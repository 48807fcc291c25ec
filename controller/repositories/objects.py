"""Whether an object is in a mirror, found out from its files without git: cheap enough for the controller's event loop.

An object is a file of its own, or is listed in the index of a pack: 256 counts by first byte, then all ids in order
(gitformat-pack(5), version 2). Only the standard library may be imported here.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_left
from pathlib import Path

MAGIC = b"\xfftOc\x00\x00\x00\x02"  # a pack index of version 2
FANOUT = 256
_COUNT = struct.Struct(">I")


def has_object(mirror: Path, object_id: str) -> bool:
    """Whether the mirror has an object.

    Args:
        object_id: whole, in hexadecimal; an id of another object format than the mirror's is in none.

    Raises:
        OSError: the mirror cannot be read.
    """
    objects = mirror / "objects"
    if (objects / object_id[:2] / object_id[2:]).exists():
        return True
    wanted = bytes.fromhex(object_id)
    return any(_listed(index, wanted) for index in sorted((objects / "pack").glob("*.idx")))


def _listed(index: Path, wanted: bytes) -> bool:
    try:
        with index.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _search(data, wanted)
    except (FileNotFoundError, ValueError):  # repacked meanwhile, or empty: git does not use it either
        return False


def _search(data: mmap.mmap, wanted: bytes) -> bool:
    ids = len(MAGIC) + FANOUT * _COUNT.size
    if len(data) < ids or data[: len(MAGIC)] != MAGIC:
        return False
    first = wanted[0]
    low, high = _count(data, first - 1) if first else 0, _count(data, first)
    listed = range(low, min(high, (len(data) - ids) // len(wanted)))

    def nth(number: int) -> bytes:
        return data[ids + number * len(wanted) : ids + (number + 1) * len(wanted)]

    at = bisect_left(listed, wanted, key=nth)
    return at < len(listed) and nth(listed[at]) == wanted


def _count(data: mmap.mmap, first: int) -> int:
    """Of the objects whose first byte is at most `first`."""
    return int(_COUNT.unpack_from(data, len(MAGIC) + first * _COUNT.size)[0])
