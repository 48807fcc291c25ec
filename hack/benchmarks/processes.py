"""Measuring processes from outside: CPU time, memory, and the CPU time of everything that the controller started.

Supervisors outlive the controller, so what its children used cannot be asked of it. All of them are put into one cgroup
(v1 cpuacct, else v2); without one, the times of children that the controller has reaped stand in for it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
V1, V2 = Path("/sys/fs/cgroup/cpuacct"), (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


@dataclass(frozen=True)
class Group:
    """A cgroup of the benchmark's own.

    Args:
        directory: None where none could be made.
        how: what is told about the figures.
    """

    directory: Path | None
    how: str

    def command(self, argv: list[str]) -> list[str]:
        """`argv`, started inside the group."""
        if self.directory is None:
            return argv
        return ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.directory / "cgroup.procs"), *argv]

    def cpu_seconds(self, controller: int) -> float:
        """CPU time of all that ever ran in it, the controller included; without a group: the controller's and that of
        the children that it has reaped."""
        if self.directory is None:
            return sum(_times(controller))
        usage = self.directory / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        fields = dict(line.split() for line in (self.directory / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) / 1e6


@contextlib.contextmanager
def group() -> Iterator[Group]:
    """Make a group and remove it at the end, when all that ran in it has ended."""
    made = _make()
    try:
        yield made
    finally:
        if made.directory is not None:
            with contextlib.suppress(OSError):  # something still runs: an empty group costs nothing
                made.directory.rmdir()


def _make() -> Group:
    for root, how in ((V1, "cgroup v1 cpuacct"), *((path, "cgroup v2 cpu.stat") for path in V2)):
        if not (root / ("cpuacct.usage" if root is V1 else "cgroup.controllers")).exists():
            continue
        directory = root / f"holdfast-bench-{os.getpid()}"
        try:
            directory.mkdir()
        except OSError:
            continue
        return Group(directory, how)
    return Group(None, "times of reaped children in /proc/<controller>/stat")


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, without its children."""
    return sum(_times(pid)[:2])


def _times(pid: int) -> tuple[float, float, float, float]:
    """utime, stime, cutime, cstime of proc(5) in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, child_user, child_system = (int(field) / TICKS for field in fields[11:15])
    return user, system, child_user, child_system


def rss_mb(pid: int) -> float:
    """Resident memory now, in MB (10^6 bytes)."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS:") * 1024 / 1e6


def rss_peak_mb(pid: int) -> float:
    """The most resident memory that it ever had, in MB."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM:") * 1024 / 1e6


def pss_mb(pid: int) -> float:
    """Proportional share of memory now, in MB: pages that n processes share count one n-th."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") * 1024 / 1e6


def _kilobytes(path: Path, field: str) -> int:
    return next(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(field))
