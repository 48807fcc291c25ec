"""cluster: what a BatchJob costs on top of a plain batch/v1 Job on the same node, and how long a take-over takes.

Plain Jobs and BatchJobs take turns, so that what else the machine does hits both: first one at a time, for the time
that a job takes, then many at once, for throughput and API writes. All writes in a scene's namespace count, whoever
sends them. A take-over is measured from the signal to the change of the Lease, and to the admission of a job made then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from benchmarks.audit import WRITES
from benchmarks.installed import Installed, Object, installed, until
from benchmarks.result import Result, at_least, at_most, percentile, say
from benchmarks.rig import GROUP, Options, names
from hack.node.images import BUSYBOX

ONE_BY_ONE, AT_ONCE, ROUNDS = 10, 30, 3
TRIALS = 20

TARGETS = {
    "writes_per_job_beyond": at_most(6),
    "throughput_ratio": at_least(0.9),
    "crash_leads_max_s": at_most(20),
    "stop_leads_max_s": at_most(2),
}


@dataclass
class Kind:
    """One of the two that are compared."""

    name: str
    collection: str
    body: Callable[[str], Object]
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    by: Counter[str] = field(default_factory=Counter)
    jobs: int = 0

    def forget(self) -> None:
        """The first ones, which warm caches up, do not count."""
        self.rates, self.writes, self.by, self.jobs = [], [], Counter(), 0


def _plain(name: str) -> Object:
    container = {"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["true"]}
    spec = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def _batch(name: str) -> Object:
    spec = {"executor": "Pod", "command": ["true"], "pod": {"image": BUSYBOX, "imagePullPolicy": "Never"}}
    return {"apiVersion": "holdfast.dev/v1alpha1", "kind": "BatchJob", "metadata": {"name": name}, "spec": spec}


async def run(options: Options) -> Result:
    """Play all scenes on one node."""
    result = Result("cluster", TARGETS)
    async with installed() as bench:
        result.machine = bench.machine
        kinds = (
            Kind("plain", "/apis/batch/v1/namespaces/{}/jobs", _plain),
            Kind("batch", GROUP + "/namespaces/{}/batchjobs", _batch),
        )
        for kind in kinds:
            await _at_once(bench, kind, f"warm-{kind.name}", 3)
            kind.forget()
        await _one_by_one(bench, kinds, options.at_most(ONE_BY_ONE))
        for number in range(ROUNDS):
            for kind in kinds:
                await _at_once(bench, kind, f"{kind.name}-{number}", options.at_most(AT_ONCE))
        result.add(**_compared(*kinds))
        for name, number in (("crash", signal.SIGKILL), ("stop", signal.SIGTERM)):
            result.add(**await _take_overs(bench, name, number, options.at_most(TRIALS)))
    return result


async def _one_by_one(bench: Installed, kinds: tuple[Kind, ...], count: int) -> None:
    say(f"cluster: {count} jobs of each kind, one at a time")
    await _namespace(bench, "single")
    for name in names(count):
        for kind in kinds:
            path = kind.collection.format("single")
            began = time.monotonic()
            await bench.request("POST", path, kind.body(f"{kind.name}-{name}"))

            async def ended(path: str = f"{path}/{kind.name}-{name}") -> bool:
                return _is_complete(await bench.request("GET", path))

            await until(ended, name)
            kind.seconds.append(time.monotonic() - began)


async def _at_once(bench: Installed, kind: Kind, namespace: str, count: int) -> None:
    say(f"cluster: {count} jobs at once, {namespace}")
    await _namespace(bench, namespace)
    position, path = bench.audit.position(), kind.collection.format(namespace)
    began = time.monotonic()
    await asyncio.gather(*(bench.request("POST", path, kind.body(name)) for name in names(count)))

    async def ended() -> bool:
        return all(_is_complete(job) for job in (await bench.request("GET", path))["items"])

    await until(ended, namespace, 0.25)
    kind.rates.append(count / (time.monotonic() - began))
    await bench.audit.quiet()
    made = [call for call in bench.audit.since(position) if call.namespace == namespace and call.verb in WRITES]
    made = [call for call in made if call.kind not in ("configmaps", "serviceaccounts")]  # of every namespace
    kind.writes.append(len(made) / count)
    kind.jobs += count
    kind.by += Counter(f"{call.verb}_{call.kind.replace('/', '_')}" for call in made if call.by_controller)


def _compared(plain: Kind, batch: Kind) -> dict[str, float]:
    figures = {
        "plain_seconds_p50": median(plain.seconds),
        "batch_seconds_p50": median(batch.seconds),
        "overhead_seconds_per_job": median(batch.seconds) - median(plain.seconds),
        "plain_jobs_per_s": median(plain.rates),
        "batch_jobs_per_s": median(batch.rates),
        "throughput_ratio": median(batch.rates) / median(plain.rates),
        "plain_writes_per_job": median(plain.writes),
        "batch_writes_per_job": median(batch.writes),
        "writes_per_job_beyond": median(batch.writes) - median(plain.writes),
    }
    return figures | {f"writes_per_job_{name}": count / batch.jobs for name, count in sorted(batch.by.items())}


async def _take_overs(bench: Installed, name: str, number: signal.Signals, trials: int) -> dict[str, float]:
    leads, admits = [], []
    await _namespace(bench, f"take-over-{name}")
    for trial in range(trials):
        await bench.settled()
        before = await bench.leader()
        pids = await bench.processes(before)
        began = time.monotonic()
        for pid in pids if number is signal.SIGKILL else pids[:1]:
            os.kill(pid, number)
        path = f"{GROUP}/namespaces/take-over-{name}/batchjobs"
        await bench.request("POST", path, _batch(f"job-{trial}"))

        async def another(before: str = before) -> bool:
            return await bench.leader() not in ("", before)

        async def admitted(path: str = f"{path}/job-{trial}") -> bool:
            return "attempt" in (await bench.request("GET", path)).get("status", {})

        await until(another, "another one leads")
        leads.append(time.monotonic() - began)
        await until(admitted, "the next one admits a job")
        admits.append(time.monotonic() - began)
        say(f"cluster: {name} {trial + 1}: led after {leads[-1]:.2f} s, admitted after {admits[-1]:.2f} s")
        await bench.replace(before)
    return {
        f"{name}_leads_p50_s": median(leads),
        f"{name}_leads_max_s": max(leads),
        f"{name}_admits_p50_s": percentile(admits, 0.5),
        f"{name}_admits_max_s": max(admits),
        f"{name}_trials": trials,
    }


async def _namespace(bench: Installed, name: str) -> None:
    """Make it, and wait until it takes Pods."""
    await bench.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    async def ready() -> bool:
        found = await bench.request("GET", f"/api/v1/namespaces/{name}/serviceaccounts")
        return bool(found["items"])

    await until(ready, f"namespace {name}")


def _is_complete(job: Object) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any((condition["type"], condition["status"]) == ("Complete", "True") for condition in conditions)
