"""files: what an atomic write costs over a plain one with the same durability (requirement 8.4).

Both leave a file whose content and name survive a power cut: write, fsync of the file, fsync of its directory. Only the
atomic one goes through a temporary name, so that nobody ever sees half of it. The two take turns on the same file
system, in an order that changes; `new` makes a file, `replace` gives an existing one new content, where the plain way
loses the old content before it has the new one.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.result import Result, at_most, machine, say
from benchmarks.rig import Options
from controller.files.atomic import fsync_directory, write_all, write_atomic

SIZES = {"256B": 256, "4KiB": 4096, "64KiB": 65536, "1MB": 1_000_000}
ROUNDS = 200
TARGETS = {f"overhead_percent_{kind}_{size}": at_most(20) for kind in ("new", "replace") for size in SIZES}


async def run(options: Options) -> Result:
    """Measure in the directory for temporary files."""
    result, rounds = Result("files", TARGETS), options.at_most(ROUNDS)
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        directory = Path(name)
        result.machine = machine(directory)
        for label, size in SIZES.items():
            say(f"files: {label}, {rounds} rounds")
            data = os.urandom(size)
            for kind in ("new", "replace"):
                plain, atomic = _compare(directory, kind, data, rounds)
                result.add(
                    **{
                        f"plain_ms_{kind}_{label}": plain * 1000,
                        f"atomic_ms_{kind}_{label}": atomic * 1000,
                        f"overhead_percent_{kind}_{label}": (atomic / plain - 1) * 100,
                    }
                )
    return result


def _compare(directory: Path, kind: str, data: bytes, rounds: int) -> tuple[float, float]:
    """Median seconds of a plain and an atomic write."""
    ways: dict[str, Callable[[str, bytes], None]] = {"plain": _write_plain, "atomic": write_atomic}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in sorted(ways, reverse=bool(number % 2)):
            path = directory / f"{name}-{number if kind == 'new' else 'same'}"
            began = time.perf_counter()
            ways[name](str(path), data)
            took[name].append(time.perf_counter() - began)
            if kind == "new":
                path.unlink()
    return statistics.median(took["plain"]), statistics.median(took["atomic"])


def _write_plain(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    fsync_directory(str(Path(path).parent))
