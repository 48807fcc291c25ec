"""Start a server and leave it running, or find that it runs already; end what a node runs. By pidfd, never by name."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime

from controller.errors import Transient
from controller.executors.process import identity
from controller.executors.process.identity import Identity
from controller.local import logs, records
from controller.local.components import MARKER, Component, Launch, marker_of
from controller.local.process import end, find_marked, has_ended, spawn
from controller.local.records import Record, State
from hack.node.layout import Node

START_SECONDS = 120.0
POLL_SECONDS = 0.05


async def ensure(node: Node, component: Component) -> None:
    """Have the server run with these arguments and be ready; it goes on when this process ends.

    Raises:
        Transient: it ended or is not ready within the limit; the message ends with its last log lines.
    """
    launch = component.launch()
    record = records.read(node.home.record(component.name))
    if record is None or not record.alive or record.fingerprint != launch.fingerprint:
        await stop(node, component.name, component.stop_seconds)
        start(node, component.name, launch)
    await _ready(node, component)


def start(node: Node, name: str, launch: Launch) -> Identity:
    """Start and record it; its output goes to its log."""
    path = node.home.log(name)
    logs.bound(path)
    output = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        child = spawn(launch.argv, launch.cwd, launch.env, output)
    except OSError as error:
        raise Transient("NotStarted", f"{name} cannot be started: {error}") from error
    finally:
        os.close(output)
    child.returncode = 0  # it is to outlive us: Popen must not complain that nobody waited for it
    process = identity.of_pid(child.pid)
    if process is None:
        raise Transient("NotStarted", f"{name} ended at once; see {path}")
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    record = Record(name, State.STARTING, process, 0, launch.port, launch.fingerprint, now)
    records.write(node.home.record(name), record)
    return process


async def _ready(node: Node, component: Component) -> None:
    record = records.read(node.home.record(component.name))
    assert record is not None, "written before"
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while (problem := await component.probe()) is not None:
        if not record.alive or asyncio.get_running_loop().time() > deadline:
            path = node.home.log(component.name)
            lines = logs.last_lines(logs.since(path, max(0, logs.size(path) - 4096)))
            raise Transient("NotReady", f"{component.name} is not ready: {problem}\n  the end of {path}:\n{lines}")
        await asyncio.sleep(POLL_SECONDS)
    records.write(node.home.record(component.name), records.with_state(record, State.RUNNING, ""))


def find(node: Node, name: str) -> list[Identity]:
    """The server and what it started that still has its marker: containerd's shims, a kubelet's mount commands."""
    found = []
    record = records.read(node.home.record(name))
    if record is not None and record.process is not None and record.alive:
        found.append(record.process)
    for pid in find_marked(MARKER, marker_of(node.home, name)):
        process = identity.of_pid(pid)
        if process is not None and process not in found:
            found.append(process)
    return found


async def stop(node: Node, name: str, limit_seconds: float) -> bool:
    """End the recorded server only; what it started goes on."""
    record = records.read(node.home.record(name))
    process = None if record is None else record.process
    pidfd = None if process is None else identity.open_pidfd(process)
    if pidfd is None:
        return False
    try:
        await end(pidfd, limit_seconds)
    finally:
        os.close(pidfd)
    return True


async def end_all(node: Node, name: str, limit_seconds: float) -> int:
    """End the server and all that has its marker; how many there were."""
    pidfds = [pidfd for found in find(node, name) if (pidfd := identity.open_pidfd(found)) is not None]
    try:
        await asyncio.gather(*(end(pidfd, limit_seconds) for pidfd in pidfds))
        return sum(has_ended(pidfd) for pidfd in pidfds)
    finally:
        for pidfd in pidfds:
            os.close(pidfd)
