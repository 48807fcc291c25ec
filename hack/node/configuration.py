"""Configuration files of containerd, CNI and kubelet, and the kubeconfigs; each follows from the Node alone."""

from __future__ import annotations

import json
from typing import Any

import yaml

from controller.files import atomic
from controller.local import certs
from controller.local.certs import Client
from controller.local.home import file_system
from controller.local.plane import AUDIT_POLICY
from hack.node.images import PAUSE
from hack.node.layout import Node

CLIENTS = ("admin", "controller-manager", "scheduler", "kubelet")
CNI_PLUGINS = "/usr/lib/cni"


def write(node: Node) -> None:
    """Write all of them, with the certificates; what is unchanged is written again as it is."""
    for directory in (node.etc / "cni", node.containerd, node.kubelet):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certs.ensure(
        node.home,
        clients=[
            Client("scheduler", "system:kube-scheduler"),
            Client("kubelet", f"system:node:{node.name}", "system:nodes"),
        ],
        addresses=[node.address],
    )
    for client in CLIENTS:
        path = node.home.kubeconfig if client == "admin" else node.home.pki / f"{client}.kubeconfig"
        atomic.write_atomic(path, certs.kubeconfig(node.home, client, node.server))
    atomic.write_atomic(node.home.components / "audit-policy.yaml", AUDIT_POLICY)
    atomic.write_atomic(node.etc / "containerd.toml", containerd(node).encode())
    atomic.write_atomic(node.etc / "cni" / "10-holdfast.conflist", json.dumps(cni(node), indent=1).encode())
    atomic.write_atomic(node.etc / "kubelet.yaml", yaml.safe_dump(kubelet(node)).encode())
    atomic.write_atomic(node.etc / "resolv.conf", b"# There is no DNS in this cluster.\n")


def containerd(node: Node) -> str:
    """containerd-config.toml(5) for containerd 1.6 and 1.7."""
    root = node.containerd
    # overlayfs cannot lie on overlayfs, as in a container.
    snapshotter = "native" if file_system(node.path) == "overlay" else "overlayfs"
    return f"""version = 2
root = "{root}/root"
state = "{root}/state"
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "{node.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{node.etc}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{root}/runc"
        SystemdCgroup = false
"""


def cni(node: Node) -> dict[str, Any]:
    """A bridge that the plugin makes, with addresses kept in the node's directory."""
    ipam: dict[str, Any] = {"type": "host-local", "dataDir": str(node.private / "cni")}
    ipam |= {"ranges": [[{"subnet": node.pods}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True, "ipam": ipam}
    return {"cniVersion": "1.0.0", "name": "holdfast", "plugins": [bridge]}


def kubelet(node: Node) -> dict[str, Any]:
    """KubeletConfiguration: images are never collected, since none can be pulled again."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "containerRuntimeEndpoint": f"unix://{node.socket}",
        "failSwapOn": False,
        "resolvConf": str(node.etc / "resolv.conf"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(node.home.crt("ca"))},
        },
        "authorization": {"mode": "Webhook"},
        "makeIPTablesUtilChains": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        "volumePluginDir": str(node.kubelet / "volumeplugins"),
    }
