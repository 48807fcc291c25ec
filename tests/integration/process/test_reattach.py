"""What a new controller finds after the old one's death, or after that of the machine (requirements 3.1, 3.3, 3.4)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from controller.decisions.observed import Evidence
from controller.executors.base import AttemptId
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.identity import container
from controller.executors.process.rundir import RunDir, is_locked
from tests.integration.process.attempts import PATIENCE, Host, until
from tests.needs import need_root


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


OUTLIVE = AttemptId(f"outlive-{uuid4().hex[:8]}", 1)  # its processes are found by this name
_CONTROLLER = """
import asyncio, sys
from pathlib import Path
from controller.executors.base import AttemptId, LaunchSpec
from controller.executors.process.executor import ProcessExecutor

async def main():
    executor = ProcessExecutor(Path(sys.argv[1]), "state-1", 5.0)
    command = ["/bin/sh", "-c", f"echo begun; sleep {sys.argv[2]}; exit 7"]
    await executor.launch(LaunchSpec(AttemptId(sys.argv[3], 1), "default", "outlive", command))
    print("launched", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process group of its own with an executor that launched OUTLIVE."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CONTROLLER, str(tmp_path / "runs"), "1", OUTLIVE.job_uid],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    yield process
    process.stdout.close()
    process.kill()
    process.wait(PATIENCE)


async def test_supervisors_outlive_the_group_that_started_them(controller: subprocess.Popen[bytes], host: Host) -> None:
    """3.1: killing the controller's whole process group ends no job."""
    assert controller.stdout is not None
    assert await asyncio.to_thread(controller.stdout.readline) == b"launched\n"
    os.killpg(controller.pid, signal.SIGKILL)
    run = RunDir.of(str(host.runs), str(OUTLIVE))
    await until(lambda: run.exists("exit.json"), what="exit.json")
    await until(lambda: not is_locked(run.file("lock")), what="the supervisor's end")
    record = run.read_exit()
    assert record is not None and record.code == 7


def _instance(host: Host, container: str) -> subprocess.Popen[bytes]:
    """That controller as a container has it."""
    need_root()
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", _CONTROLLER]
    environment = {**os.environ, "HOLDFAST_CONTAINER": container}
    arguments = [str(host.runs), "600", OUTLIVE.job_uid]
    return subprocess.Popen(
        [*command, *arguments], cwd=Path(__file__).parents[3], env=environment, stdout=subprocess.PIPE
    )


@pytest.mark.parametrize(
    ("before", "now", "evidence"),
    [
        ("pod-1/controller", "pod-1/controller", Evidence.GONE),
        ("pod-1/controller", "pod-2/controller", Evidence.UNKNOWN),
        ("pod-1/controller", "", Evidence.UNKNOWN),
        ("", "", Evidence.UNKNOWN),
    ],
)
async def test_another_instance_of_a_container(
    host: Host, monkeypatch: pytest.MonkeyPatch, before: str, now: str, evidence: Evidence
) -> None:
    """3.3, 5.2: what an earlier instance of this very container started ended with it; of any other nothing is known.

    The first instance is a PID namespace of its own, whose first process is killed as that of a container is.
    """
    with _instance(host, before) as first:
        assert first.stdout is not None
        assert await asyncio.to_thread(first.stdout.readline) == b"launched\n"
        attempt, run = OUTLIVE, RunDir.of(str(host.runs), str(OUTLIVE))
        monkeypatch.setenv("HOLDFAST_CONTAINER", now)
        container.cache_clear()
        await until(lambda: run.exists("process.json"), what="process.json")
        assert (await host.executor.observe(attempt)).evidence is Evidence.ALIVE, "its recorder's lock is held"
        first.kill()
    await until(lambda: not is_locked(run.file("recorder.lock")), what="the end of its processes")
    seen = await host.executor.observe(attempt)
    container.cache_clear()
    assert (seen.evidence, seen.processes_left) == (evidence, 0)


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
