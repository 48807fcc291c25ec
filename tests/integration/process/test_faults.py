"""Supervisor, recorder and controller killed or stopped; full disks; other boots (requirements 3.3, 3.4)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence
from controller.executors.process import identity, wakeup
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.identity import Identity, Verdict, compare, of_self
from controller.executors.process.rundir import RunDir, is_locked
from controller.executors.process.tree import has_marker, scan
from tests.integration.process.attempts import Host, until


async def test_supervisor_killed(host: Host) -> None:
    """3.4: the job goes on, supervision is taken up again, the code arrives."""
    spec = host.shell("echo begun; sleep 1; echo done; exit 7")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await until(lambda: host.woken == [spec.attempt], what="wake-up")
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.supervised) == (Evidence.ALIVE, False)
    assert await host.executor.ensure_supervised(spec.attempt)
    assert (await host.executor.observe(spec.attempt)).supervised
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.evidence, seen.exit.code) == (Evidence.ENDED, 7)
    assert host.output(spec) == "begun\ndone\n"


async def test_supervisor_killed_and_nobody_looks(host: Host) -> None:
    """3.4: without supervisor and controller the recorder alone keeps the code."""
    spec = host.shell("echo begun; sleep 0.5; exit 7")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await until(lambda: host.run(spec).exists("exit.json"), what="exit.json")
    seen = await host.end(spec)
    assert seen.exit is not None and seen.exit.code == 7


async def test_recorder_killed(host: Host) -> None:
    """3.4: the supervisor reaps the command and records code and signal itself."""
    for script, code, number in (("exit 7", 7, None), ("kill -9 $$", 137, 9)):
        spec = host.shell(f"echo begun; sleep 0.5; {script}")
        await host.executor.launch(spec)
        await host.printed(spec, "begun")
        host.kill_recorder(spec)
        await until(lambda spec=spec: not is_locked(host.run(spec).file("recorder.lock")), what="its end")  # type: ignore[misc]
        assert (await host.executor.observe(spec.attempt)).evidence is Evidence.ALIVE
        seen = await host.end(spec)
        assert seen.exit is not None and (seen.exit.code, seen.exit.signal) == (code, number)


async def test_supervisor_and_recorder_killed(host: Host) -> None:
    """3.4, 3.6: nobody can know the code any more: the attempt is lost, after what is left of it was stopped."""
    spec = host.shell("echo begun; setsid sleep 3002 & sleep 3002")
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
    spec = host.shell("echo begun; setsid sleep 3003 & sleep 0.5; exit 3")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await until(lambda: host.run(spec).exists("exit.json"), what="exit.json")
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.processes_left) == (Evidence.ENDED, 1)
    await host.executor.stop(spec.attempt, "Sweep", 0)
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.exit.code, seen.exit.reason, seen.processes_left) == (3, "", 0)


async def test_stop_without_a_supervisor(host: Host) -> None:
    """3.6: a stop that is asked for while the supervisor is dead is carried out."""
    spec = host.shell("echo begun; trap '' TERM; while :; do sleep 1; done")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await host.unsupervised(spec)
    await host.executor.stop(spec.attempt, "Canceled", 0.2)
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.exit.signal, seen.exit.reason) == (9, "Canceled")


async def test_supervisor_killed_in_the_middle_of_a_stop(host: Host) -> None:
    """3.6: the next supervisor goes on with the stop."""
    spec = host.shell("echo begun; trap '' TERM; while :; do sleep 1; done")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    await host.executor.stop(spec.attempt, "Canceled", 1)
    await until(lambda: "TermSent" in Path(host.run(spec).journal).read_text(), what="TERM")
    host.kill_supervisor(spec)
    await host.unsupervised(spec)
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.exit.signal, seen.exit.reason) == (9, "Canceled")


async def test_deadline_counts_over_a_supervisors_death(host: Host) -> None:
    """2.4: the deadline counts from the start of the command, not from the supervisor's."""
    spec = host.shell("echo begun; sleep 60", deadline_seconds=1.5)
    began = time.monotonic()
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec)
    await host.unsupervised(spec)
    seen = await host.end(spec)
    assert seen.exit is not None and seen.exit.reason == "DeadlineExceeded"
    assert 1.4 < time.monotonic() - began < 4


async def test_stopped_supervisor_is_replaced(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.3: a supervisor that stands still keeps its lock: it is told by its heartbeat, killed and replaced."""
    monkeypatch.setattr(wakeup, "STALE_AFTER_SECONDS", 6.0)  # more than one heartbeat; 10 s in the product
    spec = host.shell("echo begun; sleep 9; exit 7")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_supervisor(spec, signal.SIGSTOP)
    before = host.run(spec).read_supervisor()
    end = time.monotonic() + 20
    while (await host.executor.observe(spec.attempt)).supervised:
        assert time.monotonic() < end
        assert not await host.executor.ensure_supervised(spec.attempt)
        await asyncio.sleep(0.2)
    assert await host.executor.ensure_supervised(spec.attempt)
    assert host.run(spec).read_supervisor() != before
    seen = await host.end(spec)
    assert seen.exit is not None and seen.exit.code == 7


async def test_working_supervisor_is_left_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.3: a heartbeat that moves is no reason to act."""
    monkeypatch.setattr(wakeup, "STALE_AFTER_SECONDS", 5.5)
    spec = host.shell("echo begun; sleep 60")
    await host.executor.launch(spec)
    end = time.monotonic() + 7
    while time.monotonic() < end:
        assert not await host.executor.ensure_supervised(spec.attempt)
        await asyncio.sleep(0.2)
    await host.executor.stop(spec.attempt, "Canceled", 1)
    await host.end(spec)


async def test_stopped_recorder_goes_on(host: Host) -> None:
    """Issue "faults": a SIGSTOP of the recorder is lifted by the supervisor."""
    spec = host.shell("echo begun; sleep 0.3; exit 7")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    host.kill_recorder(spec, signal.SIGSTOP)
    seen = await host.end(spec, 15)
    assert seen.exit is not None and seen.exit.code == 7


async def test_reattach_from_a_fresh_executor(host: Host) -> None:
    """3.3: a new controller finds what runs, proves it, is woken by its end."""
    spec = host.shell("echo begun; while [ ! -e stop ]; do sleep 0.05; done; exit 7")
    ended = host.shell("exit 1")
    await host.executor.launch(spec)
    await host.finish(ended)
    await host.unsupervised(ended)
    await host.printed(spec, "begun")
    host.executor.close()
    after = ProcessExecutor(host.runs, "state-1", 5.0)
    woken: list[object] = []
    after.subscribe(woken.append)
    assert await after.reattach() == [spec.attempt]
    assert await after.reattach() == [spec.attempt]
    assert sorted(map(str, await after.list_attempts())) == sorted([str(spec.attempt), str(ended.attempt)])
    assert (await after.observe(spec.attempt)).evidence is Evidence.ALIVE
    (Path(host.run(spec).path) / "work" / "stop").touch()
    await until(lambda: woken == [spec.attempt], what="wake-up")
    seen = await host.end(spec, executor=after)
    assert seen.exit is not None and seen.exit.code == 7
    after.close()


_CONTROLLER = """
import asyncio, sys
from pathlib import Path
from controller.executors.base import AttemptId, LaunchSpec
from controller.executors.process.executor import ProcessExecutor

async def main():
    executor = ProcessExecutor(Path(sys.argv[1]), "state-1", 5.0)
    command = ["/bin/sh", "-c", "echo begun; sleep 1; exit 7"]
    await executor.launch(LaunchSpec(AttemptId("outlive", 1), "default", "outlive", command))
    print("launched", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process group of its own with an executor that launched the attempt outlive.1."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CONTROLLER, str(tmp_path / "runs")],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    yield process
    process.stdout.close()
    process.kill()
    process.wait(10)


async def test_supervisors_outlive_the_group_that_started_them(controller: subprocess.Popen[bytes], host: Host) -> None:
    """3.1: killing the controller's whole process group ends no job."""
    assert controller.stdout is not None
    assert await asyncio.to_thread(controller.stdout.readline) == b"launched\n"
    os.killpg(controller.pid, signal.SIGKILL)
    run = RunDir.of(str(host.runs), "outlive.1")
    await until(lambda: run.exists("exit.json"), what="exit.json")
    await until(lambda: not is_locked(run.file("lock")), what="the supervisor's end")
    record = run.read_exit()
    assert record is not None and record.code == 7


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True, timeout=10).returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("mounting a tmpfs needs root")
        pytest.skip("mounting a tmpfs needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True, timeout=10)


async def test_full_disk(small_disk: Path) -> None:
    """3.4: the exit code and a stop get through a full disk; a launch on it says what is wrong and works later."""
    host = Host(small_disk / "runs", ProcessExecutor(small_disk / "runs", "state-1", 5.0))
    ends, stopped, later = (
        host.shell("echo begun; sleep 0.7; exit 7"),
        host.shell("echo begun; sleep 60"),
        host.shell("exit 3"),
    )
    for spec in (ends, stopped):
        await host.executor.launch(spec)
        await host.printed(spec, "begun")
    ballast = small_disk / "ballast"
    with pytest.raises(OSError), ballast.open("wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()
    with pytest.raises(Exception, match=r"LaunchFailed.*No space left"):
        await host.executor.launch(later)
    assert (await host.executor.observe(later.attempt)).evidence in (Evidence.ABSENT, Evidence.LAUNCHING)
    await host.executor.stop(stopped.attempt, "Canceled", 5)
    for spec, code in ((ends, 7), (stopped, 143)):
        seen = await host.end(spec)
        assert seen.exit is not None and seen.exit.code == code
        if spec is stopped:
            assert seen.exit.signal == 15
    ballast.unlink()
    seen = await host.finish(later)
    assert seen.exit is not None and seen.exit.code == 3
    host.executor.close()


async def test_run_directory_deleted_under_way(host: Host) -> None:
    """Issue "faults": nothing is started or stopped because of it, and nothing of ours stays for ever."""
    spec = host.shell("echo begun; sleep 1")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    supervisor = host.run(spec).read_supervisor()
    process = host.run(spec).read_process()
    assert supervisor is not None and process is not None
    await asyncio.to_thread(subprocess.run, ["rm", "-r", host.run(spec).path], check=True, timeout=10)
    seen = await host.executor.observe(spec.attempt)
    assert seen.evidence is Evidence.UNKNOWN and "is gone" in seen.message
    after = ProcessExecutor(host.runs, "state-1", 5.0)
    await after.reattach()
    assert (await after.observe(spec.attempt)).evidence is Evidence.UNKNOWN
    after.close()
    await until(lambda: compare(process.recorder) is Verdict.GONE, what="the recorder's end")
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.ABSENT
    await until(lambda: compare(supervisor) is Verdict.GONE, what="the supervisor's end")


async def test_another_boot(host: Host) -> None:
    """3.4: after a reboot what ran is Gone, and what ended is still Ended."""
    spec, ended = host.shell("echo begun; sleep 60"), host.shell("exit 7")
    await host.finish(ended)
    await host.executor.launch(spec)
    path = Path(host.run(spec).path) / "process.json"
    process = host.run(spec).read_process()
    assert process is not None
    await host.executor.stop(spec.attempt, "Canceled", 0)
    await host.end(spec)
    await host.unsupervised(spec)
    (path.parent / "exit.json").unlink()
    rebooted = replace(process, recorder=replace(process.recorder, boot="0" * 36))
    path.write_bytes(rebooted.to_bytes())
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.processes_left) == (Evidence.GONE, 0)
    assert (await host.executor.observe(ended.attempt)).evidence is Evidence.ENDED


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, Verdict.SAME),
        ({"machine": "other"}, Verdict.UNKNOWN),
        ({"boot": "0" * 36}, Verdict.GONE),
        ({"machine": "other", "boot": "0" * 36}, Verdict.UNKNOWN),
        ({"pid_namespace": 1}, Verdict.UNKNOWN),
        ({"pid_namespace": 1, "boot": "0" * 36}, Verdict.GONE),
        ({"start_ticks": 1}, Verdict.GONE),
        ({"pid": 2**22 - 1}, Verdict.GONE),
    ],
)
def test_identity(change: dict[str, object], verdict: Verdict) -> None:
    """3.3: the table of design 6: a bare pid proves nothing."""
    assert compare(replace(of_self(), **change)) is verdict  # type: ignore[arg-type]
    if verdict is not Verdict.SAME:
        assert not identity.send(replace(of_self(), **change), signal.SIGKILL)  # type: ignore[arg-type]


def test_a_zombie_is_gone() -> None:
    """3.3: a process that ended but was not reaped runs no more."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    child = identity.of_pid(pid)
    assert child is not None and compare(child) is Verdict.SAME
    assert identity.send(child, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert compare(child) is Verdict.GONE
    assert identity.of_pid(pid) is None
    os.waitpid(pid, 0)


def test_names_with_parentheses() -> None:
    """3.3: the name of a program cannot forge the fields behind it."""
    line = b"77 (a) Z 1 2 3 (b)) S 5 6 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 4 0 12345 0"
    stat = identity.parse_stat(line)
    assert (stat.pid, stat.state, stat.ppid, stat.session, stat.threads, stat.start_ticks) == (77, "S", 5, 7, 4, 12345)
    with pytest.raises(ValueError, match="not a /proc"):
        identity.parse_stat(b"77 (a) S 1")


def test_identity_survives_its_file() -> None:
    """3.3: what is written is what is read; anything else is an error, not an identity."""
    me = of_self()
    assert Identity.from_json(json.loads(json.dumps(me.to_json()))) == me
    for bad in (None, [], {}, {**me.to_json(), "pid": True}, {**me.to_json(), "pid": -1}, {**me.to_json(), "boot": ""}):
        with pytest.raises(identity.IdentityError):
            Identity.from_json(bad)
