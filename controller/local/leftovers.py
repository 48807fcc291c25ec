"""Processes of a home that nobody looks after: those of an `up` that was killed.

Used by the next `up` (for what it cannot adopt) and by `down`. Jobs are never looked at here.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from controller.executors.process.identity import Identity, of_pid, open_pidfd
from controller.local import records
from controller.local.components import CONTROLLER_MODULE, MARKER, STOP_SECONDS, marker_of
from controller.local.home import Home
from controller.local.process import end, find_marked


def find(home: Home, name: str) -> list[Identity]:
    """All running processes of component `name`: the recorded one, and one started just before a crash."""
    found = []
    record = records.read(home.record(name))
    if record is not None and record.process is not None and record.alive:
        found.append(record.process)
    # Supervisors of jobs inherit the controller's environment, but not its command line.
    argument = CONTROLLER_MODULE if name == "controller" else None
    for pid in find_marked(MARKER, marker_of(home, name), argument):
        identity = of_pid(pid)
        if identity is not None and identity not in found:
            found.append(identity)
    return found


async def stop(home: Home, keep: Collection[Identity] = ()) -> list[str]:
    """End what runs of this home's components, in stop order, but for `keep`; returns the names of those ended."""
    ended = []
    for name, limit in STOP_SECONDS.items():
        for identity in find(home, name):
            if identity in keep or (pidfd := open_pidfd(identity)) is None:
                continue
            try:
                await end(pidfd, limit)
            finally:
                os.close(pidfd)
            ended.append(name)
    return ended
