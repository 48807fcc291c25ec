"""Where everything of one node lies and which names and addresses it has; nothing here does anything.

Several nodes live side by side on a machine: each has a number, and its host link, subnets and cgroup follow from it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from controller.files import atomic
from controller.local.home import Home

CHECKOUT = Path(__file__).resolve().parents[2]
LINK_PREFIX = "holdfast"
MAX_NODES = 16
API_PORT = 6443
# What Pods know as the API server: the first address of the service range.
SERVICE_ADDRESS = "10.0.0.1"
SERVICE_RANGE = "10.0.0.0/24"
# unix(7): a socket's path has at most 107 bytes; the longest one below the directory has 50.
MAX_PATH = 55


def default_directory() -> Path:
    """One directory per checkout."""
    return Path("/var/lib/holdfast-cluster") / hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Args:
        path: state directory, absolute.
        number: 0..15, its own on this machine for as long as the node is up.
    """

    path: Path
    number: int

    @property
    def home(self) -> Home:
        """Certificates, logs, records and etcd lie as those of `holdfast up`."""
        return Home(self.path)

    @property
    def name(self) -> str:
        return f"holdfast-{self.number}"

    @property
    def link(self) -> str:
        """The host's end of the cable into the node's network namespace."""
        return f"{LINK_PREFIX}{self.number}"

    @property
    def address(self) -> str:
        """Node and API server."""
        return f"10.200.{self.number}.1"

    @property
    def host_address(self) -> str:
        """The host as Pods see it: servers of a test listen here."""
        return f"10.200.{self.number}.2"

    @property
    def pods(self) -> str:
        """Subnet of the Pods, reachable from the host."""
        return f"10.210.{self.number}.0/24"

    @property
    def server(self) -> str:
        return f"https://{self.address}:{API_PORT}"

    @property
    def cgroup(self) -> str:
        """Parent of all Pods' cgroups, below the root of each hierarchy."""
        return f"holdfast-{self.number}"

    @property
    def audit_log(self) -> Path:
        """One JSON line per API request."""
        return self.path / "audit.log"

    @property
    def containerd(self) -> Path:
        return self.path / "containerd"

    @property
    def socket(self) -> Path:
        return self.containerd / "containerd.sock"

    @property
    def kubelet(self) -> Path:
        return self.path / "kubelet"

    @property
    def etc(self) -> Path:
        """Configuration files."""
        return self.path / "etc"

    @property
    def private(self) -> Path:
        """What the node sees in place of the machine's directories with fixed names."""
        return self.path / "private"

    @property
    def images(self) -> Path:
        return self.path / "images"


def read(path: Path) -> Node | None:
    """The node whose state is at `path`; None where there is none."""
    try:
        return Node(path, int(json.loads((path / "node.json").read_bytes())["number"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write(node: Node) -> None:
    """Remember which number the node has, before it takes anything of the machine."""
    node.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write_atomic(node.path / "node.json", json.dumps({"number": node.number}).encode())
