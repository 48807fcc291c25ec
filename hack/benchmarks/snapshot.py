"""snapshot: how long a Snapshot of 10,000 objects takes, and restoring it into the emptied cluster by the command.

Half of the objects are finished jobs, half are queued ones; their statuses are written as the controller records them.
The Snapshot is timed from the creation of the object to its recorded end, the restore from exec to exit. On a machine
that others use too, its CPU time and its requests for each object say more than how long it took.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.result import Result, at_least, at_most, say
from benchmarks.rig import GROUP, IN_FLIGHT, Object, Options, Rig, names, rig

OBJECTS = 10_000
NAMESPACE = "snapshot"
LIMIT_SECONDS = 600.0
TARGETS = {
    "snapshot_s": at_most(5),
    "restore_s": at_most(60),
    "out_of_order": at_most(0),
    "restored_share": at_least(1),
}


async def run(options: Options) -> Result:
    """Fill a cluster, take, empty, restore, compare."""
    result = Result("snapshot", TARGETS)
    count = options.at_most(OBJECTS)
    async with rig(options) as bench:
        result.machine = bench.machine
        await bench.namespace(NAMESPACE)
        await bench.queue(NAMESPACE, 1, paused=True)
        say(f"snapshot: {count} objects")
        jobs = names(count)
        await bench.create(NAMESPACE, jobs, ["true"])
        await asyncio.gather(bench.finish(NAMESPACE, jobs[: count // 2]), _queued(bench, jobs[count // 2 :]))
        controller = bench.start_controller(1)
        await controller.ready()
        await controller.quiet()
        before = _order(await bench.jobs(NAMESPACE))
        began = time.monotonic()
        status = await _take(bench)
        result.add(snapshot_s=time.monotonic() - began, archive_mb=status["bytes"] / 1e6)
        result.add(controller_mb_after=controller.rss_mb())
        controller.end(signal.SIGTERM)
        await _empty(bench, jobs)
        position, servers, cpu = bench.audit.position(), bench.component_cpu(), _cpu_of_children()
        took = await _restore(bench, status["location"], options.profile)
        result.add(restore_s=took, restored_per_s=count / took, restore_command_cpu_s=_cpu_of_children() - cpu)
        result.add(**{f"restore_{name}_cpu_s": now - servers[name] for name, now in bench.component_cpu().items()})
        calls = [call for call in bench.audit.since(position) if call.by_controller]
        result.add(restore_requests_per_object=len(calls) / count)
        back = await bench.jobs(NAMESPACE)
        result.add(restored_share=len(back) / count, out_of_order=_displaced(before, _order(back)))
    return result


async def _empty(bench: Rig, jobs: list[str]) -> None:
    """One by one: a DELETE of the collection takes longer than the API server gives one request."""
    limit = asyncio.Semaphore(IN_FLIGHT)

    async def one(name: str) -> None:
        async with limit:
            await bench.request("DELETE", f"{GROUP}/namespaces/{NAMESPACE}/batchjobs/{name}")

    await asyncio.gather(*(one(name) for name in jobs))


async def _queued(bench: Rig, jobs: list[str]) -> None:
    limit = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int, name: str) -> None:
        async with limit:
            path = f"{GROUP}/namespaces/{NAMESPACE}/batchjobs/{name}/status"
            status = {"phase": "Queued", "sequence": 100_000 + number, "queuePosition": number + 1}
            await bench.request("PATCH", path, {"status": status}, patch=True)

    await asyncio.gather(*(one(number, name) for number, name in enumerate(jobs)))


async def _take(bench: Rig) -> Object:
    path = f"{GROUP}/namespaces/{NAMESPACE}/snapshots"
    body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "Snapshot", "metadata": {"name": "bench"}, "spec": {}}
    await bench.request("POST", path, body)
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        status: dict[str, Any] = (await bench.request("GET", f"{path}/bench")).get("status", {})
        if status.get("phase") == "Complete":
            return status
        if status.get("phase") == "Failed":
            raise RuntimeError(status["message"])
        await asyncio.sleep(0.05)
    raise RuntimeError(f"no Snapshot within {LIMIT_SECONDS:g} s")


async def _restore(bench: Rig, location: str, profile: Path | None) -> float:
    env = {**os.environ, "HOLDFAST_HOME": str(bench.home), "HOLDFAST_KUBECONFIG": str(bench.plane.kubeconfig)}
    argv = [sys.executable, "-P", "-m", "controller.cli.main", "restore", location]
    if profile is not None:
        file = profile.with_name(f"{profile.name}.restore")
        argv = [sys.executable, "-P", str(Path(__file__).with_name("profiled.py")), str(file), "restore", location]
    began = time.monotonic()
    child = await asyncio.create_subprocess_exec(*argv, env=env, stdout=sys.stderr, stderr=sys.stderr)
    async with asyncio.timeout(LIMIT_SECONDS):
        code = await child.wait()
    if code != 0:
        raise RuntimeError(f"holdfast restore ended with {code}")
    return time.monotonic() - began


def _cpu_of_children() -> float:
    """CPU seconds of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _order(jobs: list[Object]) -> list[str]:
    """Names in the order of the queue."""
    return [job["metadata"]["name"] for job in sorted(jobs, key=lambda job: job["status"]["sequence"])]


def _displaced(before: list[str], after: list[str]) -> int:
    return sum(one != other for one, other in zip(before, after, strict=False))
