"""`hack/cluster down`: end the node and leave nothing of it, whatever state a killed `up` left behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from controller.errors import Transient
from hack.node import cgroups, layout, network, servers
from hack.node.layout import Node
from hack.node.programs import STOP_SECONDS

Say = Callable[[str], None]


async def down(path: Path, say: Say) -> bool:
    """End everything and remove the directory; False where there is no node.

    Raises:
        Transient: something stays; the message names it.
    """
    node = layout.read(path)
    if node is None:
        return False
    await end_processes(node)
    network.disconnect(node)
    cgroups.remove(node.cgroup)
    if left := remains(node):
        raise Transient("Remains", f"{path} is kept, this could not be removed: {', '.join(left)}")
    shutil.rmtree(path)
    network.uncover()
    say(f"{node.name} is gone")
    return True


async def end_processes(node: Node) -> None:
    """End servers, Pods and shims, in this order within limits; nothing is told to the API."""
    for name, limit in STOP_SECONDS.items():
        if name == "containerd":
            cgroups.kill(node.cgroup)  # the shims see their containers end while containerd is there to clean up
        await servers.end_all(node, name, limit)


def remains(node: Node) -> list[str]:
    """What of the node is still on the machine, apart from its directory."""
    left = [f"process {found.pid} of {name}" for name in STOP_SECONDS for found in servers.find(node, name)]
    if node.link in network.links():
        left.append(f"network link {node.link}")
    if cgroups.exists(node.cgroup):
        left.append(f"cgroup {node.cgroup}")
    return left + [f"mount {point}" for point in mounts(node.path)]


def mounts(path: Path) -> list[str]:
    """Mount points below a directory that this process sees."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if path in Path(point.encode().decode("unicode_escape")).parents]
