"""`hack/cluster up`: make the node or find it running; what is missing of it is started again."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controller.errors import HoldfastError, Terminal, Transient
from controller.executors.process.identity import Identity
from controller.local import records
from controller.local.components import Component, Launch
from controller.local.records import State
from hack.node import cgroups, configuration, down, images, layout, needs, network, programs, servers
from hack.node.layout import Node

MACHINE_LOCK = Path("/run/lock/holdfast-cluster.lock")
APART_SECONDS = 10.0

Say = Callable[[str], None]


async def up(path: Path, cache: Path, say: Say) -> Node:
    """Return the running node.

    Args:
        path: state directory; another one is another node.
        cache: Settings.cache.

    Raises:
        Terminal: the machine or the directory cannot have a node.
        Transient: something does not start; `down` cleans up, and `up` may be tried again.
    """
    needs.check_machine()
    if len(os.fsencode(path)) > layout.MAX_PATH:
        raise Terminal("LongPath", f"{path}: sockets lie in it, name a directory of at most {layout.MAX_PATH} bytes")
    found = needs.prepare(cache, say)
    with machine_turn(say):
        node = _number(path)
        node.home.prepare()
        configuration.write(node)
        cgroups.make(node.cgroup)
        holder = await _hold(node, say)
    await _start(node, programs.of(node, found, holder.pid), say)
    return node


@contextmanager
def machine_turn(say: Say) -> Iterator[None]:
    """One process at a time takes numbers, links and cgroups of this machine; the lock goes with the process."""
    with MACHINE_LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another node is being set up on this machine: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _number(path: Path) -> Node:
    """The node of this directory, or one with a number that is free."""
    node = layout.read(path)
    if node is not None:
        return node
    if path.exists() and any(path.iterdir()):
        raise Terminal("NotEmpty", f"{path} holds something else: name an empty directory with --dir")
    for number in range(layout.MAX_NODES):
        node = Node(path, number)
        if network.is_free(node) and not cgroups.exists(node.cgroup):
            layout.write(node)
            return node
    raise Terminal("TooManyNodes", f"all {layout.MAX_NODES} places for nodes are taken: hack/cluster status names them")


async def _hold(node: Node, say: Say) -> Identity:
    """The process with the node's namespaces. Without it all that ran in them is of no use and is ended first."""
    record = records.read(node.home.record("namespaces"))
    if record is not None and record.process is not None and record.alive and record.state is State.RUNNING:
        return record.process
    if record is not None:
        say("ending what is left of an earlier start")
        await down.end_processes(node)
        network.disconnect(node)
    launch = Launch(network.holder_command(), node.path, programs.marked(node, "namespaces"))
    process = servers.start(node, "namespaces", launch)
    deadline = asyncio.get_running_loop().time() + APART_SECONDS
    while not network.is_apart(process.pid):
        if asyncio.get_running_loop().time() > deadline:
            raise Transient("NoNamespaces", f"unshare(1) made no namespaces; see {node.home.log('namespaces')}")
        await asyncio.sleep(0.01)
    network.connect(node, process.pid)
    network.cover(node, process.pid)
    made = records.read(node.home.record("namespaces"))
    assert made is not None, "just written"
    records.write(node.home.record("namespaces"), records.with_state(made, State.RUNNING, ""))
    return process


async def _start(node: Node, servers_of: dict[str, Component], say: Say) -> None:
    """Control plane and containerd side by side, then what needs them."""

    async def plane() -> None:
        await servers.ensure(node, servers_of["etcd"])
        await servers.ensure(node, servers_of["apiserver"])

    async def runtime() -> None:
        archives = await asyncio.to_thread(images.make_basic, node.images)
        await servers.ensure(node, servers_of["containerd"])
        for archive in archives:
            await asyncio.to_thread(images.load, node, archive)

    say("starting control plane and containerd")
    await _all(plane(), runtime())
    say("starting controllers, scheduler and kubelet")
    await _all(*(servers.ensure(node, servers_of[name]) for name in ("controller-manager", "scheduler", "kubelet")))


async def _all(*works: Coroutine[Any, Any, None]) -> None:
    """Run them side by side; the first failure is raised once all have ended."""
    results = await asyncio.gather(*works, return_exceptions=True)
    for result in results:
        if isinstance(result, HoldfastError):
            raise result
    for result in results:
        if isinstance(result, BaseException):
            raise result
