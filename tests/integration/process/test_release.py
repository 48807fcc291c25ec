"""What an attempt leaves is removed when it is over, and only then (requirements 7.6, 8.2)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence
from controller.errors import Waiting
from tests.integration.process.attempts import Host


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
