"""The attempt's own cgroup v2, where one can be made: finds and kills a tree that hides from sessions and markers.

`cgroup.kill` works without any controller; `cpu.max` only where the cpu controller is delegated. Nothing here is
needed for correctness: without a cgroup the sweep uses descendants and the marker. Standard library only.
"""

from __future__ import annotations

import os
from functools import cache

from controller.files.trees import walk

_PERIOD_MICROSECONDS = 100_000


@cache
def own_directory() -> str:
    """Directory of the cgroup v2 that this process is in, "" where there is none (cgroups(7)).

    Asked once per process, and by the launcher before it forks: reading the mounts costs as much as making the cgroup.
    """
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            path = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), None)
        with open("/proc/self/mounts", encoding="utf-8") as file:
            mounts = [line.split(" ") for line in file]
    except OSError:
        return ""
    mount = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    return "" if path is None or mount is None else mount + path.rstrip("/")


def path_of(attempt: str) -> str:
    """Where the cgroup of an attempt is, if this process made it; "" where there is no cgroup v2."""
    parent = own_directory()
    return f"{parent}/holdfast.{attempt}" if parent else ""


def make(attempt: str, cpu: float | None) -> str:
    """Make the cgroup of an attempt below our own.

    Args:
        attempt: names it.
        cpu: cores for cpu.max, None for no limit; ignored where the controller is not delegated.

    Returns:
        Its directory, "" where it cannot be made (no cgroup v2, read-only, not delegated).
    """
    directory = path_of(attempt)
    if not directory:
        return ""
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError:
        return ""
    if cpu is not None and os.path.exists(f"{directory}/cpu.max"):
        _write(f"{directory}/cpu.max", f"{max(1000, int(cpu * _PERIOD_MICROSECONDS))} {_PERIOD_MICROSECONDS}")
    return directory


def kill(directory: str) -> None:
    """KILL all processes in it at once; nothing where it is gone or the kernel is older than 5.14."""
    if directory:
        _write(f"{directory}/cgroup.kill", "1")


def remove(directory: str) -> None:
    """Remove it and those below it; one that still holds a process stays."""
    if not directory or _remove_directory(directory):
        return
    below = [(*names[1:], entry.name) for names, entry in walk(directory) if entry.is_dir(follow_symlinks=False)]
    for names in (*reversed(below), ()):  # what is in a directory comes after it
        if not _remove_directory("/".join((directory, *names))):
            return


def is_populated(directory: str) -> bool:
    """Whether a process is in it or below it (cgroup.events); what is gone is empty."""
    try:
        with open(f"{directory}/cgroup.events", encoding="ascii") as file:
            return "populated 1" in file.read()
    except OSError:
        return False


def _remove_directory(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write(path: str, text: str) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)
    except OSError:
        return False
    return True
