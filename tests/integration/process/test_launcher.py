"""The launcher: replaceable at any moment, and what it forks owes it nothing (requirement 3.1, 10.4)."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence
from controller.executors.process import identity, starting
from controller.executors.process.environment import DEFAULT_PATH, attempt_record
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.identity import Identity, Verdict, compare, of_pid, send
from controller.executors.process.tree import scan
from tests.integration.process.attempts import PATIENCE, Host, stands, until


def launcher_of(host: Host) -> Identity:
    """The launcher: the one child of this process that runs launcher.py."""
    me = os.getpid()
    found = [
        stat
        for stat in scan().values()
        if stat.ppid == me and b"launcher.py" in Path(f"/proc/{stat.pid}/cmdline").read_bytes()
    ]
    assert len(found) == 1
    return identity.identify(found[0])


async def test_one_launcher_for_all(host: Host) -> None:
    """3.1: supervisors are forked, in sessions of their own, and not started anew."""
    specs = [host.shell("echo begun; sleep 60") for _ in range(3)]
    await asyncio.gather(*(host.executor.launch(spec) for spec in specs))
    launcher = launcher_of(host)
    for spec in specs:
        supervisor = host.run(spec).read_supervisor()
        assert supervisor is not None
        stat = identity.read_stat(supervisor.pid)
        assert stat is not None
        assert (stat.ppid, stat.session, stat.pgrp) == (launcher.pid, stat.pid, stat.pid)
        await host.executor.stop(spec.attempt, "Canceled", 5)
        await host.end(spec)


async def test_launcher_killed(host: Host) -> None:
    """3.1: its death ends no supervisor and no job, and the next launch works."""
    running, after = host.shell("echo begun; while [ ! -e stop ]; do sleep 0.05; done; exit 7"), host.shell("exit 3")
    await host.executor.launch(running)
    launcher = launcher_of(host)
    assert send(launcher, signal.SIGKILL)
    seen = await host.finish(after)
    assert seen.exit is not None and seen.exit.code == 3
    seen = await host.executor.observe(running.attempt)
    assert (seen.evidence, seen.supervised) == (Evidence.ALIVE, True)
    (Path(host.run(running).path) / "work" / "stop").touch()
    seen = await host.end(running)
    assert seen.exit is not None and seen.exit.code == 7
    await until(lambda: running.attempt in host.woken, what="wake-up")
    await host.finish(host.shell("true"))
    assert launcher_of(host) != launcher


async def test_launcher_stopped(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.1: one that stands still costs a moment, not a launch, and is replaced."""
    first, second, third = (host.shell("exit 3") for _ in range(3))
    await host.finish(first)
    launcher = launcher_of(host)
    monkeypatch.setattr(starting, "_ANSWER_LIMIT_SECONDS", 0.5)
    assert send(launcher, signal.SIGSTOP)
    await until(lambda: stands(launcher.pid), what="it stands")
    for spec in (second, third):
        seen = await host.finish(spec)
        assert seen.exit is not None and seen.exit.code == 3
    assert compare(launcher) is Verdict.GONE


async def test_many_launches_while_the_launcher_dies(host: Host) -> None:
    """2.6: whichever way each of them takes, each command runs once."""
    specs = [host.shell("echo ran; exit 3") for _ in range(12)]
    await host.finish(host.shell("true"))
    launcher = launcher_of(host)

    async def kill() -> None:
        await asyncio.sleep(0.02)
        send(launcher, signal.SIGKILL)

    await asyncio.gather(kill(), *(host.executor.launch(spec) for spec in specs))
    for spec in specs:
        seen = await host.end(spec)
        assert seen.exit is not None and seen.exit.code == 3
        assert host.output(spec) == "ran\n"


async def test_it_ends_with_its_user(host: Host) -> None:
    """3.1: a launcher without a controller ends by itself; nothing of ours stays."""
    other = ProcessExecutor(host.runs, "state-1", 5.0)
    await host.finish(host.shell("true"))
    launcher = launcher_of(host)
    host.executor.close()
    await until(lambda: compare(launcher) is Verdict.GONE, what="its end")
    other.close()


def pss(pid: int) -> int:
    """Proportional set size in bytes (proc(5), smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@pytest.mark.parametrize("way", ["forked", "fresh"])
async def test_memory_of_supervisor_and_recorder(host: Host, way: str) -> None:
    """10.4: below 12 MB for each job, forked or started anew."""
    spec = host.shell("echo begun; sleep 60")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    if way == "fresh":
        host.kill_supervisor(spec)
        await host.unsupervised(spec)
        started = starting.start_fresh(host.run(spec).path, b"")
        assert (await started.report(PATIENCE))["step"] == "started"
    supervisor, process = host.run(spec).read_supervisor(), host.run(spec).read_process()
    assert supervisor is not None and process is not None and of_pid(supervisor.pid) == supervisor
    used = pss(supervisor.pid) + pss(process.recorder.pid)
    print(f"{way}: {used / 1e6:.1f} MB")
    assert used < 12_000_000
    await host.executor.stop(spec.attempt, "Canceled", 5)
    await host.end(spec)
    if way == "fresh":
        await until(lambda: compare(supervisor) is Verdict.GONE, what="its end")
        started.reap()
        os.close(started.pidfd)


async def test_a_fresh_start_does_the_same(host: Host) -> None:
    """3.1: the fallback is the same supervisor: build, launch, end."""
    spec = host.shell("exit 3")
    path = host.run(spec).path
    record = attempt_record(spec, path, "state-1", time.time(), home="private", search_path=DEFAULT_PATH)
    started = starting.start_fresh(path, b"{}\n" + record.to_bytes())
    assert (await started.report(PATIENCE))["step"] == "started"
    seen = await host.end(spec)
    assert seen.exit is not None and seen.exit.code == 3
    await host.unsupervised(spec)
    started.reap()
    os.close(started.pidfd)
