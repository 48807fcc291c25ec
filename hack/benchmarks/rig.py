"""What a benchmark runs on: the real control plane with its audit log, a controller as a child process, a fast client.

The controller is started as `holdfast controller` with the settings that `holdfast up` would give it; only the restarts
are the benchmark's, so that their moments are known.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import processes
from benchmarks.audit import AuditLog
from benchmarks.child import Controller
from benchmarks.result import machine, say
from controller.local.binaries import find_or_make
from controller.local.http import tls_context
from controller.local.plane import Plane
from controller.local.stopjobs import stop_jobs
from controller.settings import Settings

GROUP = "/apis/holdfast.dev/v1alpha1"
IN_FLIGHT = 32  # what the API server takes from one client at full speed
LIMIT_SECONDS = 600.0
PATIENCE_SECONDS = 20.0
Object = dict[str, Any]


@dataclass
class Options:
    """Of the command line.

    Args:
        jobs: upper bound of the number of objects, None for the benchmark's own.
        seconds: of the idle measurement.
        profile: file for cProfile's statistics of the controller, or None.
        parts: of a benchmark that has some; empty: all of them.
    """

    jobs: int | None = None
    seconds: float = 60.0
    profile: Path | None = None
    parts: tuple[str, ...] = ()

    def at_most(self, number: int) -> int:
        """`number`, or fewer where a smaller run is asked for."""
        return number if self.jobs is None else min(number, self.jobs)


class Rig:
    """Use `rig()`; one per scenario."""

    def __init__(self, home: Path, plane: Plane, audit: AuditLog, group: processes.Group, options: Options) -> None:
        self.home = home
        self.plane = plane
        self.audit = audit
        self.group = group
        self.machine = machine(home) | {"cpu_accounting": group.how}
        self._profile = options.profile
        self._session: aiohttp.ClientSession | None = None
        self._controller: Controller | None = None

    async def connect(self) -> None:
        """Open the client."""
        port = self.plane.record("apiserver").port
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT, ssl=tls_context(self.plane.home))
        self._session = aiohttp.ClientSession(
            f"https://127.0.0.1:{port}",
            connector=connector,
            headers={"User-Agent": "holdfast-bench"},
            timeout=aiohttp.ClientTimeout(total=60),
        )

    async def close(self) -> None:
        """End the controller, the jobs and the client."""
        if self._controller is not None:
            await asyncio.to_thread(self._controller.end, signal.SIGTERM)
        await stop_jobs(self.home)
        if self._session is not None:
            await self._session.close()

    def start_controller(self, max_running: int, settings: Mapping[str, str] | None = None) -> Controller:
        """Start it, with further settings where given, and return at once."""
        argv = [sys.executable, "-P", "-m", "controller.cli.main", "controller"]
        if self._profile is not None:
            argv = [sys.executable, "-P", str(Path(__file__).with_name("profiled.py")), str(self._profile)]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and "HOLDFAST_" not in name}
        env |= {
            "HOLDFAST_HOME": str(self.home),
            "HOLDFAST_KUBECONFIG": str(self.plane.kubeconfig),
            "HOLDFAST_MAX_RUNNING": str(max_running),
            "HOLDFAST_GIT_SCHEMES": "file",
            **(settings or {}),
        }
        with (self.home / "logs" / "controller.log").open("ab") as log:
            began = time.time()
            child = subprocess.Popen(
                self.group.command(argv), env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home
            )
        self._controller = Controller(child, began, self.home, log.name)
        return self._controller

    async def request(self, method: str, path: str, body: Object | None = None, patch: bool = False) -> Object:
        """One call; raises RuntimeError with the server's answer where it is refused."""
        assert self._session is not None
        kind = "application/merge-patch+json" if patch else "application/json"
        async with self._session.request(method, path, json=body, headers={"Content-Type": kind}) as answer:
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {await answer.text()}")
            return dict(await answer.json())

    async def namespace(self, name: str) -> None:
        """Make a namespace."""
        await self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    async def queue(self, namespace: str, concurrency: int, *, paused: bool = False) -> None:
        """Make the JobQueue `bench`."""
        spec = {"concurrency": concurrency, "paused": paused}
        body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "JobQueue", "metadata": {"name": "bench"}, "spec": spec}
        await self.request("POST", f"{GROUP}/namespaces/{namespace}/jobqueues", body)

    async def unpause(self, namespace: str) -> None:
        """Let the jobs of the JobQueue `bench` go."""
        path = f"{GROUP}/namespaces/{namespace}/jobqueues/bench"
        await self.request("PATCH", path, {"spec": {"paused": False}}, patch=True)

    async def create(
        self, namespace: str, names: Iterable[str], command: list[str], more: Object | None = None
    ) -> None:
        """Create jobs in the queue `bench`, as fast as the server takes them; `more` is added to their spec."""
        limit = asyncio.Semaphore(IN_FLIGHT)

        async def one(name: str) -> None:
            spec = {"command": command, "queue": "bench", **(more or {})}
            body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "BatchJob", "metadata": {"name": name}, "spec": spec}
            async with limit:
                await self.request("POST", f"{GROUP}/namespaces/{namespace}/batchjobs", body)

        await asyncio.gather(*(one(name) for name in names))

    async def finish(self, namespace: str, names: Iterable[str]) -> None:
        """Write a status as the controller records it of a job that succeeded."""
        limit = asyncio.Semaphore(IN_FLIGHT)

        async def one(number: int, name: str) -> None:
            path = f"{GROUP}/namespaces/{namespace}/batchjobs/{name}/status"
            async with limit:
                await self.request("PATCH", path, {"status": finished(number)}, patch=True)

        await asyncio.gather(*(one(number, name) for number, name in enumerate(names)))

    async def jobs(self, namespace: str) -> list[Object]:
        """All jobs of a namespace."""
        return list((await self.request("GET", f"{GROUP}/namespaces/{namespace}/batchjobs"))["items"])

    async def until(
        self, namespace: str, what: str, phases: tuple[str, ...], pending: int, running: int
    ) -> list[Object]:
        """Wait until every job of the namespace is in one of `phases`; returns them.

        A LIST of all jobs would cost the servers as much as the jobs do, so it is made only when the queue's own counts
        are `pending` and `running`, or after a long while.
        """
        path = f"{GROUP}/namespaces/{namespace}/jobqueues/bench"
        deadline = time.monotonic() + LIMIT_SECONDS
        patience = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            counts = (await self.request("GET", path)).get("status", {})
            as_wanted = (counts.get("pending", 0), counts.get("running", 0)) == (pending, running)
            if as_wanted or time.monotonic() > patience:
                patience = time.monotonic() + PATIENCE_SECONDS
                found = await self.jobs(namespace)
                if all(job.get("status", {}).get("phase") in phases for job in found):
                    return found
            await asyncio.sleep(0.5)
        raise RuntimeError(f"not within {LIMIT_SECONDS:g} s: {what}")

    def component_cpu(self) -> dict[str, float]:
        """CPU seconds of API server and etcd so far."""
        pids = {name: self.plane.pid(name) for name in ("apiserver", "etcd")}
        return {name: processes.cpu_seconds(pid) for name, pid in pids.items() if pid is not None}


@contextlib.asynccontextmanager
async def rig(options: Options) -> AsyncIterator[Rig]:
    """A fresh control plane; everything is stopped and removed at the end."""
    root = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    try:
        found = await asyncio.to_thread(find_or_make, Settings().cache, say)
        log = root / "audit.log"
        with processes.group() as group:
            async with Plane(root / "home", found, audit_log=log, say=say) as plane:
                made = Rig(root / "home", plane, AuditLog(log), group, options)
                await made.connect()
                try:
                    yield made
                finally:
                    await made.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def names(count: int, prefix: str = "job") -> list[str]:
    """Names whose order is the order of creation."""
    return [f"{prefix}-{number:05d}" for number in range(count)]


def finished(number: int) -> Object:
    """A status as the controller records it of a job that succeeded."""
    moment, uid = "2026-01-01T00:00:00.000000Z", f"00000000-0000-4000-8000-{number:012d}"
    true = [
        {"type": kind, "status": "True", "reason": "Succeeded", "message": "exit code 0", "lastTransitionTime": moment}
        for kind in ("Admitted", "Complete", "Finished")
    ]
    attempt = {"id": f"{uid}.1", "number": 1, "state": "Succeeded", "stateId": uid, "host": "bench", "exitCode": 0}
    attempt |= {"admittedAt": moment, "startedAt": moment, "finishedAt": moment}
    return {
        "phase": "Succeeded",
        "conditions": true,
        "observedGeneration": 1,
        "sequence": 1 + number,
        "attempt": attempt,
        "finishedAt": moment,
        "output": {"bytes": 0, "location": f"bench:/var/lib/holdfast/runs/{uid}.1/output.log"},
    }
