"""Finds the run directories of a job on this host: by uid when the API server can be asked, by name when not.

Reads only. A directory that cannot be read is passed over: others may hold what is looked for.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.cli import places
from controller.executors.process.records import Attempt, RecordError
from controller.executors.process.rundir import RunDir, is_attempt_name


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """One attempt's directory; sorts by number."""

    number: int
    uid: str
    path: Path

    @property
    def directory(self) -> RunDir:
        """Its files."""
        return RunDir(str(self.path))

    @property
    def output(self) -> Path:
        """What the command printed."""
        return Path(self.directory.output)

    @property
    def over(self) -> bool:
        """Whether an end is recorded."""
        try:
            return self.directory.exists("exit.json")
        except OSError:
            return False


def all_runs() -> list[Run]:
    """Every run directory of this host's state directory; none where it cannot be read."""
    try:
        names = [path.name for path in places.runs().iterdir()]
    except OSError:
        return []
    found = []
    for name in names:
        if is_attempt_name(name):
            uid, _, number = name.rpartition(".")
            found.append(Run(int(number), uid, places.runs() / name))
    return found


def of_uid(uid: str) -> list[Run]:
    """The attempts of a job in order."""
    return sorted(run for run in all_runs() if run.uid == uid)


def of_name(namespace: str, job: str) -> list[Run]:
    """The attempts in order of the newest job of this name (one may have been deleted and made again)."""
    attempts = {run: _attempt(run) for run in all_runs()}
    mine = {run: a for run, a in attempts.items() if a is not None and (a.namespace, a.job) == (namespace, job)}
    if not mine:
        return []
    newest = max(mine, key=lambda run: mine[run].created_at).uid
    return sorted(run for run in mine if run.uid == newest)


def _attempt(run: Run) -> Attempt | None:
    try:
        return run.directory.read_attempt()
    except (OSError, RecordError):
        return None


def recorded(location: str, uid: str, number: int) -> Run | None:
    """The directory that `status.output.location` (host:path) names, if it is on this host and can be read."""
    host, _, path = location.partition(":")
    parent = Path(path).parent
    if host not in ("", socket.gethostname()) or parent.name != f"{uid}.{number}":
        return None
    return Run(number, uid, parent) if os.access(path, os.R_OK) else None


def find(job: dict[str, Any], number: int) -> Run | None:
    """The run directory of one attempt of a job, None where it is not on this host (any more)."""
    uid = str(job["metadata"]["uid"])
    here = Run(number, uid, places.runs() / f"{uid}.{number}")
    if here.path.is_dir():
        return here
    output = (job.get("status") or {}).get("output") or {}
    return recorded(str(output.get("location") or ""), uid, number)
