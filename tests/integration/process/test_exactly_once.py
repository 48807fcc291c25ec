"""Launch, void and release against each other: a command runs at most once, a voided one never (requirement 2.6)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence
from controller.errors import Transient, Waiting
from controller.executors.base import AttemptId
from controller.executors.process import ending
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.identity import of_self
from controller.executors.process.records import Attempt, format_lock
from controller.executors.process.rundir import RunDir, build, is_locked, try_lock
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
        if won and won[-1] != voided:
            step = max(0.0005, step / 2)
        won.append(voided)
        lead += step if voided else -step
    assert set(won) == {True, False}


async def test_stop_before_the_start(host: Host) -> None:
    """2.6: a stop that is asked for between build and start: the command never runs."""
    spec = host.shell("echo ran")
    me = of_self()
    built = Attempt(str(spec.attempt), "state-1", me.machine, me.boot, "n", "j", tuple(spec.argv), {}, "/")
    assert build(str(host.runs), built.id, {"attempt.json": built.to_bytes()}) is not None
    assert build(str(host.runs), built.id, {"attempt.json": built.to_bytes()}) is None
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.LAUNCHING
    await host.executor.stop(spec.attempt, "Canceled", 5)
    seen = await host.end(spec)
    assert seen.exit is not None and (seen.evidence, seen.exit.reason) == (Evidence.NEVER_STARTED, "Canceled")


async def test_attaching_never_starts_a_command(host: Host) -> None:
    """2.6: taking up supervision of an attempt that did not begin does nothing; only a launch has its secrets."""
    spec = host.shell("echo ran", secret_env={"A": "b"})
    me = of_self()
    names = {"secret_names": ("A",)}
    built = Attempt(str(spec.attempt), "state-1", me.machine, me.boot, "n", "j", tuple(spec.argv), {}, "/", **names)  # type: ignore[arg-type]
    assert build(str(host.runs), built.id, {"attempt.json": built.to_bytes()}) is not None
    assert not await host.executor.ensure_supervised(spec.attempt)
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.LAUNCHING
    await host.finish(spec)
    assert host.output(spec) == "ran\n"


async def test_void_kills_a_supervisor_that_does_not_get_on(host: Host) -> None:
    """Design 6: a supervisor that holds `lock` without having let its command go is ended, by its identity."""
    spec = host.shell("echo ran")
    me = of_self()
    built = Attempt(str(spec.attempt), "state-1", me.machine, me.boot, "n", "j", tuple(spec.argv), {}, "/")
    run = build(str(host.runs), built.id, {"attempt.json": built.to_bytes()})
    assert run is not None
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
    me = of_self()
    built = Attempt(str(spec.attempt), "state-1", me.machine, me.boot, "n", "j", tuple(spec.argv), {}, "/")
    run = build(str(host.runs), built.id, {"attempt.json": built.to_bytes()})
    assert run is not None
    lock = try_lock(run.file("lock"))
    assert lock is not None
    stale = json.loads(format_lock(me))
    stale["supervisor"]["startTicks"] += 1
    os.pwrite(lock, json.dumps(stale).encode(), 0)
    assert not await host.executor.void(spec.attempt, "held by the test itself")
    os.close(lock)


async def test_release_refuses_what_is_alive(host: Host) -> None:
    """7.6: nothing that may run is removed."""
    spec = host.shell("echo begun; sleep 60")
    await host.executor.launch(spec)
    for keep in (True, False):
        with pytest.raises(Waiting):
            await host.executor.release(spec.attempt, keep)
    await host.executor.stop(spec.attempt, "Canceled", 5)
    await host.end(spec)
    await host.executor.release(spec.attempt, True)


async def test_release(host: Host) -> None:
    """7.6: the record stays as long as it is wanted; what it proves stays proved; both are repeatable."""
    spec = host.shell("mkdir -p d/e; echo x >d/e/f; ln -s /etc d/link; echo out; exit 3")
    await host.finish(spec)
    for _ in range(2):
        await host.executor.release(spec.attempt, True)
        seen = await host.executor.observe(spec.attempt)
        assert seen.exit is not None and (seen.exit.code, seen.output_bytes, seen.processes_left) == (3, 4, 0)
        names = {path.name for path in Path(host.run(spec).path).iterdir()}
        assert names <= {
            "attempt.json",
            "process.json",
            "exit.json",
            "output.log",
            "journal.jsonl",
            "lock",
            "recorder.lock",
        }
    await host.executor.launch(spec)
    assert host.output(spec) == "out\n"
    for _ in range(2):
        await host.executor.release(spec.attempt, False)
        assert (await host.executor.observe(spec.attempt)).evidence is Evidence.ABSENT
    assert list(host.runs.iterdir()) == []
    assert Path("/etc/passwd").exists()


async def test_interrupted_removals_are_finished(host: Host) -> None:
    """7.6, 8.2: trash goes at once, unfinished directories after 10 min, nothing else."""
    spec = host.shell("exit 3")
    await host.finish(spec)
    trash, old, young = (
        host.runs / name
        for name in (
            ".trash.job-7.1.tmp.0123456789abcdef",
            ".job-8.1.tmp.0123456789abcdef",
            ".job-9.1.tmp.0123456789abcdef",
        )
    )
    for path in (trash, old, young):
        (path / "work").mkdir(parents=True)
        (path / "work" / "file").touch()
    os.utime(old, (0, 0))
    assert sorted(await host.executor.clean_leftovers()) == sorted(map(str, (trash, old)))
    assert young.exists() and (await host.executor.observe(spec.attempt)).evidence is Evidence.ENDED
    assert await host.executor.list_attempts() == [spec.attempt]


@pytest.mark.parametrize("name", ["attempt.json", "process.json", "exit.json"])
@pytest.mark.parametrize("garbage", [b"", b"\xff\x00garbage", b'{"version":1', b"[]", b"{}", b"[" * 100_000])
async def test_garbage_is_unknown_and_set_aside(host: Host, name: str, garbage: bytes) -> None:
    """7.5: a damaged file is no evidence: UNKNOWN with the file's name; set aside only when nothing is alive."""
    spec, sound = host.shell("exit 3"), host.shell("exit 4")
    await host.finish(spec)
    await host.finish(sound)
    await host.unsupervised(spec)
    path = Path(host.run(spec).path) / name
    path.write_bytes(garbage)
    seen = await host.executor.observe(spec.attempt)
    assert (seen.evidence, seen.exit) == (Evidence.UNKNOWN, None)
    assert name in seen.message
    with pytest.raises(Waiting):
        await host.executor.release(spec.attempt, False)
    assert await host.executor.quarantine(str(sound.attempt)) is None
    reason = await host.executor.quarantine(str(spec.attempt))
    assert reason is not None and name in reason
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.ABSENT
    assert await host.executor.list_attempts() == [sound.attempt]
    aside = {path.suffix for path in (host.runs / ".quarantine").iterdir()}
    assert ".reason" in aside and len(aside) == 2


async def test_garbage_of_a_running_attempt(host: Host) -> None:
    """7.5, 7.6: damaged files do not make a running job look dead, and it is not set aside."""
    spec = host.shell("echo begun; sleep 60")
    await host.executor.launch(spec)
    run = Path(host.run(spec).path)
    saved = (run / "process.json").read_bytes()
    (run / "process.json").write_bytes(b"garbage")
    (run / "journal.jsonl").write_bytes(b"\xff\xff\n\n{")
    seen = await host.executor.observe(spec.attempt)
    assert seen.evidence is Evidence.ALIVE and "process.json" in seen.message
    assert await host.executor.quarantine(str(spec.attempt)) is None
    (run / "process.json").write_bytes(saved)
    await host.executor.stop(spec.attempt, "Canceled", 5)
    assert (await host.end(spec)).evidence is Evidence.ENDED


async def test_foreign_entries(host: Host) -> None:
    """7.5: what is no run directory is named, set aside, and never stops the rest."""
    (host.runs / "README").write_text("hello")
    (host.runs / "job-1.01").mkdir()
    assert await host.executor.list_attempts() == []
    assert await host.executor.foreign_entries() == ["README", "job-1.01"]
    for name in await host.executor.foreign_entries():
        assert await host.executor.quarantine(name)
    assert await host.executor.foreign_entries() == []


async def test_another_state_directorys_attempts(host: Host) -> None:
    """Design 9: an attempt of another stateId or machine is UNKNOWN and is not touched."""
    spec = host.shell("exit 3")
    await host.finish(spec)
    other = ProcessExecutor(host.runs, "state-2", 5.0)
    seen = await other.observe(spec.attempt)
    assert seen.evidence is Evidence.UNKNOWN and "state-1" in seen.message
    with pytest.raises(Waiting):
        await other.release(spec.attempt, False)
    assert await other.quarantine(str(spec.attempt)) is None
    path = Path(host.run(spec).path) / "attempt.json"
    path.write_bytes(json.dumps({**json.loads(path.read_bytes()), "machine": "other"}).encode())
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.UNKNOWN


async def test_an_unreadable_state_directory_proves_nothing(host: Host) -> None:
    """Design 1: missing is not proof: without a readable `runs` an attempt is UNKNOWN, not ABSENT."""
    moved = host.runs.with_name("moved")
    host.runs.rename(moved)
    seen = await host.executor.observe(AttemptId("job-1", 1))
    assert seen.evidence is Evidence.UNKNOWN
    with pytest.raises(Transient):
        await host.executor.list_attempts()
    moved.rename(host.runs)


async def test_a_newer_version_reads_an_older_record(host: Host) -> None:
    """Issue "upgrade": fields that are unknown are ignored, a version from the future is not guessed at."""
    spec = host.shell("exit 3")
    await host.finish(spec)
    path = Path(host.run(spec).path) / "attempt.json"
    path.write_bytes(json.dumps({**json.loads(path.read_bytes()), "someday": 1}).encode())
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.ENDED
    path.write_bytes(json.dumps({**json.loads(path.read_bytes()), "version": 99}).encode())
    seen = await host.executor.observe(spec.attempt)
    assert seen.evidence is Evidence.UNKNOWN and "newer version" in seen.message


def test_locks_are_seen(tmp_path: Path) -> None:
    """3.1: a held flock is seen by others and free after its holder."""
    path = str(tmp_path / "lock")
    assert not is_locked(path)
    held = try_lock(path)
    assert held is not None and is_locked(path) and try_lock(path) is None
    os.close(held)
    assert not is_locked(path)
    assert ending.clean_leftovers(str(tmp_path), 0) == []
    assert not RunDir(str(tmp_path)).exists("exit.json")
