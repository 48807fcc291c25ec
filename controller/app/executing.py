"""Where attempts run: the enabled executors behind the one that reconcilers know."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from controller.app.foundation import Foundation
from controller.decisions.executors import PROCESS, recorded
from controller.decisions.inputs import Host
from controller.executors.base import AttemptId, Executor
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.rundir import RunDir
from controller.executors.routing import RoutingExecutor


@dataclass(frozen=True, slots=True)
class Executing:
    """See the module.

    Args:
        executor: what reconcilers work with.
        process: the one of this host, None where it is not enabled.
        host: what decisions are told of where attempts run.
    """

    executor: RoutingExecutor
    process: ProcessExecutor | None
    host: Host
    _runs: Path

    def output(self, attempt: AttemptId) -> Path:
        """The output file of an attempt of this host."""
        return Path(RunDir(str(self._runs / str(attempt))).output)

    def output_location(self, attempt: AttemptId) -> str:
        """Where people find an attempt's output: `host:path`."""
        return f"{self.host.name}:{self.output(attempt)}"

    async def reattach(self, carried: set[str]) -> None:
        """After a start: find what runs. Raises Transient.

        Args:
            carried: attempts that live processes carry.
        """
        if self.process is not None:
            await self.process.reattach(carried)


def executing(base: Foundation, state_id: str) -> Executing:
    """Make the enabled executors; nothing runs yet."""
    settings, process = base.settings, None
    settings.runs.mkdir(mode=0o700, parents=True, exist_ok=True)  # looked at also where no attempt runs on this host
    executors: dict[str, Executor] = {}
    for name in settings.enabled_executors:
        if name == PROCESS:
            process = ProcessExecutor(settings.runs, state_id, settings.sweep_seconds, home=settings.job_home)
            executors[name] = process
    host = Host(
        state_id,
        socket.gethostname(),
        settings.running_record_delay_ms / 1000,
        settings.start_timeout_seconds,
        frozenset(executors),
        next(iter(executors)),
    )
    return Executing(RoutingExecutor(executors, partial(_recorded, base)), process, host, settings.runs)


def _recorded(base: Foundation, attempt: AttemptId) -> str | None:
    key = base.scheduler.owner(attempt.job_uid)
    job = base.store.job(key) if key is not None else None
    return recorded(job.status, attempt.number) if job is not None else None
