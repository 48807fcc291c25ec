"""reattach: SIGKILL of the controller while 100 jobs run; how soon a new one has every one of them in its books."""

from __future__ import annotations

import signal

from benchmarks import audit, running
from benchmarks.result import Result, at_least, at_most, say
from benchmarks.rig import Options, rig

JOBS = 100
TARGETS = {"reattach_s": at_most(2), "writes": at_most(0), "same_processes_share": at_least(1)}


async def run(options: Options) -> Result:
    """Start the jobs, kill, start again."""
    result, count = Result("reattach", TARGETS), options.at_most(JOBS)
    async with rig(options) as bench:
        result.machine = bench.machine
        say(f"reattach: starting {count} jobs")
        first = bench.start_controller(count)
        await first.ready()
        before = await running.start(bench, count)
        await bench.audit.quiet()
        first.end(signal.SIGKILL)
        position = bench.audit.position()
        second = bench.start_controller(count)
        ready = await second.ready()
        stages = await second.stages()
        await bench.audit.quiet()
        calls = bench.audit.since(position)
        same = sum(processes.alive for processes in before.values())
        phases = [job["status"]["phase"] for job in await bench.jobs(running.NAMESPACE)]
        result.add(
            jobs=count,
            # From the end of the first LIST until every running attempt is accounted for and admission opens.
            reattach_s=stages["gate"],
            steady_s=stages["steady"],
            listed_s=stages["listed"],
            ready_s=ready,
            writes=len(audit.writes(calls)),
            reads=len(audit.reads(calls)),
            same_processes_share=same / count,
            running_jobs=phases.count("Running"),
        )
    return result
