"""Processes of attempts that have no run directory any more (requirement 7.6).

An attempt is found by the marker in the environment of its processes. That it was started under this state directory
is proved by what only such an attempt has: its TMPDIR, HOME, working directory or output lie in the run directory that
is gone. A marker alone proves nothing: other state directories of this host have jobs too.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass

from controller.errors import Transient
from controller.executors.process.identity import Stat
from controller.executors.process.observe import attempts_of_processes
from controller.executors.process.rundir import is_attempt_name
from controller.executors.process.stopping import kill_all
from controller.executors.process.tree import Scope, environment, members, proportional_bytes, scan, signal_each

TERM_SECONDS = 5.0
KILL_SECONDS = 2.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Stray:
    """The processes of one attempt.

    Args:
        memory_bytes: of all together, shared pages divided among their users (PSS).
    """

    attempt: str
    pids: tuple[int, ...]
    memory_bytes: int


def find_strays(runs: str, known: Collection[str]) -> list[Stray]:
    """Attempts of this state directory with processes but without a run directory.

    Args:
        runs: the directory of the run directories.
        known: attempts that are not meant.

    Raises:
        OSError: /proc cannot be read.
    """
    stats, ours = scan(), set()
    for pid in stats:
        carried = environment(pid)
        attempt = carried.get("HOLDFAST_ATTEMPT", "")
        if not is_attempt_name(attempt) or attempt in known or attempt in ours:
            continue
        if _began_in(pid, carried, f"{runs}/{attempt}/") and not os.path.lexists(f"{runs}/{attempt}"):
            ours.add(attempt)
    found = ((attempt, members(_scope(attempt), stats)) for attempt in sorted(ours))
    return [Stray(name, tuple(stat.pid for stat in left), proportional_bytes(left)) for name, left in found if left]


def end_stray(attempt: str) -> int:
    """Stop all processes of an attempt: TERM, 5 s, KILL; returns how many are left. Blocks."""
    signal_each(_left(attempt), signal.SIGTERM)
    signal_each(_left(attempt), signal.SIGCONT)  # a stopped process acts on TERM only once it is continued
    if _wait(attempt, TERM_SECONDS):
        kill_all(_scope(attempt))
        return _wait(attempt, KILL_SECONDS)
    return 0


def _wait(attempt: str, seconds: float) -> int:
    end = time.monotonic() + seconds
    while (left := len(_left(attempt))) and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
    return left


def _left(attempt: str) -> list[Stat]:
    return members(_scope(attempt))


def _scope(attempt: str) -> Scope:
    return Scope(attempt, exclude=frozenset({os.getpid()}))


def _began_in(pid: int, carried: dict[str, str], directory: str) -> bool:
    places = [f"{carried.get(name, '')}/" for name in ("TMPDIR", "HOME")]
    for link in ("cwd", "fd/1", "fd/2"):
        try:
            places.append(os.readlink(f"/proc/{pid}/{link}"))
        except OSError:
            continue  # ended meanwhile, closed, or another user's
    return any(place.startswith(directory) for place in places)


async def attempts_carried() -> set[str]:
    """Attempts, of all executors of this host, that live processes carry as their marker.

    A look at every process: it needs nothing of the cluster, so a start takes it while it waits for the first LIST.

    Raises:
        Transient: /proc cannot be read.
    """
    try:
        return await asyncio.to_thread(attempts_of_processes)
    except OSError as error:
        raise Transient("ProcessesUnreadable", f"/proc: {error.strerror or error}") from error
