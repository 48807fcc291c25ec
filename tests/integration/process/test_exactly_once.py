"""Launch, void and stop against each other: a command runs at most once, a voided one never (requirement 2.6)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable

from controller.decisions.observed import Evidence
from controller.errors import Transient
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.identity import of_self
from controller.executors.process.records import format_lock
from controller.executors.process.rundir import build, try_lock
from tests.integration.process.attempts import Host, until


async def test_many_launches_at_once_run_it_once(host: Host) -> None:
    """2.6: ten launches of one attempt by two executors: the command ran once."""
    other = ProcessExecutor(host.runs, "state-1", 5.0)
    spec = host.shell("echo ran; exit 3")
    await asyncio.gather(*(executor.launch(spec) for executor in (host.executor, other) for _ in range(5)))
    seen = await host.end(spec)
    assert seen.exit is not None and seen.exit.code == 3
    await host.unsupervised(spec)
    assert host.output(spec) == "ran\n"
    other.close()


async def test_void_before_any_launch(host: Host) -> None:
    """2.6: what was given up before it was built never starts, also when a late launch comes."""
    spec = host.shell("echo ran")
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.ABSENT
    assert await host.executor.void(spec.attempt, "given up")
    assert await host.executor.void(spec.attempt, "given up again")
    await host.executor.launch(spec)
    seen = await host.end(spec)
    assert seen.evidence is Evidence.NEVER_STARTED
    assert seen.exit is not None and (seen.exit.reason, seen.exit.message) == ("", "given up")
    assert host.output(spec) == ""


async def test_void_of_what_runs_or_ran(host: Host) -> None:
    """2.6: void answers False for an attempt that may have started, and changes nothing."""
    spec = host.shell("echo begun; sleep 0.5; exit 3")
    await host.executor.launch(spec)
    assert not await host.executor.void(spec.attempt, "too late")
    seen = await host.end(spec)
    assert not await host.executor.void(spec.attempt, "too late")
    assert seen.exit is not None and seen.exit.code == 3


async def test_void_against_launch(host: Host) -> None:
    """2.6: whichever wins, the answer of void is the truth. The delay between the two closes in on the race."""
    await host.finish(host.shell("echo ran"))

    async def after(seconds: float, work: Awaitable[bool | None]) -> bool | None:
        await asyncio.sleep(max(0.0, seconds))
        return await work

    lead, step, won = 0.0, 0.02, []
    for _ in range(24):
        spec = host.shell("echo ran")
        both = after(lead, host.executor.void(spec.attempt, "race")), after(-lead, host.executor.launch(spec))
        voided, launched = await asyncio.gather(*both, return_exceptions=True)
        assert launched is None or isinstance(launched, Transient)
        seen = await host.end(spec)
        assert (seen.evidence is Evidence.NEVER_STARTED) == voided
        assert host.output(spec) == ("" if voided else "ran\n")
        won.append(voided)
        if len(set(won)) == 1:  # wider until both have won once: who knows what this machine needs for a launch
            step = min(1.0, step * 1.5)
        elif won[-2] != voided:
            step = max(0.0005, step / 2)
        lead += step if voided else -step
    assert set(won) == {True, False}


async def test_stop_before_the_start(host: Host) -> None:
    """2.6: a stop that is asked for between build and start: the command never runs."""
    spec = host.shell("echo ran")
    host.build(spec)
    assert build(str(host.runs), str(spec.attempt), {}) is None
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.LAUNCHING
    await host.executor.stop(spec.attempt, "Canceled", 5)
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.evidence, seen.exit.reason) == (Evidence.NEVER_STARTED, "Canceled")


async def test_attaching_never_starts_a_command(host: Host) -> None:
    """2.6: taking up supervision of an attempt that did not begin does nothing; only a launch has its secrets."""
    spec = host.shell("echo ran", secret_env={"A": "b"})
    host.build(spec, secret_names=("A",))
    assert not await host.executor.ensure_supervised(spec.attempt)
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.LAUNCHING
    await host.finish(spec)
    assert host.output(spec) == "ran\n"


async def test_void_kills_a_supervisor_that_does_not_get_on(host: Host) -> None:
    """Design 6: a supervisor that holds `lock` without having let its command go is ended, by its identity."""
    spec = host.shell("echo ran")
    run = host.build(spec)
    pid = os.fork()
    if pid == 0:
        lock = try_lock(run.file("lock"))
        os.pwrite(lock or 0, format_lock(of_self()), 0)
        signal.pause()
    await until(lambda: run.read_supervisor() is not None, what="its identity")
    assert await host.executor.void(spec.attempt, "stuck")
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.NEVER_STARTED


async def test_void_spares_a_foreign_process(host: Host) -> None:
    """3.3: an identity in `lock` that is not the holder's proves nothing: nobody is killed, void answers False."""
    spec = host.shell("echo ran")
    run = host.build(spec)
    lock = try_lock(run.file("lock"))
    assert lock is not None
    stale = json.loads(format_lock(of_self()))
    stale["supervisor"]["startTicks"] += 1
    os.pwrite(lock, json.dumps(stale).encode(), 0)
    assert not await host.executor.void(spec.attempt, "held by the test itself")
    os.close(lock)
