"""idle: CPU time of a controller with 10,000 finished jobs and 100 running ones, while nothing happens."""

from __future__ import annotations

import asyncio
import time

from benchmarks import audit, running
from benchmarks.result import Result, at_most, say
from benchmarks.rig import Options, rig

FINISHED, RUNNING = 10_000, 100
NAMESPACE = "idle"
SETTLE_SECONDS = 10.0
TARGETS = {"controller_cpu_percent": at_most(1), "writes_per_minute": at_most(0)}


async def run(options: Options) -> Result:
    """Make the objects while no controller runs, start it, start the jobs, wait, measure."""
    result = Result("idle", TARGETS)
    finished, count = names_and_count(options)
    async with rig(options) as bench:
        result.machine = bench.machine
        say(f"idle: making {len(finished)} finished jobs")
        await bench.namespace(NAMESPACE)
        await bench.queue(NAMESPACE, 1, paused=True)
        await bench.create(NAMESPACE, finished, ["true"])
        await bench.finish(NAMESPACE, finished)
        controller = bench.start_controller(count)
        await controller.ready()
        await running.start(bench, count)
        await bench.audit.quiet()
        await controller.quiet()
        await asyncio.sleep(SETTLE_SECONDS)
        say(f"idle: measuring for {options.seconds:g} s")
        position, own = bench.audit.position(), controller.cpu_seconds()
        whole, began = bench.group.cpu_seconds(controller.pid), time.monotonic()
        await asyncio.sleep(options.seconds)
        took, own = time.monotonic() - began, controller.cpu_seconds() - own
        others = bench.group.cpu_seconds(controller.pid) - whole - own
        calls = bench.audit.since(position)
        result.add(
            finished=len(finished),
            running=count,
            seconds=took,
            controller_cpu_percent=own / took * 100,
            supervisors_cpu_percent=others / took * 100,
            writes_per_minute=len(audit.writes(calls)) / took * 60,
            reads_per_minute=len(audit.reads(calls)) / took * 60,
            rss_mb=controller.rss_mb(),
        )
    return result


def names_and_count(options: Options) -> tuple[list[str], int]:
    """Names of the finished jobs and number of the running ones."""
    return [f"old-{number:05d}" for number in range(options.at_most(FINISHED))], options.at_most(RUNNING)
