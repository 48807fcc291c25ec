"""Keep one component running: adopt it or start it, watch it, start it again with backoff, stop it.

What runs is recorded as soon as it is known, so the next `up` finds it. The component decides nothing here but its
command line; whoever wants to react to an exit gets a callback before the next start.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from controller.executors.process import identity
from controller.local import logs, records
from controller.local.components import Component, Launch
from controller.local.home import Home
from controller.local.ports import is_free
from controller.local.process import end, spawn, wait_exit
from controller.local.records import Record, State

FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 30.0
# A component that was ready for this long starts again without the waiting time of its earlier failures.
SETTLED_SECONDS = 60.0
# Starts in a row that ended before the component was ready, after which `wait_ready` gives up.
FAILED_STARTS = 4

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exit:
    """How a component's process ended.

    Args:
        code: exit code, negative for a signal, None where it was adopted and so not our child.
        was_ready: its readiness had been seen.
        ran_seconds: how long it was looked after.
        log: what it logged in that time, at most the last 64 KiB.
    """

    code: int | None
    was_ready: bool
    ran_seconds: float
    log: str

    def __str__(self) -> str:
        if self.code is None:
            return "ended"
        return f"was ended by signal {-self.code}" if self.code < 0 else f"ended with exit code {self.code}"


class Supervised:
    """One component under supervision.

    Args:
        component: what to run.
        ready: says why the component is not ready; None when it is. Usually the component's probe.
        renew_port: called where a stranger has taken the remembered port; `launch` shows the new one.
        exited: awaited after each exit that was not asked for; True where it mended the cause, so that the next start
            is at once and not counted as failed.
    """

    def __init__(
        self,
        component: Component,
        home: Home,
        say: Say,
        *,
        ready: Callable[[], Awaitable[str | None]] | None = None,
        exited: Callable[[Exit], Awaitable[bool]] | None = None,
        renew_port: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.component = component
        self.record = Record(component.name)
        self._home = home
        self._say = say
        self._ready_check = ready or component.probe
        self._exited = exited
        self._renew_port = renew_port
        self._ready = asyncio.Event()
        self._gave_up = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self._log_offset = 0
        self._failed_starts = 0

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    def start(self) -> None:
        """Begin to look after the component; returns at once."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"supervise {self.component.name}")

    async def wait_ready(self, limit_seconds: float) -> str | None:
        """Wait until it is ready; None then, otherwise a message with the last log lines."""
        assert self._task is not None, "started first"
        waits = {asyncio.create_task(event.wait()) for event in (self._ready, self._gave_up)}
        try:
            await asyncio.wait(waits | {self._task}, timeout=limit_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._task.done() and not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error
        if self._ready.is_set():
            return None
        self._gave_up.clear()
        path = self._home.log(self.component.name)
        lines = logs.last_lines(logs.since(path, self._log_offset))
        return f"{self.component.name} is not ready: {self.record.message}\n  the end of {path}:\n{lines}"

    async def restart(self) -> None:
        """Stop the running process; the loop starts it again."""
        if self._pidfd is not None:
            await end(self._pidfd, self.component.stop_seconds)

    async def stop(self) -> None:
        """Stop the component for good, within its limit; harmless where it does not run."""
        self._stopping.set()
        if self._pidfd is not None:
            self._update(state=State.STOPPING)
            await end(self._pidfd, self.component.stop_seconds)
        if self._task is not None:
            # Where the event loop itself is being closed the task was cancelled: the server is ended all the same.
            await asyncio.wait({self._task})
            self._reap()
            if not self._task.cancelled():
                self._task.result()

    def record_again(self) -> None:
        """Where the record cannot be read any more."""
        if records.read(self._home.record(self.component.name)) is None:
            self._update()

    def _reap(self) -> int | None:
        """Exit code of our ended child, None where it was adopted; the descriptors are given back."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        if self._child is None:
            return None
        code = self._child.wait(10)
        self._child = None
        return code

    async def _run(self) -> None:
        while not self._stopping.is_set():
            started = asyncio.get_running_loop().time()
            problem = await self._adopt_or_spawn()
            ending = await self._watch(started) if problem is None else Exit(None, False, 0.0, problem)
            self._ready.clear()
            if self._stopping.is_set():
                break
            await self._after(ending, problem or f"{self.component.name} {ending}")
        self._update(state=State.STOPPED, process=None)

    async def _after(self, ending: Exit, message: str) -> None:
        """Record the exit, let its cause be mended, wait before the next start."""
        mended = self._exited is not None and await self._exited(ending)
        if mended or (ending.was_ready and ending.ran_seconds > SETTLED_SECONDS):
            self._failed_starts = 0
        delay = 0.0 if mended else min(FIRST_BACKOFF_SECONDS * 2**self._failed_starts, MAX_BACKOFF_SECONDS)
        self._failed_starts += 1
        if self._failed_starts >= FAILED_STARTS:
            self._gave_up.set()
        self._say(f"{message}, starting it again in {delay:.1f} s")
        self._update(state=State.BACKOFF, process=None, message=message, restarts=self.record.restarts + 1)
        try:
            await asyncio.wait_for(self._stopping.wait(), delay)
        except TimeoutError:
            return

    async def _adopt_or_spawn(self) -> str | None:
        """None when a process runs and is recorded, otherwise why not."""
        launch = self.component.launch()
        if self._adopt(launch):
            return None
        if launch.port is not None and self._renew_port is not None and not is_free(launch.port):
            self._say(f"port {launch.port} of {self.component.name} is taken by another program, choosing a new one")
            await self._renew_port()
            launch = self.component.launch()
        try:
            self._spawn(launch)
        except OSError as error:
            return f"{self.component.name} cannot be started: {error}"
        return None

    def _adopt(self, launch: Launch) -> bool:
        record = records.read(self._home.record(self.component.name))
        if record is None or record.process is None or record.fingerprint != launch.fingerprint:
            return False
        self._pidfd = identity.open_pidfd(record.process)
        if self._pidfd is None:
            return False
        self.record = replace(record, restarts=self.record.restarts)
        self._log_offset = logs.size(self._home.log(self.component.name))
        self._update(state=State.STARTING, message="adopted")
        return True

    def _spawn(self, launch: Launch) -> None:
        path = self._home.log(self.component.name)
        logs.bound(path)
        self._log_offset = logs.size(path)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._child = spawn(launch.argv, launch.cwd, launch.env, fd)
        finally:
            os.close(fd)
        # Our child is not reaped before we wait for it, so the pid is its own.
        self._pidfd = os.pidfd_open(self._child.pid)
        self._update(
            state=State.STARTING,
            process=identity.of_pid(self._child.pid),
            port=launch.port,
            fingerprint=launch.fingerprint,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    async def _watch(self, started: float) -> Exit:
        assert self._pidfd is not None
        gone = asyncio.create_task(wait_exit(self._pidfd))
        pause = 0.03
        try:
            while not gone.done():
                reason = await self._ready_check()
                if reason is None:
                    self._update(state=State.RUNNING, message="")
                    self._ready.set()
                    break
                self.record = replace(self.record, message=reason)
                await asyncio.wait({gone}, timeout=pause)
                pause = min(pause * 1.3, 0.5)
            await gone
        finally:
            gone.cancel()
        code = self._reap()
        log = logs.since(self._home.log(self.component.name), self._log_offset)
        return Exit(code, self._ready.is_set(), asyncio.get_running_loop().time() - started, log)

    def _update(self, **changes: object) -> None:
        self.record = replace(self.record, **changes)  # type: ignore[arg-type]
        try:
            records.write(self._home.record(self.component.name), self.record)
        except OSError as error:
            # A full disk must not end the supervision that can free space; an unrecorded server carries a marker.
            self._say(f"cannot record {self.component.name}: {error}")
