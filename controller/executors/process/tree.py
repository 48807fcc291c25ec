"""Finding and signalling the processes of one attempt (requirements 3.6, 7.6).

A process belongs to an attempt when it descends from one that does, is in the attempt's cgroup, or carries the
attempt's marker in its environment. A session counts only as the session of such a process: a session number alone
could have been given to somebody else since. Only the standard library may be imported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from controller.executors.process.identity import Stat, identify, read_stat, send
from controller.files.trees import walk

MARKER = "HOLDFAST_ATTEMPT"
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look for the processes of one attempt.

    Args:
        attempt: `<job uid>.<number>`, the value of the marker.
        roots: pids proved to be the attempt's (recorder, command) or the supervisor that is its subreaper; what
            descends from them belongs to the attempt, they themselves only where another sign says so.
        sessions: session ids of recorder and command.
        cgroup: directory of the attempt's cgroup, or "".
        exclude: pids that never count: the supervisor and the recorder.
        complete_roots: the caller has been the subreaper from the start, so every process of the attempt descends
            from `roots` and environments need not be read.
    """

    attempt: str
    roots: frozenset[int] = frozenset()
    sessions: frozenset[int] = frozenset()
    cgroup: str = ""
    exclude: frozenset[int] = frozenset()
    complete_roots: bool = False


def scan() -> dict[int, Stat]:
    """All live processes that /proc shows. Raises OSError where /proc cannot be read at all."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = read_stat(int(name))
            if stat is not None and not stat.is_dead:
                found[stat.pid] = stat
    return found


def members(scope: Scope, stats: dict[int, Stat] | None = None) -> list[Stat]:
    """The live processes of an attempt. `stats` is a fresh `scan()` to share between attempts."""
    stats = scan() if stats is None else stats
    found = {pid for pid in cgroup_pids(scope.cgroup) if pid in stats} - scope.exclude
    if not scope.complete_roots:
        found |= {pid for pid in stats if pid not in scope.exclude and has_marker(pid, scope.attempt)}
    while True:
        sessions = {stats[pid].session for pid in found} & scope.sessions
        wider = found | {pid for pid, stat in stats.items() if stat.session in sessions}
        wider = _with_descendants(stats, wider | scope.roots) - scope.exclude
        wider = {pid for pid in wider if pid in stats and (pid in found or pid not in scope.roots)}
        if wider == found:
            return [stats[pid] for pid in sorted(found)]
        found = wider


def _with_descendants(stats: dict[int, Stat], roots: Iterable[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for stat in stats.values():
        children.setdefault(stat.ppid, []).append(stat.pid)
    found = set(roots)
    pending = list(found)
    while pending:
        for child in children.get(pending.pop(), ()):
            if child not in found:
                found.add(child)
                pending.append(child)
    return found


def has_marker(pid: int, attempt: str) -> bool:
    """Whether the environment with which a process was started names the attempt. Another user's is not readable."""
    return f"\0{MARKER}={attempt}\0".encode() in _environ(pid)


def marker(pid: int) -> str:
    """The attempt that the environment of a process names, "" where it names none or cannot be read."""
    _, found, rest = _environ(pid).partition(f"\0{MARKER}=".encode())
    return os.fsdecode(rest.partition(b"\0")[0]) if found else ""


def environment(pid: int) -> dict[str, str]:
    """The environment with which a process was started, empty where it cannot be read."""
    pairs = (entry.partition(b"=") for entry in _environ(pid).split(b"\0") if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def _environ(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"\0" + file.read() + b"\0"
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def cgroup_pids(cgroup: str) -> set[int]:
    """Pids in a cgroup and those below it; a cgroup that is gone has none."""
    if not cgroup:
        return set()
    found: set[int] = set()
    for names, entry in walk(cgroup):
        if entry.name != "cgroup.procs":
            continue
        try:
            with open("/".join([cgroup, *names[1:], entry.name]), "rb") as file:
                found.update(map(int, file.read().split()))
        except OSError:
            # Removed between the walk and the read: then it was empty. ENODEV, ENOENT, EOPNOTSUPP (threaded).
            continue
    return found


def signal_each(stats: Iterable[Stat], number: int) -> list[int]:
    """Signal exactly these processes, each by pidfd after its start time was compared.

    Returns:
        The pids that another user owns and that we may not signal.
    """
    refused = []
    for stat in stats:
        try:
            send(identify(stat), number)
        except PermissionError:
            refused.append(stat.pid)
    return refused


def resident_bytes(stats: Iterable[Stat]) -> int:
    """Resident memory of the processes together; pages that they share count once for each."""
    total = 0
    for stat in stats:
        try:
            with open(f"/proc/{stat.pid}/statm", "rb") as file:
                total += int(file.read().split()[1]) * _PAGE
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def proportional_bytes(stats: Iterable[Stat]) -> int:
    """Memory of the processes with shared pages divided among their users (PSS, proc(5)): exact, and slow to read."""
    total = 0
    for stat in stats:
        try:
            with open(f"/proc/{stat.pid}/smaps_rollup", "rb") as file:
                total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return total
