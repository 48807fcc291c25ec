"""Callbacks end to end, every object written on the real API server (requirements 6.1-6.3, issue C "Speed").

`deliver`: from the recorded end of many jobs to the last job's summary. `outage`: the receiver is down while the first
half ends. `dead`: many Callbacks wait for ten hosts, one of which never answers; the other nine, with and without it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from benchmarks import audit
from benchmarks.result import Result, at_least, at_most, say
from benchmarks.rig import GROUP, IN_FLIGHT, LIMIT_SECONDS, Object, Options, Rig, finished, names, rig
from benchmarks.sinks import SETTINGS, Sinks, free_port, seconds
from controller.api.callback_use import CallbackEvent
from controller.decisions.outbox import callback_name, delivery_id

DELIVERIES = 1000
PENDING, HOSTS = 10_000, 10
NAMESPACE = "callbacks"
STATUS = "callbacks/status"
TARGETS = {
    "deliver_per_second": at_least(120),
    "deliver_writes_per_delivery": at_most(2),
    "outage_lost": at_most(0),
    "outage_sent_after_record": at_most(0),
    "dead_share_of_throughput": at_least(0.9),
    "dead_rss_peak_mb": at_most(250),
}


async def deliver(options: Options, result: Result) -> None:
    """All jobs end at once; the receiver works."""
    count = options.at_most(DELIVERIES)
    say(f"callbacks: {count} deliveries end to end")
    async with rig(options) as bench:
        result.machine = bench.machine
        sinks = Sinks()
        try:
            controller = bench.start_controller(1, SETTINGS)
            await controller.ready()
            jobs = await _jobs(bench, sinks, await sinks.start(), count)
            position, cpu = bench.audit.position(), controller.cpu_seconds()
            await _end(bench, jobs)
            await _all_delivered(bench, sinks, count)
            cpu = controller.cpu_seconds() - cpu
            await bench.audit.quiet()
            calls = [call for call in bench.audit.since(position) if call.namespace == NAMESPACE]
            began = min(call.received for call in calls if not call.by_controller and call.verb == "patch")
            made = [call for call in audit.writes(calls) if call.kind != "jobqueues/status"]  # at most one a second
            creations = sum(call.verb == "create" and call.kind == "callbacks" for call in made)
            result.add(
                deliver_per_second=count / (max(call.answered for call in made) - began),
                deliver_writes_per_delivery=(len(made) - creations) / count,
                deliver_creations_per_delivery=creations / count,
                deliver_twice=sum(times - 1 for times in sinks.arrived().values()),
                deliver_refused=sinks.refused(),
                deliver_controller_cpu_ms=cpu * 1000 / count,
                deliver_rss_peak_mb=controller.rss_peak_mb(),
                **{f"deliver_{name}": number / count for name, number in audit.by_kind(made).items()},
            )
        finally:
            await sinks.stop()


async def outage(options: Options, result: Result) -> None:
    """The receiver is down while the first half of the jobs ends."""
    count = options.at_most(DELIVERIES)
    say(f"callbacks: {count} deliveries, the receiver is down for the first half")
    async with rig(options) as bench:
        result.machine = bench.machine
        sinks, port = Sinks(), free_port()
        try:
            controller = bench.start_controller(1, SETTINGS)
            await controller.ready()
            jobs = await _jobs(bench, sinks, f"http://127.0.0.1:{port}/", count, ["5s"] * 20)
            position = bench.audit.position()
            await _end(bench, jobs[: count // 2])
            await _until(lambda: _tries(bench, position) >= min(5, count // 2), "it was tried in vain")
            await sinks.start(port=port)
            up = time.time()
            await _end(bench, jobs[count // 2 :])
            await _all_delivered(bench, sinks, count)
            await bench.audit.quiet()
            calls = audit.writes(bench.audit.since(position))
            recorded = {call.name: call.answered for call in calls if call.kind == STATUS}  # the last one: Delivered
            callback = {_id(job): callback_name(job["metadata"]["name"], _id(job)) for job in jobs}
            late = [each for each in sinks.received if seconds(each) > recorded[callback[each.id]]]
            result.add(
                outage_lost=count - len(sinks.arrived()),
                outage_sent_after_record=len(late),
                outage_twice=sum(times - 1 for times in sinks.arrived().values()),
                outage_tries_in_vain=sum(call.kind == STATUS for call in calls) - count,
                outage_seconds_until_all_arrived=max(map(seconds, sinks.received)) - up,
                outage_rss_peak_mb=controller.rss_peak_mb(),
            )
        finally:
            await sinks.stop()


async def dead(options: Options, result: Result) -> None:
    """The other hosts first alone, then beside one that never answers."""
    each = options.at_most(PENDING) // HOSTS
    figures = {}
    for silent in (False, True):
        how = "one more is dead" if silent else "all work"
        say(f"callbacks: {each} pending for each of {HOSTS - 1} hosts, {how}")
        async with rig(options) as bench:
            result.machine = bench.machine
            figures[silent] = await _pending(bench, each, silent, result)
    result.add(
        dead_per_second_without=figures[False],
        dead_per_second_with=figures[True],
        dead_share_of_throughput=figures[True] / figures[False],
    )


async def _pending(bench: Rig, each: int, silent: bool, result: Result) -> float:
    """Make Callbacks while no controller runs, start it; returns how many a second were recorded of the live hosts."""
    sinks = Sinks()
    try:
        await _namespace(bench, sinks)
        urls = [await sinks.start(f"127.0.0.{number + 1}") for number in range(HOSTS - 1)]
        live = {name: urls[number % len(urls)] for number, name in enumerate(names(each * len(urls), "live"))}
        lost = dict.fromkeys(names(each, "dead"), sinks.silent(f"127.0.0.{HOSTS}")) if silent else {}
        await _make(bench, {**lost, **live})
        position = bench.audit.position()
        controller = bench.start_controller(1, SETTINGS)
        await controller.ready()
        await _until(lambda: len(sinks.arrived()) >= len(live), "all have arrived")
        await asyncio.sleep(1)  # for the last records; the dead host is tried for days
        calls = [call for call in audit.writes(bench.audit.since(position)) if call.name.startswith("live")]
        recorded = [call.answered for call in calls if call.kind == STATUS]
        if silent:
            result.add(dead_rss_peak_mb=controller.rss_peak_mb(), dead_twice=len(sinks.received) - len(live))
        return len(live) / (max(recorded) - min(call.received for call in calls))
    finally:
        await sinks.stop()


# --- what a user would have declared


async def _namespace(bench: Rig, sinks: Sinks) -> None:
    await bench.namespace(NAMESPACE)
    secret = {"metadata": {"name": "hook"}, "stringData": {"key": sinks.secret}}
    await bench.request("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)


async def _jobs(bench: Rig, sinks: Sinks, url: str, count: int, schedule: list[str] | None = None) -> list[Object]:
    """Jobs that are queued, each with one callback."""
    await _namespace(bench, sinks)
    await bench.queue(NAMESPACE, 1, paused=True)
    use: Object = {"name": "hook", "url": url, "secretRef": {"name": "hook", "key": "key"}}
    use |= {} if schedule is None else {"schedule": schedule}
    await bench.create(NAMESPACE, names(count), ["true"], {"callbacks": [use]})
    found = await bench.until(NAMESPACE, "all jobs are recorded as Queued", ("Queued",), count, 0)
    await bench.audit.quiet()
    return found


async def _end(bench: Rig, jobs: list[Object]) -> None:
    """Record their ends as the controller does: with the delivery that follows, in one write."""
    limit = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int, job: Object) -> None:
        record = {"name": "hook", "id": _id(job), "event": "Succeeded", "attempt": 1, "state": "Pending"}
        path = f"{GROUP}/namespaces/{NAMESPACE}/batchjobs/{job['metadata']['name']}/status"
        async with limit:
            await bench.request("PATCH", path, {"status": finished(number) | {"deliveries": [record]}}, patch=True)

    await asyncio.gather(*(one(number, job) for number, job in enumerate(jobs)))


def _id(job: Object) -> str:
    return delivery_id(job["metadata"]["uid"], 1, "hook", CallbackEvent.SUCCEEDED)


async def _make(bench: Rig, urls: dict[str, str]) -> None:
    """Callbacks of these names for these URLs."""
    limit = asyncio.Semaphore(IN_FLIGHT)

    async def one(name: str, url: str) -> None:
        spec = {
            "job": {"name": name, "uid": name, "attempt": 1},
            "callback": "hook",
            "event": "Succeeded",
            "id": f"msg_{name}",
            "url": url,
            "secretRef": {"name": "hook", "key": "key"},
            "payload": f'{{"type": "batchjob.succeeded", "data": {{"text": "{"x" * 900}"}}}}',
        }
        body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "Callback", "metadata": {"name": name}, "spec": spec}
        async with limit:
            await bench.request("POST", f"{GROUP}/namespaces/{NAMESPACE}/callbacks", body)

    await asyncio.gather(*(one(name, url) for name, url in urls.items()))


# --- waits


def _tries(bench: Rig, position: int) -> int:
    """How many tries were recorded since."""
    return sum(call.kind == STATUS for call in audit.writes(bench.audit.since(position)))


async def _all_delivered(bench: Rig, sinks: Sinks, count: int) -> None:
    """Wait until all arrived, then until every job says so."""
    await _until(lambda: len(sinks.arrived()) >= count, "all have arrived")
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        jobs = await bench.jobs(NAMESPACE)
        if all(each["state"] == "Delivered" for job in jobs for each in job["status"]["deliveries"]):
            return
        await asyncio.sleep(1)
    raise RuntimeError(f"not within {LIMIT_SECONDS:g} s: every job says that it was delivered")


async def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {LIMIT_SECONDS:g} s: {what}")
        await asyncio.sleep(0.25)
