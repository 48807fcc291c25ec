"""locks: how soon a repository goes from one holder to the next, what that costs in writes, and locks after a SIGKILL.

Jobs of one queue want the same repository Exclusive, so they run one after the other whatever the concurrency. A
hand-over is the time from the record of one job's end to the admission of the next one, by the controller's clock; lock
and fence are written in between. It is measured over the first HANDOVERS of 10, 100 and 1,000 waiters.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import httpx

from benchmarks import audit
from benchmarks.child import Controller
from benchmarks.result import Result, at_most, percentile, say
from benchmarks.rig import GROUP, Object, Options, Rig, names, rig

WAITERS = (10, 100, 1000)
HANDOVERS = 30
REPOSITORIES, HOLDERS = 10, 100
CONCURRENCY = 8
LIMIT_SECONDS = 300.0

TARGETS = {
    "handover_p99_s_10": at_most(0.1),
    "lock_writes_per_cycle_100": at_most(4),
    "out_of_order_1000": at_most(0),
    "reconciled_after_kill_s": at_most(1),
}
LOCK_WRITES = ("repositories/status", "repositorylocks", "repositorylocks/status")


async def run(options: Options) -> Result:
    """Play the hand-overs, then the kill."""
    result = Result("locks", TARGETS)
    async with rig(options) as bench:
        result.machine = bench.machine
        remote = _remote(bench.home.parent / "remote")
        controller = bench.start_controller(HOLDERS)
        await controller.ready()
        for waiters in [number for number in WAITERS if options.at_most(number) == number]:
            say(f"locks: {waiters} waiters")
            result.add(**await _handovers(bench, remote, waiters))
        holders = options.at_most(HOLDERS)
        say(f"locks: {holders} holders of {REPOSITORIES} repositories, SIGKILL")
        result.add(**await _kill(bench, controller, remote, holders))
    return result


def _remote(path: Path) -> str:
    """A repository with one commit; returns its URL."""
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-C", str(path)]
    path.mkdir()
    for command in (
        ["git", "init", "--quiet", "--initial-branch=main", str(path)],
        [*git, "commit", "--quiet", "--allow-empty", "--message=first"],
    ):
        subprocess.run(command, check=True, timeout=60)
    return f"file://{path}"


async def _repository(bench: Rig, namespace: str, name: str, url: str) -> None:
    body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "Repository", "metadata": {"name": name}}
    spec = {"url": url, "refreshInterval": "1h"}
    await bench.request("POST", f"{GROUP}/namespaces/{namespace}/repositories", {**body, "spec": spec})


async def _handovers(bench: Rig, url: str, waiters: int) -> dict[str, float]:
    namespace = f"waiters-{waiters}"
    await bench.namespace(namespace)
    await bench.queue(namespace, CONCURRENCY, paused=True)
    await _repository(bench, namespace, "shop", url)
    position = bench.audit.position()
    use = {"name": "shop", "lock": "Exclusive"}
    await bench.create(namespace, names(waiters), ["true"], {"repository": use})
    await bench.until(namespace, "all jobs are recorded as Queued", ("Queued",), waiters, 0)
    await bench.audit.quiet()
    made = bench.audit.since(position)
    position = bench.audit.position()
    await bench.unpause(namespace)
    ended = await _first_ended(bench, namespace, min(HANDOVERS, waiters))
    calls = [call for call in audit.writes(bench.audit.since(position)) if call.namespace == namespace]
    for job in await bench.jobs(namespace):
        if not job["status"].get("finishedAt"):
            path = f"{GROUP}/namespaces/{namespace}/batchjobs/{job['metadata']['name']}"
            await bench.request("DELETE", path)
    claims = sum(call.kind == "repositorylocks" and call.verb == "create" for call in audit.writes(made))
    times = [
        _time(next_["status"]["attempt"]["admittedAt"]) - _time(one["status"]["finishedAt"])
        for one, next_ in pairwise(ended)
    ]
    lock_writes = sum(call.kind in LOCK_WRITES and call.code < 400 for call in calls) / len(ended)
    return {
        f"handover_p50_s_{waiters}": percentile(times, 0.5),
        f"handover_p99_s_{waiters}": percentile(times, 0.99),
        f"out_of_order_{waiters}": sum(a["status"]["sequence"] > b["status"]["sequence"] for a, b in pairwise(ended)),
        f"lock_writes_per_cycle_{waiters}": lock_writes + claims / waiters,
    }


async def _first_ended(bench: Rig, namespace: str, count: int) -> list[Object]:
    """The first `count` jobs that ended, in the order of their tokens."""
    deadline = time.monotonic() + LIMIT_SECONDS
    path = f"{GROUP}/namespaces/{namespace}/repositories/shop"
    while time.monotonic() < deadline:
        token = (await bench.request("GET", path))["status"].get("lock", {}).get("token", 0)
        if token >= count:
            jobs = [job for job in await bench.jobs(namespace) if job["status"].get("finishedAt")]
            if len(jobs) >= count:
                return sorted(jobs, key=lambda job: int(job["status"]["attempt"]["lockToken"]))[:count]
        await asyncio.sleep(0.2)
    raise RuntimeError(f"{count} jobs have not ended within {LIMIT_SECONDS:g} s")


async def _kill(bench: Rig, controller: Controller, url: str, holders: int) -> dict[str, float]:
    namespace, shops = "holders", [f"shop-{number}" for number in range(REPOSITORIES)]
    await bench.namespace(namespace)
    await bench.queue(namespace, holders)
    for shop in shops:
        await _repository(bench, namespace, shop, url)
    for number, shop in enumerate(shops):
        mine = names(holders)[number::REPOSITORIES]
        await bench.create(namespace, mine, ["sleep", "86400"], {"repository": {"name": shop, "lock": "Shared"}})
    await bench.until(namespace, "all jobs run", ("Running",), 0, holders)
    await bench.audit.quiet()
    controller.end(signal.SIGKILL)
    position = bench.audit.position()
    second = bench.start_controller(holders)
    listed = await _reconciled(second, len(shops))
    stages = await second.stages()
    await bench.audit.quiet()
    writes = [call for call in audit.writes(bench.audit.since(position)) if call.kind in LOCK_WRITES]
    return {"reconciled_after_kill_s": listed - stages["listed"], "lock_writes_after_kill": len(writes)}


async def _reconciled(controller: Controller, count: int) -> float:
    """Seconds from the controller's start until `count` Repositories were reconciled, each holder proved."""
    await controller.ready()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            text = (await client.get(f"{controller.url}/metrics")).text
            wanted = 'holdfast_reconcile_duration_seconds_count{kind="Repository"}'
            done = next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(wanted)), 0)
            if done >= count:
                return time.time() - controller.began
            await asyncio.sleep(0.01)
    raise RuntimeError("the locks are not reconciled")


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
