"""The node's own network and mount namespaces: nothing of the machine is changed that outlives them.

A process that only sleeps holds both. Inside, one end of a veth pair has the node's address; the other end is on the
host, so that kubectl, tests and a controller on the host reach API server and Pods. There is no kube-proxy and no DNS:
one DNAT rule leads Pods from 10.0.0.1:443 to the API server. Directories and kernel settings with fixed names that
kubelet and containerd write to are covered by private ones. When the last process of the namespaces has ended, the
kernel takes bridge, rules, links and mounts away.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from controller.errors import Transient
from hack.node.layout import API_PORT, LINK_PREFIX, SERVICE_ADDRESS, Node
from hack.node.run import run

UPLINK = "uplink"
# Fixed paths of kubelet and containerd -> name below Node.private.
COVERED = {
    "/run/containerd": "containerd",
    "/run/netns": "netns",
    "/var/lib/kubelet": "kubelet",
    "/var/log/pods": "pods",
    "/var/log/containers": "containers",
}
# kubelet sets these for the whole machine where they differ (its container_manager_linux.go, setupKernelTunables).
KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def holder_command() -> list[str]:
    """The process that holds the namespaces."""
    return ["unshare", "--mount", "--net", "--propagation", "private", "--", "sleep", "2147483647"]


def is_apart(pid: int) -> bool:
    """Whether the holder has left the machine's namespaces."""
    paths = ((Path(f"/proc/{pid}/ns/{kind}"), Path(f"/proc/self/ns/{kind}")) for kind in ("net", "mnt"))
    return all(theirs.readlink() != ours.readlink() for theirs, ours in paths)


def enter(pid: int, *kinds: str) -> list[str]:
    """Prefix of a command that is to run in the holder's namespaces `net` or `mount`; execs, so the pid stays."""
    return ["nsenter", f"--target={pid}", *(f"--{kind}" for kind in kinds), "--"]


def connect(node: Node, pid: int) -> None:
    """Lay the cable between host and node; raises Transient where the node's number is taken."""
    peer = ["peer", "name", UPLINK, "netns", str(pid)]
    run(["ip", "link", "add", node.link, "type", "veth", *peer])
    run(["ip", "address", "add", f"{node.host_address}/30", "dev", node.link])
    run(["ip", "link", "set", node.link, "up"])
    inside = enter(pid, "net")
    run([*inside, "ip", "link", "set", "lo", "up"])
    run([*inside, "ip", "address", "add", f"{node.address}/30", "dev", UPLINK])
    run([*inside, "ip", "link", "set", UPLINK, "up"])
    run([*inside, "ip", "route", "add", "default", "via", node.host_address])
    run(["ip", "route", "add", node.pods, "via", node.address, "dev", node.link])
    to = ["-d", SERVICE_ADDRESS, "-p", "tcp", "--dport", "443", "-j", "DNAT"]
    to += ["--to-destination", f"{node.address}:{API_PORT}"]
    run([*inside, "iptables", "-w", "10", "-t", "nat", "-A", "PREROUTING", *to])


def cover(node: Node, pid: int) -> None:
    """Put private directories and files over those of the machine, seen by this node only."""
    script = ["set -eu"]
    for path in _foreign_mounts(node, pid):
        script.append(f"umount -l '{path}'")  # a copy here would keep a disk of somebody else busy
    for path, name in COVERED.items():
        private = node.private / name
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(path).mkdir(parents=True, exist_ok=True)
        script.append(f"mount --bind '{private}' '{path}'")
    for setting, value in KERNEL.items():
        private = node.private / "sys" / setting
        private.parent.mkdir(parents=True, exist_ok=True)
        private.write_text(f"{value}\n")
        script.append(f"mount --bind '{private}' '/proc/sys/{setting}'")
    run([*enter(pid, "mount"), "sh"], text="\n".join(script) + "\n")


def _foreign_mounts(node: Node, pid: int) -> list[str]:
    """Mount points in the directory for temporary files that do not hold the node, deepest first.

    As the holder sees them: on the machine others come and go, which must not stop this node.
    """
    temporary = Path(tempfile.gettempdir()).resolve()
    found = []
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        point = Path(line.split()[4].encode().decode("unicode_escape"))
        if temporary in point.parents and point != node.path and point not in node.path.parents:
            found.append(str(point))
    return sorted(found, key=len, reverse=True)


def links() -> set[str]:
    """The host's ends of all nodes of this machine."""
    return {path.name for path in Path("/sys/class/net").glob(f"{LINK_PREFIX}[0-9]*")}


def is_free(node: Node) -> bool:
    """Whether no other node has this number and no route of the machine leads where it would be."""
    if node.link in links():
        return False
    routes = run(["ip", "-4", "route", "show", "table", "all"]).splitlines()
    taken = (node.address.rpartition(".")[0] + ".", node.pods.rpartition(".")[0] + ".")
    return not any(word.startswith(taken) for line in routes for word in line.split())


def disconnect(node: Node) -> None:
    """Take the cable away; harmless where there is none."""
    if node.link in links():
        # Where the namespace has just ended, the kernel is taking it away itself.
        with contextlib.suppress(Transient):
            run(["ip", "link", "delete", node.link])


def uncover() -> None:
    """Remove the directories made as mount points where they are empty and no other node is up."""
    if links():
        return
    for path in COVERED:
        with contextlib.suppress(OSError):
            Path(path).rmdir()
