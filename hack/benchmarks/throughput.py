"""throughput: how many short jobs get through, how long they wait, what they cost in API calls and CPU time.

Four scenes on one controller: `true` jobs created at once in an open queue (all that it takes counts, from the first
creation to the last recorded end); the same when all of them were recorded as Queued before the queue opens; jobs of
one second, which need every status write; and 100 jobs at once, whose waiting is measured.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from benchmarks import audit
from benchmarks.child import Controller
from benchmarks.result import Result, at_least, at_most, percentile, say
from benchmarks.rig import Object, Options, Rig, names, rig

JOBS, CONCURRENCY = 1000, 16
SECOND_JOBS, SECOND_CONCURRENCY = 600, 128  # jobs of one second: 60 a second need at least 60 at once
BURST = 100
FINISHED = ("Succeeded", "Failed", "Canceled")

TARGETS = {
    "true_jobs_per_s": at_least(100),
    "second_jobs_per_s": at_least(60),
    "burst_start_p99_s": at_most(1),
    "true_status_writes_per_job_max": at_most(4),
    "true_events_per_job_max": at_most(2),
    "second_status_writes_per_job_max": at_most(4),
    "second_events_per_job_max": at_most(2),
}


@dataclass(frozen=True)
class Scene:
    """Args: name: prefix of its figures and its namespace. paused: the queue opens when all jobs are recorded."""

    name: str
    jobs: int
    command: tuple[str, ...]
    concurrency: int
    paused: bool = False


async def run(options: Options) -> Result:
    """Play all scenes."""
    result = Result("throughput", TARGETS)
    scenes = (
        Scene("true", options.at_most(JOBS), ("true",), CONCURRENCY),
        Scene("queued", options.at_most(JOBS), ("true",), CONCURRENCY, paused=True),
        Scene("second", options.at_most(SECOND_JOBS), ("sleep", "1"), SECOND_CONCURRENCY),
        Scene("burst", options.at_most(BURST), ("true",), CONCURRENCY),
    )
    async with rig(options) as bench:
        result.machine = bench.machine
        controller = bench.start_controller(SECOND_CONCURRENCY)
        await controller.ready()
        await _play(bench, controller, Scene("warm", min(20, scenes[0].jobs), ("true",), CONCURRENCY))
        for scene in scenes:
            say(f"throughput: {scene.name}, {scene.jobs} jobs")
            result.add(
                **{f"{scene.name}_{key}": value for key, value in (await _play(bench, controller, scene)).items()}
            )
    return result


async def _play(bench: Rig, controller: Controller, scene: Scene) -> dict[str, float]:
    await bench.namespace(scene.name)
    await bench.queue(scene.name, scene.concurrency, paused=scene.paused)
    await bench.audit.quiet()
    position, own = bench.audit.position(), controller.cpu_seconds()
    whole, servers = bench.group.cpu_seconds(controller.pid), bench.component_cpu()
    opened = time.time()
    await bench.create(scene.name, names(scene.jobs), list(scene.command))
    if scene.paused:
        await bench.until(scene.name, "all jobs are recorded as Queued", ("Queued",), scene.jobs, 0)
        opened = time.time()
        await bench.unpause(scene.name)
    jobs = await bench.until(scene.name, "all jobs have ended", FINISHED, 0, 0)
    await bench.audit.quiet()
    own = controller.cpu_seconds() - own
    calls = [call for call in bench.audit.since(position) if call.namespace in (scene.name, "")]
    figures = _speed(jobs, calls, opened, paused=scene.paused) | _calls(calls, scene.jobs)
    figures["cpu_controller_s"] = own
    figures["cpu_supervisors_s"] = bench.group.cpu_seconds(controller.pid) - whole - own
    figures |= {f"cpu_{name}_s": used - servers[name] for name, used in bench.component_cpu().items()}
    figures["failed_jobs"] = sum(job["status"]["phase"] != "Succeeded" for job in jobs)
    return figures


def _speed(jobs: list[Object], calls: list[audit.Call], opened: float, *, paused: bool) -> dict[str, float]:
    created = {call.name: call.received for call in calls if call.verb == "create" and call.kind == "batchjobs"}
    recorded = [call.answered for call in audit.writes(calls) if call.kind == "batchjobs/status"]
    began = opened if paused else min(created.values())
    figures = {"jobs_per_s": len(jobs) / (max(recorded) - began)}
    if not paused:
        waits = [_started(job) - created[job["metadata"]["name"]] for job in jobs]
        figures |= {"start_p50_s": percentile(waits, 0.5), "start_p99_s": percentile(waits, 0.99)}
    return figures


def _started(job: Object) -> float:
    return datetime.fromisoformat(job["status"]["attempt"]["startedAt"]).timestamp()


def _calls(calls: list[audit.Call], jobs: int) -> dict[str, float]:
    """Writes and reads per job by kind; writes of the queue's own status stand apart."""
    made, looked = audit.writes(calls), audit.reads(calls)
    figures: dict[str, float] = {
        "status_writes_per_job_max": audit.most_per_job(made, "batchjobs/status"),
        "events_per_job_max": audit.most_per_job(made, "events"),
        "refused_writes": sum(call.code >= 400 for call in made),
    }
    figures |= {f"writes_per_job_{kind}": count / jobs for kind, count in audit.by_kind(made).items()}
    return figures | {f"reads_per_job_{kind}": count / jobs for kind, count in audit.by_kind(looked).items()}
