"""callbacks: how many a second get to a local receiver: by HTTP alone, and end to end (design 8, `deliveries`).

By HTTP alone the receiver is `holdfast webhook-sink` in a process of its own: it verifies every signature and tells
duplicates. Its parts can be run one by one: `--part http`, `deliver`, `outage`, `dead`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from pathlib import Path

from benchmarks import deliveries
from benchmarks.result import Result, at_least, at_most, machine, percentile, say
from benchmarks.rig import Options
from controller.decisions.answer import Answer, Meaning
from controller.delivery.guard import Guard
from controller.delivery.sender import Message, Sender
from controller.delivery.signing import Signer
from controller.delivery.transport import GuardedTransport

COUNT = 5000
AT_ONCE = 4  # to one host, as the setting has it
PAYLOAD = json.dumps({"type": "batchjob.succeeded", "timestamp": "2026-01-01T00:00:00Z", "data": {"text": "x" * 900}})
START_SECONDS = 120.0
TARGETS = {"http_per_second": at_least(500), "http_ms_p99": at_most(100), **deliveries.TARGETS}


async def run(options: Options) -> Result:
    """Measure against receivers on this machine."""
    result = Result("callbacks", TARGETS)
    for name in options.parts or PARTS:
        await PARTS[name](options, result)
    return result


async def _http(options: Options, result: Result) -> None:
    """One sender, no API server."""
    count = options.at_most(COUNT)
    result.machine = machine(Path(tempfile.gettempdir()))
    secret = f"whsec_{base64.b64encode(os.urandom(32)).decode()}"
    arguments = ("webhook-sink", "--port", "0", "--output", "json", "--count", str(count + AT_ONCE))
    environment = {**os.environ, "WEBHOOK_SECRET": secret}
    program = (sys.executable, "-m", "controller.cli.main", *arguments)
    sink = await asyncio.create_subprocess_exec(*program, stdout=PIPE, stderr=PIPE, env=environment)
    try:
        url = await asyncio.wait_for(_listening(sink), START_SECONDS)
        say(f"callbacks: {count} to {url}, {AT_ONCE} at once")
        received = asyncio.create_task(_received(sink))
        took = await _send_all(url, Signer(secret.encode()), count, result)
        result.add(http_ms_p50=percentile(took, 0.5), http_ms_p99=percentile(took, 0.99))
        lines = await asyncio.wait_for(received, START_SECONDS)
        result.add(verified=sum(not line["problem"] and not line["duplicate"] for line in lines) - AT_ONCE)
    finally:
        if sink.returncode is None:
            sink.terminate()
        await asyncio.wait_for(sink.wait(), START_SECONDS)


async def _listening(sink: asyncio.subprocess.Process) -> str:
    assert sink.stderr is not None
    async for line in sink.stderr:
        found = re.search(r"listening on (\S+)", line.decode())
        if found:
            return found[1]
    raise RuntimeError("the sink ended before it listened")


async def _received(sink: asyncio.subprocess.Process) -> list[dict[str, object]]:
    assert sink.stdout is not None
    return [json.loads(line) async for line in sink.stdout]


async def _send_all(url: str, signer: Signer, count: int, result: Result) -> list[float]:
    """Milliseconds of each; the first ones, which connect, are not measured."""
    guard = Guard.of("127.0.0.0/8", "", "1-65535")
    sender = Sender(guard, GuardedTransport(guard), "bench")
    numbers = iter(range(count))
    took: list[float] = []

    async def one(name: str) -> Answer:
        answer = await sender.send(Message(url, name, PAYLOAD, signer))
        if answer.meaning is not Meaning.DELIVERED:
            raise RuntimeError(f"not delivered: {answer}")
        return answer

    async def line() -> None:
        for number in numbers:
            began = time.perf_counter()
            await one(f"msg_{number}")
            took.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(one(f"msg_warm{number}") for number in range(AT_ONCE)))
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(line() for _ in range(AT_ONCE)))
    seconds = time.perf_counter() - began
    result.add(http_per_second=count / seconds, sender_cpu_ms=(time.process_time() - cpu) * 1000 / count)
    await sender.aclose()
    return took


PARTS = {"http": _http, "deliver": deliveries.deliver, "outage": deliveries.outage, "dead": deliveries.dead}
