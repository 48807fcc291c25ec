"""`holdfast down`: stop what `up` runs, in order and within limits, whether or not `up` itself is still there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from controller.errors import Transient, Waiting
from controller.executors.process.identity import open_pidfd
from controller.local import leftovers, records
from controller.local.components import STOP_SECONDS
from controller.local.home import Home, PlaneLock
from controller.local.process import end
from controller.local.records import State

# `up` itself keeps the limits of its components; this is for one that hangs.
UP_SECONDS = sum(STOP_SECONDS.values()) + 15.0
UNRECORDED_SECONDS = 10.0

Say = Callable[[str], None]


async def down(home: Path, say: Say) -> bool:
    """Stop the plane and the controller; running jobs go on.

    Returns:
        False where nothing ran.

    Raises:
        Transient: another process holds the home and does not say who it is.
    """
    found = Home.at(home)
    if not found.path.exists():
        return False
    lock = PlaneLock(found)
    stopped = False
    deadline = asyncio.get_running_loop().time() + UNRECORDED_SECONDS
    while not _take(lock):
        if await _end_up(found, say):
            stopped = True
        elif asyncio.get_running_loop().time() > deadline:
            raise Transient("HomeHeld", f"{found.lock} is held by a process that is not recorded; see fuser(1)")
        else:
            await asyncio.sleep(0.1)  # it has the lock and will record itself at once
    try:
        ended = await leftovers.stop(found)
        if ended:
            say(f"stopped {', '.join(ended)}")
        _record_stopped(found)
    finally:
        lock.release()
    return stopped or bool(ended)


def _take(lock: PlaneLock) -> bool:
    try:
        lock.acquire()
    except Waiting:
        return False
    return True


async def _end_up(home: Home, say: Say) -> bool:
    """End the recorded `up` process; False where none is recorded as running."""
    record = records.read(home.record("up"))
    pidfd = None if record is None or record.process is None else open_pidfd(record.process)
    if pidfd is None:
        return False
    say("stopping the controller and the control plane; running jobs go on")
    try:
        if not await end(pidfd, UP_SECONDS):
            say(f"up did not stop within {UP_SECONDS:.0f} s and was killed")
    finally:
        os.close(pidfd)
    return True


def _record_stopped(home: Home) -> None:
    for name in ("up", *STOP_SECONDS):
        record = records.read(home.record(name))
        if record is not None and record.state is not State.STOPPED:
            records.write(home.record(name), records.Record(name, message=record.message))
