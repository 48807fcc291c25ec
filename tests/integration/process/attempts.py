"""Builders and waits for tests with real attempts in a state directory of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

from controller.decisions.observed import Evidence, Observation
from controller.executors.base import AttemptId, LaunchSpec, Limits
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.identity import Identity, of_self, read_stat, send
from controller.executors.process.records import Attempt, RecordError
from controller.executors.process.rundir import RunDir, build, is_locked
from controller.executors.process.tree import Scope, members, scan, signal_each
from tests.eventually import eventually

OVER = frozenset({Evidence.ENDED, Evidence.GONE, Evidence.NEVER_STARTED})


PATIENCE = 60.0  # seconds: for a machine that is slow or stands still for some seconds
HELD = "until [ -e go ]; do sleep 0.05; done"  # as long as a test wants: see `Host.go`


until = partial(eventually, timeout=PATIENCE)


def command_lines() -> list[bytes]:
    """Of all processes; one may end between two looks."""
    found = []
    for pid in scan():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes())
    return found


def stands(pid: int) -> bool:
    """Whether a process with one thread is stopped: a SIGSTOP returns before it acts."""
    stat = read_stat(pid)
    return stat is not None and stat.state == "T"


@dataclass
class Host:
    """A state directory with an executor, and builders for attempts."""

    runs: Path
    executor: ProcessExecutor
    woken: list[AttemptId] = field(default_factory=list)
    _count: int = 0
    _token: str = field(default_factory=lambda: uuid4().hex[:8])  # processes are found by the name of their attempt

    def shell(self, script: str, **fields: object) -> LaunchSpec:
        """An attempt that runs `script`; `fields` go into the spec, those of Limits into its limits."""
        return self.command("/bin/sh", "-c", script, **fields)

    def command(self, *argv: str, **fields: object) -> LaunchSpec:
        """An attempt of its own job that runs `argv`."""
        self._count += 1
        limits = {key: fields.pop(key) for key in list(fields) if key in Limits.__slots__}
        attempt = AttemptId(f"job-{self._token}-{self._count}", 1)
        return LaunchSpec(attempt, "default", attempt.job_uid, argv, limits=Limits(**limits), **fields)  # type: ignore[arg-type]

    def run(self, spec: LaunchSpec) -> RunDir:
        """The run directory of an attempt."""
        return RunDir.of(str(self.runs), str(spec.attempt))

    def build(self, spec: LaunchSpec, **fields: object) -> RunDir:
        """Its run directory as a launch leaves it that dies before the supervisor; `fields` go into attempt.json."""
        me, argv = of_self(), tuple(spec.argv)
        attempt = Attempt(str(spec.attempt), "state-1", me.machine, me.boot, "n", "j", argv, {}, "/", **fields)  # type: ignore[arg-type]
        built = build(str(self.runs), attempt.id, {"attempt.json": attempt.to_bytes()})
        assert built is not None
        return built

    def output(self, spec: LaunchSpec) -> str:
        """What it printed so far."""
        path = Path(self.run(spec).output)
        return path.read_text(errors="replace") if path.exists() else ""

    async def printed(self, spec: LaunchSpec, text: str) -> None:
        """Wait until the attempt printed `text`."""
        await until(lambda: text in self.output(spec), what=f"output {text!r}")

    def go(self, spec: LaunchSpec) -> None:
        """Let a script go on that waits with HELD in its own working directory."""
        (Path(self.run(spec).path) / "work" / "go").touch()

    async def end(
        self, spec: LaunchSpec, limit: float = PATIENCE, executor: ProcessExecutor | None = None
    ) -> Observation:
        """Wait as a reconciler does until the attempt is over and nothing of it is left."""
        executor = executor or self.executor
        stop_at = time.monotonic() + limit
        while True:
            seen = await executor.observe(spec.attempt)
            if seen.evidence in OVER and seen.processes_left == 0:
                return seen
            assert time.monotonic() < stop_at, f"still {seen} after {limit} s"
            if not seen.supervised:
                await executor.ensure_supervised(spec.attempt)
            await asyncio.sleep(0.02)

    async def finish(self, spec: LaunchSpec, limit: float = PATIENCE) -> Observation:
        """Launch and wait for the end."""
        await self.executor.launch(spec)
        return await self.end(spec, limit)

    def kill_supervisor(self, spec: LaunchSpec, number: int = signal.SIGKILL) -> None:
        """Signal exactly the supervisor."""
        identity = self.run(spec).read_supervisor()
        assert identity is not None and send(identity, number)

    def kill_recorder(self, spec: LaunchSpec, number: int = signal.SIGKILL) -> None:
        """Signal exactly the recorder."""
        process = self.run(spec).read_process()
        assert process is not None and send(process.recorder, number)

    async def unsupervised(self, spec: LaunchSpec) -> None:
        """Wait until nobody holds the attempt's lock."""
        await until(lambda: not is_locked(self.run(spec).file("lock")), what="lock is free")

    def clean(self) -> None:
        """End what tests left running: supervisors and members of attempts, each by its identity."""
        for path in self.runs.iterdir() if self.runs.exists() else ():
            run = RunDir(str(path))
            if not (path / "lock").exists():
                continue
            identities: list[Identity | None] = []
            with contextlib.suppress(RecordError):
                identities.append(run.read_supervisor())
            with contextlib.suppress(RecordError):
                process = run.read_process()
                identities.append(process.recorder if process else None)
            for identity in identities:
                if identity is not None:
                    send(identity, signal.SIGKILL)
            signal_each(members(Scope(path.name, exclude=frozenset({os.getpid()}))), signal.SIGKILL)
