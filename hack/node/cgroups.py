"""The parent cgroup of a node's Pods, in every hierarchy of cgroup v1 and in v2; all in it is the node's."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from controller.errors import Transient
from controller.executors.process import identity

KILL_SECONDS = 20.0
POLL_SECONDS = 0.05


def make(name: str) -> None:
    """Make the cgroup everywhere; kubelet wants it to exist (KubeletConfiguration cgroupRoot)."""
    for kind, root in _hierarchies():
        path = root / name
        path.mkdir(exist_ok=True)
        if kind == "cgroup2":
            for controller in (root / "cgroup.controllers").read_text().split():
                (root / "cgroup.subtree_control").write_text(f"+{controller}")
        elif (path / "cpuset.cpus").exists():  # cpuset of v1 starts empty and then takes no process (cpuset(7))
            for file in ("cpuset.cpus", "cpuset.mems"):
                (path / file).write_text((root / file).read_text())


def kill(name: str) -> int:
    """End every process in the cgroup and below it; how many there were.

    Raises:
        Transient: some do not go within the limit.
    """
    seen: set[int] = set()
    deadline = time.monotonic() + KILL_SECONDS
    while pids := set(_pids(name)):
        seen |= pids
        for pid in pids:
            found = identity.of_pid(pid)
            if found is not None:
                identity.send(found, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise Transient("PodsStay", f"processes of Pods do not end: {sorted(pids)}")
        time.sleep(POLL_SECONDS)
    return len(seen)


def remove(name: str) -> None:
    """Remove the empty cgroup with all below it; the kernel may need a moment after the last process.

    Raises:
        Transient: it is not empty.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while left := [path for _, root in _hierarchies() if (path := root / name).exists()]:
        for path in left:
            for directory in reversed(_below(path)):
                with contextlib.suppress(OSError):
                    directory.rmdir()
        if time.monotonic() > deadline:
            raise Transient("CgroupsStay", f"cannot be removed: {', '.join(map(str, left))}")
        time.sleep(POLL_SECONDS)


def exists(name: str) -> bool:
    """Whether any hierarchy has it."""
    return any((root / name).exists() for _, root in _hierarchies())


def pids_of_pod(name: str, uid: str) -> list[int]:
    """Processes of the containers of a Pod below the node's cgroup `name`, the sandbox's own left out."""
    return sorted({pid for pid in _pids(name, f"pod{uid}") if not _is_sandbox(pid)})


def _is_sandbox(pid: int) -> bool:
    try:
        return b"2147483647" in Path(f"/proc/{pid}/cmdline").read_bytes()  # the pause image of hack/node/images.py
    except (FileNotFoundError, ProcessLookupError):
        return True


def _pids(name: str, part: str = "") -> Iterator[int]:
    for _, root in _hierarchies():
        for directory in _below(root / name):
            if part not in str(directory):
                continue
            # ENODEV: removed between the listing and the look; EOPNOTSUPP: threaded, its domain lists the processes.
            with contextlib.suppress(OSError):
                yield from map(int, (directory / "cgroup.procs").read_text().split())


def _below(path: Path) -> list[Path]:
    """It and all below it, the lower ones later; not pathlib's rglob, which fails where one goes under its feet."""
    return [Path(directory) for directory, _, _ in os.walk(path)]


def _hierarchies() -> list[tuple[str, Path]]:
    lines = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [(kind, Path(point)) for _, point, kind, *_ in lines if kind in ("cgroup", "cgroup2")]
