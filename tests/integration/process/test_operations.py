"""Operations on a real executor: a launch that was cut off goes on, and an end that nobody told is found (5.2, 5.7)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from controller.api.keys import Key
from controller.decisions.inputs import StepState
from controller.decisions.orphan import is_over
from controller.executors.base import AttemptId, LaunchSpec
from controller.executors.process.executor import ProcessExecutor
from controller.reconcile.operations import Operations, Owner
from controller.reconcile.workqueue import WorkQueue
from controller.repositories.places import Places
from controller.repositories.requests import Request
from tests.integration.process.attempts import Host, until

OPERATION = AttemptId("11111111-2222-3333-4444-555555555555", 1)
OWNER = Owner(Key("Repository", "default", "shop"), "uid-shop")


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue()


@pytest.fixture
async def operations(host: Host, queue: WorkQueue, tmp_path: Path) -> Operations:
    made = Operations(host.executor, Places(tmp_path), queue, lambda path, reason: None)
    host.runs.mkdir(exist_ok=True)
    await made.load()
    return made


def request(tmp_path: Path) -> Request:
    script = f"open({str(tmp_path / 'ran')!r}, 'a').write('x')"
    return Request((sys.executable, "-I", "-S", "-c", script), {}, 60.0)


async def test_a_launch_that_was_cut_off(host: Host, operations: Operations, tmp_path: Path) -> None:
    """5.2: built and never supervised, it is begun again under its name, and works once."""
    asked = request(tmp_path)
    host.build(LaunchSpec(OPERATION, "default", "shop", asked.argv))
    assert (await operations.look(OPERATION, OWNER.key)).step().state is StepState.ABSENT
    await operations.begin(OPERATION, OWNER, asked)
    await until(lambda: _over(host.executor), what="it has ended")
    await operations.begin(OPERATION, OWNER, asked)
    assert (tmp_path / "ran").read_text() == "x"


async def test_an_end_that_nobody_tells(host: Host, operations: Operations, queue: WorkQueue, tmp_path: Path) -> None:
    """5.2: what another controller launched is looked at now and then; what is over, not any more."""
    go = tmp_path / "go"
    earlier = ProcessExecutor(host.runs, "state-1", 5.0)
    script = f"until [ -e {go} ]; do sleep 0.05; done"
    await earlier.launch(LaunchSpec(OPERATION, "default", "shop", ("/bin/sh", "-c", script)))
    assert (await operations.look(OPERATION, OWNER.key)).step().state is StepState.WORKING
    operations.look_again()
    assert await queue.get() == OWNER.key
    queue.done(OWNER.key)
    go.touch()
    await until(lambda: _over(host.executor), what="it has ended")
    earlier.close()
    await operations.look(OPERATION, OWNER.key)
    operations.look_again()
    assert queue.depth().ready == 0


async def _over(executor: ProcessExecutor) -> bool:
    return is_over(await executor.observe(OPERATION))  # its supervisor may still look for what it left
