"""What the node needs of the machine: root, Linux, Debian packages, and binaries that are built once and kept."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.errors import Terminal
from controller.local import binaries, gobuild
from controller.local.binaries import Binaries
from hack import kept
from hack.node.layout import CHECKOUT
from hack.node.run import run

# Program or file that is looked for -> the Debian package that has it.
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "busybox": "busybox-static",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
}
OWN_CLUSTER = "Use a cluster of your own instead, for example kind, and name it with --context where a command takes it"
HELM_VERSION = "3.21.4"  # as in hack/helm/go.mod
APT_SECONDS = 600.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Programs:
    """The control plane's binaries and those of the node."""

    plane: Binaries
    scheduler: Path
    kubelet: Path


def check_machine() -> None:
    """Raises Terminal where no node can be made: not Linux, not root."""
    if sys.platform != "linux":
        raise Terminal("NotLinux", f"a node needs Linux, and this is {sys.platform}. {OWN_CLUSTER}")
    if os.geteuid() != 0:
        raise Terminal("NotRoot", f"a node needs root (namespaces, mounts, cgroups). {OWN_CLUSTER}")


def install_packages(say: Say, packages: Mapping[str, str] = PACKAGES) -> None:
    """Install what is missing with apt, without starting any of it; raises Terminal where there is no apt."""
    missing = sorted({package for program, package in packages.items() if find(program) is None})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Terminal("NoPackages", f"install these, there is no apt-get here: {', '.join(missing)}. {OWN_CLUSTER}")
    say(f"installing {', '.join(missing)}")
    run(["apt-get", "update", "-qq"], APT_SECONDS)
    policy = Path("/usr/sbin/policy-rc.d")
    made = not policy.exists()
    if made:  # invoke-rc.d(8): 101 forbids that the package starts a containerd of its own
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        options = ["-o", "Dpkg::Options::=--force-confold", "-y", "-qq", "--no-install-recommends"]
        run(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", *options, *missing], APT_SECONDS)
    finally:
        if made:
            policy.unlink()


def find(program: str) -> str | None:
    """Path of a program, also where the PATH lacks sbin."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def find_helm(cache: Path, say: Say) -> Path:
    """helm, built once from its pinned module; raises as `gobuild.build_package`."""
    path = cache.expanduser() / "helm" / f"helm-{HELM_VERSION}"
    stamp = f"-s -w -X helm.sh/helm/v3/internal/version.version=v{HELM_VERSION}"
    return kept.find_or_build("helm.sh/helm/v3/cmd/helm", stamp, CHECKOUT / "hack" / "helm", path, say)


def prepare(cache: Path, say: Say) -> Programs:
    """Everything that takes long the first time."""
    check_machine()
    install_packages(say)
    return find_or_build(cache, say)


def find_or_build(cache: Path, say: Say) -> Programs:
    """The binaries; kubelet and scheduler are built from the pinned modules where the cache lacks them."""
    plane = binaries.find_or_make(cache, say)
    directory = binaries.cache_directory(cache)
    names = ("kube-scheduler", "kubelet")
    if not all(binaries.is_executable(directory / name) for name in names):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with binaries.turn(directory, say):
            gobuild.build([name for name in names if not binaries.is_executable(directory / name)], directory, say)
    return Programs(plane, directory / "kube-scheduler", directory / "kubelet")
