"""Stopping: cancel, deadline, limits; no descendant is left (requirements 2.4, 3.6, 3.7)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence
from controller.executors.process.identity import Identity, of_pid
from controller.executors.process.records import Stop
from controller.executors.process.rundir import RunDir
from controller.executors.process.stopping import Stopping
from controller.executors.process.story import Story
from controller.executors.process.tree import MARKER, Scope, has_marker, members, scan
from controller.files import journal
from tests.eventually import eventually_sync
from tests.integration.process.attempts import Host, command_lines, until

LONG = 600.0  # seconds: a grace period that is over only after every wait of a test


def marked(host: Host, attempt: object) -> list[int]:
    """Pids of all processes that carry the attempt's marker."""
    return [pid for pid in scan() if has_marker(pid, str(attempt))]


def events(host: Host, spec: object) -> list[str]:
    """The journal's events in order."""
    return [str(entry["event"]) for entry in journal.read(host.run(spec).journal).entries]  # type: ignore[arg-type]


async def test_cancel(host: Host) -> None:
    """3.6: TERM ends it; the reason is ours, the signal is named, and the stop is journalled before the signal."""
    spec = host.shell("echo begun; sleep 600")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    await host.executor.stop(spec.attempt, "Canceled", LONG)
    seen = await host.end(spec)
    assert seen.exit is not None and seen.stop_requested
    assert (seen.exit.code, seen.exit.signal, seen.exit.reason) == (143, 15, "Canceled")
    told = events(host, spec)
    assert told.index("StopRequested") < told.index("TermSent") < told.index("Ended")


async def test_cancel_right_after_the_start(host: Host) -> None:
    """3.6: a TERM is not lost on a command that is only just starting."""
    for delay in range(8):
        spec = host.command("/bin/sleep", "600")
        await host.executor.launch(spec)
        await asyncio.sleep(delay * 0.003)
        await host.executor.stop(spec.attempt, "Canceled", LONG)
        seen = await host.end(spec)
        assert seen.exit is not None and (seen.exit.signal, seen.exit.reason) == (15, "Canceled")


def test_a_command_that_is_slow_to_begin(tmp_path: Path) -> None:
    """3.6: a recorder that stands still between "go" and its command: the TERM waits for whoever is to get it."""
    command: list[Identity] = []
    attempt, story = f"late-{os.getpid()}.1", Story(RunDir(str(tmp_path)))
    stop = Stop("Canceled", LONG)
    stopping = Stopping(stop, lambda: Scope(attempt), lambda: next(iter(command), None), story, awaited=True)
    for _ in range(30):
        stopping.step()
        time.sleep(0.05)  # a second and a half: longer than one that has begun is given for its own process group
    env = {"PATH": os.environ["PATH"], MARKER: attempt}
    with subprocess.Popen(["sleep", "600"], env=env, start_new_session=True) as late:
        found = of_pid(late.pid)
        assert found is not None
        command.append(found)

        def ended() -> bool:
            stopping.step()
            return late.poll() is not None

        try:
            eventually_sync(ended, 20)
        finally:
            late.kill()
        assert late.returncode == -signal.SIGTERM


async def test_a_job_that_handles_term(host: Host) -> None:
    """3.6: it gets its grace period and its own exit code."""
    spec = host.shell("trap 'echo saving; sleep 0.3; echo saved; exit 9' TERM; echo begun; sleep 600 & wait")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    await host.executor.stop(spec.attempt, "Canceled", LONG)
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.exit.code, seen.exit.signal) == (9, None)
    assert host.output(spec) == "begun\nsaving\nsaved\n"


async def test_a_job_that_ignores_term(host: Host) -> None:
    """3.6: KILL after the grace period, and not before it."""
    spec = host.shell("trap '' TERM; echo begun; while :; do sleep 1; done")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    began = time.monotonic()
    await host.executor.stop(spec.attempt, "Canceled", 0.5)
    seen = await host.end(spec)
    assert time.monotonic() - began >= 0.5
    assert seen.exit is not None and (seen.exit.code, seen.exit.signal) == (137, 9)
    assert marked(host, spec.attempt) == []


async def test_a_later_stop_may_shorten_the_grace_period(host: Host) -> None:
    """3.6: the first reason stays, the shortest grace period counts."""
    spec = host.shell("trap '' TERM; echo begun; while :; do sleep 1; done")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    await host.executor.stop(spec.attempt, "Suspended", LONG)
    await until(lambda: "TermSent" in events(host, spec), what="TERM")
    await host.executor.stop(spec.attempt, "Canceled", 0.1)
    seen = await host.end(spec)
    assert seen.exit is not None and seen.exit.reason == "Suspended"


async def test_a_stopped_job_ends(host: Host) -> None:
    """3.6: a job that a SIGSTOP holds acts on TERM."""
    spec = host.shell("echo begun; kill -STOP 0; sleep 600")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    await host.executor.stop(spec.attempt, "Canceled", LONG)
    assert (await host.end(spec)).evidence is Evidence.ENDED


@pytest.mark.parametrize("cleared", ["", "env -i "], ids=["marked", "cleared"])
async def test_double_fork_into_an_own_session(host: Host, cleared: str) -> None:
    """3.6: a daemon of the job ends with it, also without our marker in its environment."""
    seconds = f"36{os.getpid()}"  # of this test alone
    daemon = f"trap '' HUP; echo daemon; sleep {seconds} & wait"
    spec = host.shell(f"setsid sh -c 'setsid {cleared}/bin/sh -c \"{daemon}\" & exit'; sleep 0.3; exit 2")
    seen = await host.finish(spec)
    assert seen.exit is not None and (seen.exit.code, seen.exit.reason) == (2, "")
    assert "LeftOver" in events(host, spec)
    assert not any(f"sleep\0{seconds}\0".encode() in line for line in command_lines())
    assert seen.processes_left == 0


async def test_two_hundred_descendants(host: Host) -> None:
    """3.6: a wide and deep tree that ignores TERM is gone after the stop."""
    script = """
        trap '' TERM
        for i in $(seq 20); do
            setsid sh -c 'trap "" TERM; for j in $(seq 9); do sleep 3000 & done; wait' &
        done
        echo begun; wait
    """
    spec = host.shell(script)
    await host.executor.launch(spec)
    await until(lambda: len(marked(host, spec.attempt)) >= 200, what="200 descendants")
    await host.executor.stop(spec.attempt, "Canceled", 0.2)
    seen = await host.end(spec)
    assert seen.processes_left == 0
    assert marked(host, spec.attempt) == []


async def test_a_tree_that_forks_while_it_is_killed(host: Host) -> None:
    """3.6: processes that are born during the stop do not get away."""
    script = "trap '' TERM; f() { while :; do setsid sleep 3001 & sleep 0.01; done; }; f & f & echo begun; wait"
    spec = host.shell(script)
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    await host.executor.stop(spec.attempt, "Canceled", 0.3)
    assert (await host.end(spec)).processes_left == 0
    assert marked(host, spec.attempt) == []


async def test_deadline(host: Host) -> None:
    """2.4: the supervisor stops it by itself."""
    seen = await host.finish(host.shell("sleep 600", deadline_seconds=0.4))
    assert seen.exit is not None and (seen.exit.reason, seen.exit.signal) == ("DeadlineExceeded", 15)
    assert "0.4 s" in seen.exit.message


async def test_output_limit(host: Host) -> None:
    """Design 6: a job that prints without end fails with OutputLimit, and not far above it."""
    # 100 MB/s at most: without that a supervisor that stands still for a moment is a disk full.
    spec = host.shell("while head -c 1000000 /dev/zero; do sleep 0.01; done", output_bytes=50_000_000)
    seen = await host.finish(spec)
    assert seen.exit is not None and seen.exit.reason == "OutputLimit"
    assert 50_000_000 <= seen.output_bytes < 5_000_000_000


async def test_one_gigabyte_of_output(host: Host) -> None:
    """Issue "bad input": 1 GB goes straight to the file, nothing is lost."""
    spec = host.shell("head -c 1000000000 /dev/zero", output_bytes=2_000_000_000)
    seen = await host.finish(spec, 240)
    size = seen.output_bytes
    Path(host.run(spec).output).unlink()
    assert seen.exit is not None and (seen.exit.code, size) == (0, 1_000_000_000)


async def test_memory_limit(host: Host) -> None:
    """3.7: the memory of the whole tree counts, not that of one process."""
    hog = "import time; x = bytearray(60_000_000); x[::4096] = b'x' * len(x[::4096]); time.sleep(600)"
    script = f'for i in 1 2 3; do "{sys.executable}" -I -S -c "{hog}" & done; wait'
    seen = await host.finish(host.shell(script, memory_bytes=120_000_000))
    assert seen.exit is not None and seen.exit.reason == "MemoryLimit"


async def test_memory_within_the_limit(host: Host) -> None:
    """3.7: below the limit nothing happens, although it is looked at."""
    seen = await host.finish(host.shell("sleep 1.5", memory_bytes=120_000_000))
    assert seen.exit is not None and (seen.exit.code, seen.exit.reason) == (0, "")


async def test_a_foreign_process_is_no_member(host: Host) -> None:
    """7.6: a session number or a similar attempt name does not make a process ours."""
    spec = host.shell("echo begun; sleep 60")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    me = os.getpid()
    shorter = Scope(str(spec.attempt)[:-1], sessions=frozenset({os.getsid(0)}))
    assert members(shorter) == []
    assert me not in [stat.pid for stat in members(Scope(str(spec.attempt), sessions=frozenset({os.getsid(0)})))]
    await host.executor.stop(spec.attempt, "Canceled", 5)
    await host.end(spec)
