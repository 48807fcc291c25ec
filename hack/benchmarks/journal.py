"""audit: what the audit journal costs: the same jobs with it off and on, in turns, on one control plane.

The share is of the medians of all turns; the controller's own CPU time per job says it again, with less noise. With
the least noise speaks the journal alone, in this process: the CPU time of six lines, each in a turn of its own.
"""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from dataclasses import replace
from pathlib import Path
from statistics import median

from prometheus_client import CollectorRegistry

from benchmarks.result import Result, at_most, say
from benchmarks.rig import Options, Rig, names, rig
from controller.decisions.audit_line import Category, Line
from controller.files.segment_reader import SegmentReader
from controller.files.segments import Bounds, SegmentWriter
from controller.telemetry.audit import NAME, AuditJournal, journal_directory
from controller.telemetry.audit_metrics import AuditMetrics

JOBS, CONCURRENCY = 400, 16
TURNS = 4  # of each kind
ALONE = 2000  # jobs that the journal alone is measured with
FINISHED = ("Succeeded", "Failed", "Canceled")

TARGETS = {"throughput_cost_percent": at_most(3)}


async def run(options: Options) -> Result:
    """Off and on in turns, the first of each kind only to warm up."""
    result = Result("audit", TARGETS)
    jobs = options.at_most(JOBS)
    speeds: dict[str, list[float]] = {"off": [], "on": []}
    costs: dict[str, list[float]] = {"off": [], "on": []}
    async with rig(options) as bench:
        result.machine = bench.machine
        for turn in range(2 * (TURNS + 1)):
            kind = ("off", "on", "on", "off")[turn % 4]
            speed, cost = await _turn(bench, f"turn-{turn}", jobs, kind)
            say(f"audit: {kind}, {speed:.1f} jobs/s, {cost:.2f} ms of the controller's CPU a job")
            if turn >= 2:
                speeds[kind].append(speed)
                costs[kind].append(cost)
        lines, size = await asyncio.to_thread(_written, bench)
        alone = await _alone(bench.home / "alone")
    off, on = median(speeds["off"]), median(speeds["on"])
    result.add(
        jobs_per_s_off=off,
        jobs_per_s_on=on,
        throughput_cost_percent=100 * (1 - on / off),
        cpu_off_ms_per_job=median(costs["off"]),
        cpu_on_ms_per_job=median(costs["on"]),
        journal_alone_ms_per_job=alone,
        lines_per_job=lines / (jobs * (TURNS + 1)),
        bytes_per_line=size / max(1, lines),
    )
    return result


async def _turn(bench: Rig, name: str, jobs: int, audit: str) -> tuple[float, float]:
    """Jobs per second, and the controller's own CPU time per job in milliseconds."""
    controller = bench.start_controller(CONCURRENCY, {"HOLDFAST_AUDIT": audit})
    await controller.ready()
    await bench.namespace(name)
    await bench.queue(name, CONCURRENCY, paused=True)
    await bench.create(name, names(jobs), ["true"])
    await bench.until(name, "all jobs are recorded as Queued", ("Queued",), jobs, 0)
    await bench.audit.quiet()
    own, began = controller.cpu_seconds(), time.time()
    position = bench.audit.position()
    await bench.unpause(name)
    await bench.until(name, "all jobs have ended", FINISHED, 0, 0)
    own = controller.cpu_seconds() - own
    calls = [call for call in bench.audit.since(position) if call.by_controller and call.kind == "batchjobs/status"]
    speed = jobs / (max(call.answered for call in calls) - began)
    await asyncio.to_thread(controller.end, signal.SIGTERM)
    return speed, 1000 * own / jobs


async def _alone(directory: Path) -> float:
    """CPU milliseconds of the journal for one job, all of its threads."""
    bounds = Bounds(16 * 1024**2, 86400, 256 * 1024**2)
    journal = AuditJournal(SegmentWriter(directory, NAME, bounds), AuditMetrics(CollectorRegistry()))
    began = time.process_time()
    for number in range(ALONE):
        old, uid = "", str(uuid.uuid4())
        for new in ("Queued", "Starting", "Launch", "Running", "Succeeded", "Release"):
            line = Line(
                Category.JOB, "Recorded", "BatchJob", "default", f"job-{number}", uid, attempt=1, old=old, new=new
            )
            journal.say(replace(line, message="exit code 0", urgent=True))
            old = new
            await asyncio.sleep(0)
    await journal.close(60)
    return 1000 * (time.process_time() - began) / ALONE


def _written(bench: Rig) -> tuple[int, int]:
    """Lines and bytes of the journal, without those of the controller itself."""
    reader = SegmentReader(journal_directory(bench.home), NAME)
    try:
        found = [line for line in reader.lines() if b'"category":"controller"' not in line]
    finally:
        reader.close()
    return len(found), sum(len(line) + 1 for line in found)
