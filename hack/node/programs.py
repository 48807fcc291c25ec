"""The servers of a node: how each is started and when it is ready. Flags are the ones proven for Kubernetes 1.36.

etcd, API server and controller manager are those of `holdfast up`, with what a node needs on top.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from controller.errors import HoldfastError
from controller.local import components, http
from controller.local.components import MARKER, Component, Launch, marker_of
from controller.local.http import Request
from controller.local.ports import Ports
from hack.node import images
from hack.node.layout import API_PORT, SERVICE_RANGE, Node
from hack.node.needs import Programs, find
from hack.node.network import enter

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# In stop order. What is not ended by then is killed.
STOP_SECONDS: Mapping[str, float] = {
    "kubelet": 5.0,
    "scheduler": 3.0,
    "controller-manager": 5.0,
    "apiserver": 10.0,
    "etcd": 10.0,
    "containerd": 5.0,
    "namespaces": 1.0,
}
MANAGER_PORT = 10257
SCHEDULER_PORT = 10259


def marked(node: Node, name: str) -> dict[str, str]:
    """Environment of a server; what it starts inherits the marker and is found by it."""
    return {"PATH": PATH, "HOME": str(node.path), MARKER: marker_of(node.home, name)}


def overridden(launch: Launch, flags: Mapping[str, str]) -> list[str]:
    """The command line of `launch` with these flags in place of its own; "" removes one."""
    kept = [argument for argument in launch.argv if argument.partition("=")[0] not in flags]
    return [*kept, *(f"{name}={value}" for name, value in flags.items() if value)]


def of(node: Node, programs: Programs, holder: int) -> dict[str, Component]:
    """All servers of the node by name; `holder` is the process with the node's namespaces."""
    ports = Ports(node.home.ports)
    api = components.ApiServer(node.home, programs.plane.apiserver, ports, node.audit_log)
    manager = components.ControllerManager(node.home, programs.plane.controller_manager, ports)
    return {
        "etcd": components.Etcd(node.home, programs.plane.etcd, fsync=False),
        "apiserver": ApiServer(node, api, holder),
        "controller-manager": ControllerManager(node, manager, holder),
        "scheduler": Scheduler(node, programs.scheduler, holder),
        "containerd": Containerd(node, holder),
        "kubelet": Kubelet(node, programs.kubelet, holder),
    }


async def ask(node: Node, port: int, path: str) -> http.Response | str:
    """What a server of the node answers, or why it does not."""
    try:
        return await http.over_tls(node.home, port, Request(path), node.address)
    except (HTTPException, OSError) as error:
        return f"https://{node.address}:{port}{path}: {error or type(error).__name__}"


async def healthy(node: Node, port: int, path: str) -> str | None:
    """None where the server answers 200."""
    answer = await ask(node, port, path)
    if isinstance(answer, str):
        return answer
    return None if answer.status == 200 else answer.text.strip()[-300:]


@dataclass
class ApiServer:
    """kube-apiserver on the node's address, which authorizes nodes and reaches kubelets for logs and exec."""

    node: Node
    plain: components.ApiServer
    holder: int
    name: str = "apiserver"
    stop_seconds: float = STOP_SECONDS["apiserver"]

    def launch(self) -> Launch:
        launch = self.plain.launch()
        home = self.node.home
        flags = {
            "--bind-address": self.node.address,
            "--advertise-address": self.node.address,
            "--secure-port": str(API_PORT),
            "--authorization-mode": "Node,RBAC",
            "--enable-admission-plugins": "NodeRestriction",
            "--kubelet-client-certificate": str(home.crt("admin")),
            "--kubelet-client-key": str(home.key("admin")),
            "--kubelet-preferred-address-types": "InternalIP",
            "--service-cluster-ip-range": SERVICE_RANGE,
        }
        return replace(launch, argv=[*enter(self.holder, "net"), *overridden(launch, flags)], port=API_PORT)

    async def probe(self) -> str | None:
        return await healthy(self.node, API_PORT, "/readyz")


@dataclass
class ControllerManager:
    """kube-controller-manager with all controllers, which hands out the Pods' subnet and signs certificates."""

    node: Node
    plain: components.ControllerManager
    holder: int
    name: str = "controller-manager"
    stop_seconds: float = STOP_SECONDS["controller-manager"]

    def launch(self) -> Launch:
        launch = self.plain.launch()
        home = self.node.home
        flags = {
            "--controllers": "*",
            "--bind-address": self.node.address,
            "--secure-port": str(MANAGER_PORT),
            "--allocate-node-cidrs": "true",
            "--cluster-cidr": self.node.pods,
            "--service-cluster-ip-range": SERVICE_RANGE,
            "--node-cidr-mask-size": self.node.pods.rpartition("/")[2],
            "--cluster-signing-cert-file": str(home.crt("ca")),
            "--cluster-signing-key-file": str(home.key("ca")),
        }
        return replace(launch, argv=[*enter(self.holder, "net"), *overridden(launch, flags)], port=MANAGER_PORT)

    async def probe(self) -> str | None:
        return await healthy(self.node, MANAGER_PORT, "/healthz")


@dataclass
class Scheduler:
    """kube-scheduler."""

    node: Node
    binary: Path
    holder: int
    name: str = "scheduler"
    stop_seconds: float = STOP_SECONDS["scheduler"]

    def launch(self) -> Launch:
        home = self.node.home
        kubeconfig = home.pki / "scheduler.kubeconfig"
        argv = [
            *enter(self.holder, "net"),
            str(self.binary),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--bind-address={self.node.address}",
            f"--secure-port={SCHEDULER_PORT}",
            f"--tls-cert-file={home.crt('serving')}",
            f"--tls-private-key-file={home.key('serving')}",
            "--leader-elect=false",
        ]
        return Launch(argv, home.path, marked(self.node, self.name), SCHEDULER_PORT)

    async def probe(self) -> str | None:
        return await healthy(self.node, SCHEDULER_PORT, "/healthz")


@dataclass
class Containerd:
    """containerd with its own root, state and socket; its shims outlive it."""

    node: Node
    holder: int
    name: str = "containerd"
    stop_seconds: float = STOP_SECONDS["containerd"]

    def launch(self) -> Launch:
        config = self.node.etc / "containerd.toml"
        argv = [*enter(self.holder, "mount", "net"), find("containerd") or "containerd", f"--config={config}"]
        return Launch(argv, self.node.path, marked(self.node, self.name))

    async def probe(self) -> str | None:
        if not self.node.socket.exists():
            return f"{self.node.socket} is not there yet"
        try:
            images.names(self.node)
        except HoldfastError as error:
            return error.message
        return None


@dataclass
class Kubelet:
    """kubelet; ready when the API server shows a Node that takes Pods."""

    node: Node
    binary: Path
    holder: int
    name: str = "kubelet"
    stop_seconds: float = STOP_SECONDS["kubelet"]

    def launch(self) -> Launch:
        argv = [
            *enter(self.holder, "mount", "net"),
            str(self.binary),
            f"--config={self.node.etc / 'kubelet.yaml'}",
            f"--kubeconfig={self.node.home.pki / 'kubelet.kubeconfig'}",
            f"--hostname-override={self.node.name}",
            f"--node-ip={self.node.address}",
            f"--root-dir={self.node.kubelet}",
            f"--cert-dir={self.node.kubelet / 'pki'}",
        ]
        return Launch(argv, self.node.path, marked(self.node, self.name))

    async def probe(self) -> str | None:
        answer = await ask(self.node, API_PORT, f"/api/v1/nodes/{self.node.name}")
        if isinstance(answer, str):
            return answer
        if answer.status != 200:
            return f"Node {self.node.name}: HTTP {answer.status}"
        return _not_ready(json.loads(answer.text))


def _not_ready(content: dict[str, Any]) -> str | None:
    """Why a Node takes no Pods: the taint goes a moment after the condition has come."""
    conditions = {one["type"]: one for one in content.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {"status": "False", "message": "the Node has no condition Ready"})
    if ready["status"] != "True":
        return str(ready["message"])
    taints = [taint["key"] for taint in content["spec"].get("taints", []) if "node.kubernetes.io/" in taint["key"]]
    return f"the Node has taints: {', '.join(taints)}" if taints else None
