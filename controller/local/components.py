"""The four components: how each is started, when it is ready, and how long it may take to stop.

Only descriptions live here; `supervise` starts, watches and stops. Flags are the ones proven for Kubernetes 1.36.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from typing import Protocol

from controller.local import http
from controller.local.home import Home
from controller.local.http import Request
from controller.local.ports import Ports

MARKER = "HOLDFAST_COMPONENT"
# In stop order: what depends on another one stops before it; a server without its etcd does not end on TERM for long.
STOP_SECONDS: Mapping[str, float] = {"controller": 30.0, "controller-manager": 5.0, "apiserver": 15.0, "etcd": 10.0}
NAMES: tuple[str, ...] = tuple(reversed(list(STOP_SECONDS)))
ETCD_QUOTA_BYTES = 8 * 1024**3
# Collecting garbage at every doubling of a small heap is a quarter of the API server's CPU under load; above the limit
# (soft, see runtime/debug in Go) it collects as often as it has to. With 10,000 objects 700 MiB is so near to what
# lives that two thirds of its CPU went into that, so the limit is a share of the machine where that is more.
GO_GC_PERCENT = "400"
GO_LIMIT_MIB, GO_LIMIT_SHARE = 700, 8
CONTROLLER_MODULE = "controller.cli.main"
CONTROLLERS = "garbage-collector-controller,namespace-controller,serviceaccount-controller"


@dataclass(frozen=True, slots=True)
class Launch:
    """What to execute. `env` is the whole environment; `version` changes when the program behind argv[0] does."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    port: int | None = None
    version: str = ""

    @property
    def fingerprint(self) -> str:
        """The same for the same program with the same arguments, directory and settings."""
        ours = {key: value for key, value in self.env.items() if key.startswith("HOLDFAST_")}
        text = json.dumps([list(self.argv), str(self.cwd), ours, self.version], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Component(Protocol):
    """One server: `probe` says why it is not ready yet; None means that it is."""

    name: str
    stop_seconds: float

    def launch(self) -> Launch: ...

    async def probe(self) -> str | None: ...


def marker_of(home: Home, name: str) -> str:
    """Value of the variable that marks a component's process."""
    return f"{name}@{home.path}"


def _server_environment(home: Home, name: str) -> dict[str, str]:
    """Servers get nothing of the caller's environment but what Go needs."""
    own = {"PATH": "/usr/bin:/bin", "HOME": str(home.path), "TMPDIR": str(home.etcd), MARKER: marker_of(home, name)}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024**2
    limit = max(GO_LIMIT_MIB, memory // GO_LIMIT_SHARE)
    return {**own, "GOGC": GO_GC_PERCENT, "GOMEMLIMIT": f"{limit}MiB"}


def _version(binary: Path) -> str:
    stat = binary.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}"


@dataclass
class Etcd:
    """etcd on unix sockets in its own 0700 directory, which is its working directory: paths stay under 108 bytes."""

    home: Home
    binary: Path
    fsync: bool = True
    data: str = "data"
    socket: str = "c.sock:0"
    peer: str = "p.sock:0"
    name: str = "etcd"
    stop_seconds: float = STOP_SECONDS["etcd"]

    def launch(self) -> Launch:
        argv = [
            str(self.binary),
            "--name=holdfast",
            f"--data-dir={self.data}",
            f"--listen-client-urls=unix://{self.socket}",
            f"--advertise-client-urls=unix://{self.socket}",
            f"--listen-peer-urls=unix://{self.peer}",
            f"--initial-advertise-peer-urls=unix://{self.peer}",
            f"--initial-cluster=holdfast=unix://{self.peer}",
            f"--quota-backend-bytes={ETCD_QUOTA_BYTES}",
            "--log-level=warn",
        ]
        if not self.fsync:
            argv.append("--unsafe-no-fsync")
        env = _server_environment(self.home, self.name)
        return Launch(argv, self.home.etcd, env, version=_version(self.binary))

    async def probe(self) -> str | None:
        try:
            response = await http.over_socket(self.home.etcd / self.socket, Request("/health"))
        except (HTTPException, OSError) as error:
            return f"no answer: {error or type(error).__name__}"
        return None if response.status == 200 else response.text.strip()


@dataclass
class ApiServer:
    """kube-apiserver on 127.0.0.1 with RBAC.

    Args:
        audit_log: where every request is logged at level Metadata, or None for no audit log.
    """

    home: Home
    binary: Path
    ports: Ports
    audit_log: Path | None = None
    name: str = "apiserver"
    stop_seconds: float = STOP_SECONDS["apiserver"]

    def launch(self) -> Launch:
        port = self.ports.get(self.name)
        argv = [
            str(self.binary),
            "--etcd-servers=unix://c.sock:0",
            # Exact LISTs at older versions (design 4) need the revisions of the last while.
            "--etcd-compaction-interval=1h",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={port}",
            f"--cert-dir={self.home.pki}",
            f"--tls-cert-file={self.home.crt('serving')}",
            f"--tls-private-key-file={self.home.key('serving')}",
            f"--client-ca-file={self.home.crt('ca')}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.home.crt('service-accounts')}",
            f"--service-account-signing-key-file={self.home.key('service-accounts')}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--allow-privileged=true",
        ]
        if self.audit_log is not None:
            policy = self.home.components / "audit-policy.yaml"
            argv += [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]
            # One file: what counts API calls wants all of them.
            argv += ["--audit-log-maxsize=100000"]
        env = _server_environment(self.home, self.name)
        return Launch(argv, self.home.etcd, env, port, _version(self.binary))

    async def probe(self) -> str | None:
        return await probe_https(self.home, self.ports.known(self.name), "/readyz")


@dataclass
class ControllerManager:
    """kube-controller-manager with the controllers that Holdfast needs: owner references, namespaces, accounts."""

    home: Home
    binary: Path
    ports: Ports
    name: str = "controller-manager"
    stop_seconds: float = STOP_SECONDS["controller-manager"]

    @property
    def kubeconfig(self) -> Path:
        return self.home.pki / "controller-manager.kubeconfig"

    def launch(self) -> Launch:
        port = self.ports.get(self.name)
        argv = [
            str(self.binary),
            f"--kubeconfig={self.kubeconfig}",
            f"--authentication-kubeconfig={self.kubeconfig}",
            f"--authorization-kubeconfig={self.kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={self.home.crt('serving')}",
            f"--tls-private-key-file={self.home.key('serving')}",
            "--leader-elect=false",
            f"--controllers={CONTROLLERS}",
            f"--service-account-private-key-file={self.home.key('service-accounts')}",
            f"--root-ca-file={self.home.crt('ca')}",
            # Its own user may read no custom resources; each controller's service account may (RBAC bootstrap roles).
            "--use-service-account-credentials=true",
        ]
        env = _server_environment(self.home, self.name)
        # The port of the API server stands in the kubeconfig, not in the arguments.
        version = f"{_version(self.binary)}-{self.ports.known('apiserver')}"
        return Launch(argv, self.home.path, env, port, version)

    async def probe(self) -> str | None:
        return await probe_https(self.home, self.ports.known(self.name), "/healthz")


@dataclass
class Controller:
    """The controller as a child of `up`; it writes the URL of its HTTP server to `Home.http`."""

    home: Home
    ports: Ports
    max_running: int
    stop_seconds: float = STOP_SECONDS["controller"]
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    name: str = "controller"

    def launch(self) -> Launch:
        env = {
            **self.environ,
            "HOLDFAST_HOME": str(self.home.path),
            "HOLDFAST_KUBECONFIG": str(self.home.kubeconfig),
            "HOLDFAST_MAX_RUNNING": str(self.max_running),
            "HOLDFAST_GIT_SCHEMES": self.environ.get("HOLDFAST_GIT_SCHEMES", "https,http,ssh,file"),
            "HOLDFAST_SNAPSHOT_ALLOW": self.environ.get("HOLDFAST_SNAPSHOT_ALLOW", "*"),
            MARKER: marker_of(self.home, self.name),
        }
        # -P: a directory named controller in the working directory must not be imported.
        argv = [sys.executable, "-P", "-m", CONTROLLER_MODULE, "controller"]
        version = f"{metadata.version('holdfast')}-{self.ports.known('apiserver')}"
        return Launch(argv, self.home.path, env, version=version)

    async def probe(self) -> str | None:
        url = self.url()
        if url is None:
            return f"{self.home.http} is not written yet"
        try:
            response = await http.plain(url.removeprefix("http://"), Request("/healthz"))
        except (HTTPException, OSError) as error:
            return f"{url}/healthz: {error or type(error).__name__}"
        return None if response.status == 200 else f"{url}/healthz: {response.text.strip()[:200]}"

    def url(self) -> str | None:
        """URL of its HTTP server; None before it is written."""
        return controller_url(self.home)


def controller_url(home: Home) -> str | None:
    """What the controller wrote to http.json; None where there is nothing that can be read."""
    try:
        url = json.loads(home.http.read_bytes())["url"]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    return str(url).rstrip("/")


async def probe_https(home: Home, port: int | None, path: str) -> str | None:
    """Ask a server of the home; None where it answers 200."""
    if port is None:
        return "no port is chosen yet"
    url = f"https://127.0.0.1:{port}{path}"
    try:
        response = await http.over_tls(home, port, Request(path))
    except (HTTPException, OSError) as error:
        return f"{url}: {error or type(error).__name__}"
    return None if response.status == 200 else f"{url}: {response.text.strip()[-300:]}"
