"""What the contract tests need of an executor besides the protocol: attempts to launch, and a look at their output.

One subject per executor. Everything that the tests themselves assert goes through `controller.executors.base.Executor`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from controller.decisions.observed import Evidence, Observation
from controller.executors.base import AttemptId, Executor, LaunchSpec
from controller.executors.process.executor import ProcessExecutor
from tests.contract.repositories import OnHost
from tests.integration.process.attempts import Host

OVER = frozenset({Evidence.ENDED, Evidence.GONE, Evidence.NEVER_STARTED})
Again = Callable[[], Awaitable[Executor]]


class Subject(Protocol):
    """One executor under test.

    Args:
        executor: the one that launches.
        woken: attempts that it woke for, in order.
        limit: seconds within which an attempt of no length is over.
    """

    executor: Executor
    woken: list[AttemptId]
    limit: float

    async def command(self, *argv: str, **fields: object) -> LaunchSpec:
        """An attempt of a job of its own that runs `argv`; `fields` go into the spec, those of Limits into them."""

    async def in_repository(self, *argv: str) -> LaunchSpec:
        """As `command`, in a workspace of a Repository: branch main, checked out."""

    async def published(self) -> str:
        """The commit of branch main at that Repository's remote, once what a success pushed was published."""

    async def output(self, spec: LaunchSpec) -> bytes:
        """What the attempt printed so far, as `holdfast logs` would show it."""

    async def again(self) -> Executor:
        """A second executor over the same attempts, as after a restart of the controller."""

    async def close(self) -> None:
        """End what the test left running."""


class ProcessSubject:
    """Attempts as processes of this host."""

    limit = 120.0

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made = [ProcessExecutor(directory / "runs", "state-1", 5.0)]
        self.executor: Executor = self._made[0]
        self.woken: list[AttemptId] = []
        self.executor.subscribe(self.woken.append)
        self._host = Host(directory / "runs", self._made[0])

    async def command(self, *argv: str, **fields: object) -> LaunchSpec:
        return self._host.command(*argv, **fields)

    async def in_repository(self, *argv: str) -> LaunchSpec:
        self._repository = await asyncio.to_thread(OnHost.make, self._directory)
        spec = self._host.command(*argv, env={"HOLDFAST_LOCK_TOKEN": "1"})
        workspace = await asyncio.to_thread(self._repository.workspace, str(spec.attempt))
        return replace(spec, working_dir=str(workspace))

    async def published(self) -> str:
        return await asyncio.to_thread(self._repository.publish)

    async def output(self, spec: LaunchSpec) -> bytes:
        path = Path(self._host.run(spec).output)
        return path.read_bytes() if path.exists() else b""

    async def again(self) -> Executor:
        made = ProcessExecutor(self._host.runs, "state-1", 5.0)
        await made.reattach()
        self._made.append(made)
        return made

    async def close(self) -> None:
        for made in self._made:
            made.close()
        self._host.clean()


async def shell(subject: Subject, script: str, **fields: object) -> LaunchSpec:
    """An attempt that runs a script."""
    return await subject.command("/bin/sh", "-c", script, **fields)


async def end(subject: Subject, spec: LaunchSpec, executor: Executor | None = None) -> Observation:
    """Wait as a reconciler does until the attempt is over and nothing of it is left."""
    executor = executor or subject.executor
    stop_at = time.monotonic() + subject.limit
    while True:
        seen = await executor.observe(spec.attempt)
        if seen.evidence in OVER and seen.processes_left == 0:
            return seen
        assert time.monotonic() < stop_at, f"still {seen} after {subject.limit} s"
        if not seen.supervised:
            await executor.ensure_supervised(spec.attempt)
        await asyncio.sleep(0.05)


async def finish(subject: Subject, spec: LaunchSpec) -> Observation:
    """Launch and wait for the end."""
    await subject.executor.launch(spec)
    return await end(subject, spec)
