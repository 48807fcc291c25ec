"""The chart on a node of its own, for benchmarks with real Pods; nothing of it stays."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx

from benchmarks.audit import AuditLog
from benchmarks.result import machine, say
from controller.cli.access import load
from controller.settings import Settings
from hack.image import build
from hack.node import cgroups, down, images, up
from hack.node.layout import CHECKOUT, Node
from hack.node.needs import find_helm
from hack.node.run import run

NAMESPACE, NAME = "holdfast-system", "holdfast"
INSTALL_SECONDS = 300.0
LIMIT_SECONDS = 600.0
POLL_SECONDS = 0.02
Object = dict[str, Any]


class Installed:
    """Use `installed()`."""

    def __init__(self, node: Node, http: httpx.AsyncClient) -> None:
        self.node = node
        self.audit = AuditLog(node.audit_log)
        self.machine = machine(node.path)
        self._http = http

    async def request(self, method: str, path: str, body: Object | None = None) -> Object:
        """One call; raises RuntimeError with the server's answer where it is refused."""
        answer = await self._http.request(method, path, json=body)
        if answer.status_code >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return dict(answer.json())

    async def leader(self) -> str:
        """Name of the Pod that holds the Lease, "" where nobody does."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{NAME}"
        holder: str = (await self.request("GET", path))["spec"].get("holderIdentity") or ""
        return holder.rpartition("_")[0]

    async def pods(self) -> dict[str, Object]:
        """The controllers' Pods by name, those left out that are going away."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io/name={NAME}"
        found = (await self.request("GET", path))["items"]
        return {pod["metadata"]["name"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}

    async def settled(self) -> None:
        """Wait until two replicas are ready and one of them leads."""

        async def look() -> bool:
            pods = await self.pods()
            ready = [name for name, pod in pods.items() if _is_ready(pod)]
            return len(pods) == 2 == len(ready) and await self.leader() in pods

        await until(look, "two replicas are ready")

    async def processes(self, pod: str) -> list[int]:
        """Of a controller's Pod, the oldest first."""
        return cgroups.pids_of_pod(self.node.cgroup, (await self.pods())[pod]["metadata"]["uid"])

    async def replace(self, pod: str) -> None:
        """Have a new Pod in the place of one whose process was ended: the kubelet would wait longer each time."""
        body = {"gracePeriodSeconds": 0}
        await self._http.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}", json=body)


async def until(look: Callable[[], Any], what: str, poll_seconds: float = POLL_SECONDS) -> float:
    """Wait until `look` tells something true; returns the seconds that it took."""
    began = time.monotonic()
    while not await look():
        if time.monotonic() - began > LIMIT_SECONDS:
            raise RuntimeError(f"not within {LIMIT_SECONDS:g} s: {what}")
        await asyncio.sleep(poll_seconds)
    return time.monotonic() - began


@contextlib.asynccontextmanager
async def installed() -> AsyncIterator[Installed]:
    """A fresh node with the chart of this checkout; everything is stopped and removed at the end."""
    cache = Settings().cache.expanduser()
    helm = await asyncio.to_thread(find_helm, cache, say)
    (cache / "image").mkdir(mode=0o700, parents=True, exist_ok=True)
    image = await asyncio.to_thread(build.build, cache / "image", build.find_uv(), say)
    root = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    try:
        node = await up.up(root / "node", cache, say)
        await asyncio.to_thread(images.load, node, image)
        repository, tag = build.image_name(image).rsplit(":")
        values = f"image.repository={repository},image.tag={tag},image.pullPolicy=Never"
        say("installing the chart")
        argv = [
            "env",
            f"KUBECONFIG={node.home.kubeconfig}",
            str(helm),
            "install",
            NAME,
            str(CHECKOUT / "charts/holdfast"),
        ]
        argv += [f"--namespace={NAMESPACE}", "--create-namespace", f"--set={values}", "--wait", "--timeout=240s"]
        await asyncio.to_thread(run, argv, INSTALL_SECONDS)
        async with _client(node) as http:
            made = Installed(node, http)
            await made.settled()
            yield made
    finally:
        if (root / "node").exists():
            await down.down(root / "node", say)
        shutil.rmtree(root, ignore_errors=True)


def _client(node: Node) -> httpx.AsyncClient:
    access = load(node.home.kubeconfig)
    headers = {**access.headers, "User-Agent": "holdfast-bench"}
    return httpx.AsyncClient(
        base_url=access.server, verify=access.tls or True, headers=headers, timeout=60, trust_env=False
    )


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any((condition["type"], condition["status"]) == ("Ready", "True") for condition in conditions)
