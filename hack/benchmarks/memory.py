"""memory: the controller's resident memory at 0, 1,000 and 10,000 objects; the share of one supervisor and recorder.

Half of the objects are queued jobs that the controller recorded itself, half have a finished job's status. At the
largest size it is measured twice: in the controller that saw all of them come, and in one that was started anew.
"""

from __future__ import annotations

import asyncio
import signal

from benchmarks import running
from benchmarks.child import Controller
from benchmarks.processes import pss_mb
from benchmarks.result import Result, at_most, say
from benchmarks.rig import Options, Rig, names, rig

SIZES = (1000, 10_000)
RUNNING = 20
NAMESPACE = "memory"
TARGETS = {
    "rss_mb_10000": at_most(250),
    "rss_mb_10000_restarted": at_most(250),
    "pss_mb_per_job_1": at_most(12),
    f"pss_mb_per_job_{RUNNING}": at_most(12),
}


async def run(options: Options) -> Result:
    """First the supervisors, on a control plane of their own, then the objects."""
    result = Result("memory", TARGETS)
    for count in (1, RUNNING):
        say(f"memory: {count} running jobs")
        async with rig(options) as bench:
            controller = bench.start_controller(count)
            await controller.ready()
            result.add(**_shares(await running.start(bench, count)))
    async with rig(options) as bench:
        result.machine = bench.machine
        controller = bench.start_controller(1)
        await controller.ready()
        result.add(rss_mb_0=await _settled(controller))
        await bench.namespace(NAMESPACE)
        await bench.queue(NAMESPACE, 1, paused=True)
        have = queued = 0
        for size in sorted({options.at_most(size) for size in SIZES}):
            say(f"memory: {size} objects")
            queued += await _grow(bench, names(size)[have:], queued)
            have = size
            result.add(**{f"rss_mb_{size}": await _settled(controller)})
        controller.end(signal.SIGKILL)
        controller = bench.start_controller(1)
        await controller.ready()
        result.add(**{f"rss_mb_{have}_restarted": await _settled(controller)})
    return result


def _shares(jobs: dict[str, running.Processes]) -> dict[str, float]:
    shares = [pss_mb(found.supervisor.pid) + pss_mb(found.recorder.pid) for found in jobs.values()]
    return {f"pss_mb_per_job_{len(shares)}": sum(shares) / len(shares)}


async def _grow(bench: Rig, new: list[str], queued: int) -> int:
    """Make the jobs `new` and finish half of them; returns how many of them stay queued."""
    finished = new[: len(new) // 2]
    more = len(new) - len(finished)
    await bench.create(NAMESPACE, new, ["true"])
    await bench.finish(NAMESPACE, finished)
    await bench.until(NAMESPACE, "all jobs are recorded", ("Queued", "Succeeded"), queued + more, 0)
    return more


async def _settled(controller: Controller) -> float:
    await controller.quiet()
    await asyncio.sleep(3)
    return controller.rss_mb()
