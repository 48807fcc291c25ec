"""A disk that is full, a run directory that is taken away (requirement 3.4; issue "faults")."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.identity import Verdict, compare
from tests.disks import small_disk
from tests.integration.process.attempts import Host, until


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    with small_disk(tmp_path / "disk", "1m") as place:
        yield place


async def test_full_disk(disk: Path) -> None:
    """3.4: the exit code and a stop get through a full disk; a launch on it says what is wrong and works later."""
    host = Host(disk / "runs", ProcessExecutor(disk / "runs", "state-1", 5.0))
    ends, stopped, later = (
        host.shell("echo begun; sleep 0.7; exit 7"),
        host.shell("echo begun; sleep 60"),
        host.shell("exit 3"),
    )
    for spec in (ends, stopped):
        await host.executor.launch(spec)
        await host.printed(spec, "begun")
    ballast = disk / "ballast"
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


async def test_run_directory_deleted_under_way(host: Host, tmp_path: Path) -> None:
    """Issue "faults": nothing is started or stopped because of it, and nothing of ours stays for ever."""
    go = tmp_path / "go"
    spec = host.shell(f"echo begun; until [ -e {go} ]; do sleep 0.05; done")
    await host.executor.launch(spec)
    await host.printed(spec, "begun")
    supervisor = host.run(spec).read_supervisor()
    process = host.run(spec).read_process()
    assert supervisor is not None and process is not None
    await asyncio.to_thread(subprocess.run, ["rm", "-r", host.run(spec).path], check=True, timeout=60)
    seen = await host.executor.observe(spec.attempt)
    assert seen.evidence is Evidence.UNKNOWN and "is gone" in seen.message
    after = ProcessExecutor(host.runs, "state-1", 5.0)
    await after.reattach()
    assert (await after.observe(spec.attempt)).evidence is Evidence.UNKNOWN
    after.close()
    go.touch()
    await until(lambda: compare(process.recorder) is Verdict.GONE, what="the recorder's end")
    assert (await host.executor.observe(spec.attempt)).evidence is Evidence.ABSENT
    await until(lambda: compare(supervisor) is Verdict.GONE, what="the supervisor's end")
