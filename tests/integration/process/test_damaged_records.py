"""Damaged files, foreign entries, other versions: no evidence, and nothing that stops the rest (7.5, 7.6; design 9)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence
from controller.errors import Transient, Waiting
from controller.executors.base import AttemptId
from controller.executors.process import ending
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.rundir import RunDir, is_locked, try_lock
from tests.integration.process.attempts import Host


@pytest.mark.parametrize("name", ["attempt.json", "process.json", "exit.json"])
@pytest.mark.parametrize("garbage", [b"", b"\xff\x00garbage", b'{"version":1', b"[]", b"{}", b"[" * 100_000])
async def test_garbage_is_unknown_and_set_aside(host: Host, name: str, garbage: bytes) -> None:
    """7.5: a damaged file is no evidence: UNKNOWN with the file's name; set aside only when nothing is alive.

    Beside a whole exit.json the other two are not needed: see test_recorded_end.
    """
    spec, sound = host.shell("exit 3"), host.shell("exit 4")
    await host.finish(spec)
    await host.finish(sound)
    await host.unsupervised(spec)
    path = Path(host.run(spec).path) / name
    (Path(host.run(spec).path) / "exit.json").unlink()
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
    aside = {path.suffix for path in (host.runs.parent / "quarantine").iterdir()}
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
