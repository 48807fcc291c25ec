"""Supervisor and recorder killed or stopped (requirements 3.3, 3.4)."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence
from controller.executors.process import wakeup
from controller.executors.process.records import Stop
from controller.executors.process.rundir import is_locked
from controller.executors.process.tree import has_marker, scan
from tests.integration.process.attempts import HELD, Host, stands, until


async def test_supervisor_killed(host: Host) -> None:
    """3.4: the job goes on, supervision is taken up again, the code arrives."""
    spec = host.shell(f"echo begun; {HELD}; echo done; exit 7")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await until(lambda: host.woken == [spec.attempt], what="wake-up")
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.supervised) == (Evidence.ALIVE, False)
    assert await host.executor.ensure_supervised(spec.attempt)
    assert (await host.executor.observe(spec.attempt)).supervised
    host.go(spec)
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.evidence, seen.exit.code) == (Evidence.ENDED, 7)
    assert host.output(spec) == "begun\ndone\n"


async def test_supervisor_killed_and_nobody_looks(host: Host) -> None:
    """3.4: without supervisor and controller the recorder alone keeps the code."""
    spec = host.shell(f"echo begun; {HELD}; exit 7")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await host.unsupervised(spec)
    host.go(spec)
    await until(lambda: host.run(spec).exists("exit.json"), what="exit.json")
    seen = await host.end(spec)
    assert seen.exit is not None and seen.exit.code == 7


async def test_recorder_killed(host: Host) -> None:
    """3.4: the supervisor reaps the command and records code and signal itself."""
    for script, code, number in (("exit 7", 7, None), ("kill -9 $$", 137, 9)):
        spec = host.shell(f"echo begun; {HELD}; {script}")
        await host.executor.launch(spec)
        await host.printed(spec, "begun")
        host.kill_recorder(spec)
        await until(lambda spec=spec: not is_locked(host.run(spec).file("recorder.lock")), what="its end")  # type: ignore[misc]
        assert (await host.executor.observe(spec.attempt)).evidence is Evidence.ALIVE
        host.go(spec)
        seen = await host.end(spec)
        assert seen.exit is not None and (seen.exit.code, seen.exit.signal) == (code, number)


async def test_supervisor_and_recorder_killed(host: Host) -> None:
    """3.4, 3.6: nobody can know the code any more: the attempt is lost, after what is left of it was stopped."""
    spec = host.shell("setsid sleep 3002 & echo begun; sleep 3002")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    host.kill_recorder(spec)
    await host.unsupervised(spec)
    await until(lambda: not is_locked(host.run(spec).file("recorder.lock")), what="the recorder's end")
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.supervised) == (Evidence.GONE, False)
    assert seen.processes_left >= 2
    seen = await host.end(spec)
    assert (seen.evidence, seen.processes_left) == (Evidence.GONE, 0)
    assert not [pid for pid in scan() if has_marker(pid, str(spec.attempt))]


async def test_left_over_of_an_unsupervised_end(host: Host) -> None:
    """3.6: a daemon of a job that ended without a supervisor holds the slot until it is stopped."""
    spec = host.shell(f"setsid sleep 3003 & echo begun; {HELD}; exit 3")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await host.unsupervised(spec)
    host.go(spec)
    await until(lambda: host.run(spec).exists("exit.json"), what="exit.json")
    # The recorder's own mv, which has just renamed the file, counts as long as it lives.
    await until(lambda: not is_locked(host.run(spec).file("recorder.lock")), what="the recorder's end")
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.processes_left) == (Evidence.ENDED, 1)
    await host.executor.stop(spec.attempt, "Sweep", 0)
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.exit.code, seen.exit.reason, seen.processes_left) == (3, "", 0)


async def test_stop_without_a_supervisor(host: Host) -> None:
    """3.6: a stop that is asked for while the supervisor is dead is carried out."""
    spec = host.shell("trap '' TERM; echo begun; while :; do sleep 1; done")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await host.unsupervised(spec)
    await host.executor.stop(spec.attempt, "Canceled", 0.2)
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.exit.signal, seen.exit.reason) == (9, "Canceled")


async def test_supervisor_killed_in_the_middle_of_a_stop(host: Host) -> None:
    """3.6: the next supervisor goes on with the stop."""
    spec = host.shell("trap '' TERM; echo begun; while :; do sleep 1; done")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    await host.executor.stop(spec.attempt, "Canceled", 600)
    await until(lambda: "TermSent" in Path(host.run(spec).journal).read_text(), what="TERM")
    host.kill_supervisor(spec)
    await host.unsupervised(spec)
    host.run(spec).replace_stop(Stop("Canceled", 0.2))  # nobody is asked: the next one finds it
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.exit.signal, seen.exit.reason) == (9, "Canceled")


async def test_deadline_counts_over_a_supervisors_death(host: Host) -> None:
    """2.4: the deadline counts from the start of the command, not from the supervisor's."""
    spec = host.shell("echo begun; sleep 600", deadline_seconds=600)
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await host.unsupervised(spec)
    process = host.run(spec).read_process()
    assert process is not None
    host.run(spec).write_process(replace(process, started_boottime=process.started_boottime - 600))  # ten minutes pass
    seen = await host.end(spec)
    assert seen.exit is not None and seen.exit.reason == "DeadlineExceeded"


async def test_stopped_supervisor_is_replaced(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.3: a supervisor that stands still keeps its lock: it is told by its heartbeat, killed and replaced."""
    monkeypatch.setattr(wakeup, "STALE_AFTER_SECONDS", 6.0)  # more than one heartbeat; 10 s in the product
    spec = host.shell(f"echo begun; {HELD}; exit 7")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    before = host.run(spec).read_supervisor()
    assert before is not None
    host.kill_supervisor(spec, signal.SIGSTOP)
    await until(lambda: stands(before.pid), what="the supervisor stands")
    assert not await host.executor.ensure_supervised(spec.attempt), "one look proves nothing"

    async def given_up() -> bool:
        return not (await host.executor.observe(spec.attempt)).supervised

    await until(given_up, what="a heartbeat that stands still")
    assert await host.executor.ensure_supervised(spec.attempt)
    assert host.run(spec).read_supervisor() != before
    host.go(spec)
    seen = await host.end(spec)
    assert seen.exit is not None and seen.exit.code == 7


async def test_working_supervisor_is_left_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.3: a heartbeat that moves is no reason to act."""
    monkeypatch.setattr(wakeup, "STALE_AFTER_SECONDS", 0.0)  # as if any time had passed between two looks
    spec = host.shell("echo begun; sleep 600")
    await host.executor.launch(spec)
    heartbeat = Path(host.run(spec).heartbeat)
    assert not await host.executor.ensure_supervised(spec.attempt)
    looked = heartbeat.stat().st_mtime_ns
    await until(lambda: heartbeat.stat().st_mtime_ns != looked, what="a heartbeat")
    assert not await host.executor.ensure_supervised(spec.attempt)
    monkeypatch.undo()
    await host.executor.stop(spec.attempt, "Canceled", 1)
    await host.end(spec)


async def test_stopped_recorder_goes_on(host: Host) -> None:
    """Issue "faults": a SIGSTOP of the recorder is lifted by the supervisor."""
    spec = host.shell(f"echo begun; {HELD}; exit 7")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_recorder(spec, signal.SIGSTOP)
    host.go(spec)
    seen = await host.end(spec)
    assert seen.exit is not None and seen.exit.code == 7
