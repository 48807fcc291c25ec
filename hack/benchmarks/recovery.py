"""recovery: SIGKILL with 105, 1,000 and 10,000 queued jobs; how soon a new controller is at work, and what that costs.

Two restarts per size. In the first nothing has changed: every write would be one too many. Before the second the queue
is opened, one job at a time: the first admission, and whether the old order is kept.
"""

from __future__ import annotations

import asyncio
import signal
import time

from benchmarks import audit
from benchmarks.child import Controller
from benchmarks.result import Result, at_most, say
from benchmarks.rig import LIMIT_SECONDS, Options, Rig, names, rig

SIZES = (105, 1000, 10_000)
FOLLOWED = 105  # admissions whose order is compared
NAMESPACE = "recovery"
REPORTS = "recoveryreports"  # written once per phase at the most, whatever there is to recover

TARGETS = {
    **{f"writes_unchanged_{size}": at_most(0) for size in SIZES},
    **{f"report_writes_{size}": at_most(12) for size in SIZES},
    **{f"order_inversions_{size}": at_most(0) for size in SIZES},
    "own_ms_105": at_most(23),
    "own_ms_10000": at_most(5000),
}


async def run(options: Options) -> Result:
    """One fresh control plane per size."""
    result = Result("recovery", TARGETS)
    sizes = [size for size in SIZES if size <= options.at_most(size)] or [options.at_most(SIZES[0])]
    for size in sizes:
        say(f"recovery: {size} queued jobs")
        async with rig(options) as bench:
            result.machine = bench.machine
            figures = await _queue_and_kill(bench, size)
            figures |= await _unchanged(bench)
            figures |= await _opened(bench, size)
        result.add(**{f"{key}_{size}": value for key, value in figures.items()})
    return result


async def _queue_and_kill(bench: Rig, size: int) -> dict[str, float]:
    controller = bench.start_controller(1)
    await controller.ready()
    await bench.namespace(NAMESPACE)
    await bench.queue(NAMESPACE, 1, paused=True)
    began = time.monotonic()
    await bench.create(NAMESPACE, names(size), ["true"])
    await bench.until(NAMESPACE, "all jobs are recorded as Queued", ("Queued",), size, 0)
    queued = size / (time.monotonic() - began)
    await bench.audit.quiet()
    controller.end(signal.SIGKILL)
    return {"queued_per_s": queued}


async def _unchanged(bench: Rig) -> dict[str, float]:
    position = bench.audit.position()
    controller = bench.start_controller(1)
    ready = await controller.ready()
    stages = await controller.stages()
    quiet = await controller.quiet()
    await bench.audit.quiet()
    calls = bench.audit.since(position)
    writes = audit.writes(calls)
    controller.end(signal.SIGKILL)
    return {
        "ready_s": ready,
        "steady_s": stages["listed"] + stages["steady"],
        "quiet_s": quiet,
        "listed_s": stages["listed"],
        "after_list_ms": stages["gate"] * 1000,
        "list_cpu_ms": stages["list_cpu"] * 1000,
        # Reading the LIST is work that could be hidden by calling it waiting: it counts here.
        "own_ms": (stages["gate"] + stages["list_cpu"]) * 1000,
        "writes_unchanged": len([call for call in writes if not call.kind.startswith(REPORTS)]),
        "report_writes": len([call for call in writes if call.kind.startswith(REPORTS)]),
        "reads": len(audit.reads(calls)),
    }


async def _opened(bench: Rig, size: int) -> dict[str, float]:
    await bench.unpause(NAMESPACE)
    position = bench.audit.position()
    controller = bench.start_controller(1)
    admitted = await _admissions(bench, controller, position, min(size, FOLLOWED))
    controller.end(signal.SIGTERM)
    jobs = {job["metadata"]["name"]: job["status"]["sequence"] for job in await bench.jobs(NAMESPACE)}
    order = [jobs[call.name] for call in admitted]
    inversions = sum(a > b for index, a in enumerate(order) for b in order[index + 1 :])
    # The first of all jobs must be the first admitted ones, too.
    strangers = len(set(order) - set(sorted(jobs.values())[: len(order)]))
    return {
        "first_admission_s": admitted[0].received - controller.began,
        "order_inversions": inversions + strangers,
    }


async def _admissions(bench: Rig, controller: Controller, position: int, count: int) -> list[audit.Call]:
    """The first write about each of the first `count` jobs: with one slot they come one by one."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        first: dict[str, audit.Call] = {}
        for call in audit.writes(bench.audit.since(position)):
            if call.kind == "batchjobs/status" and call.code < 300:
                first.setdefault(call.name, call)
        if len(first) >= count:
            return list(first.values())[:count]
        if controller.child.poll() is not None:
            raise RuntimeError(f"the controller ended with {controller.child.returncode}")
        await asyncio.sleep(0.5)
    raise RuntimeError(f"{count} jobs were not admitted within {LIMIT_SECONDS:g} s")
