"""Keep one component running: adopt it or start it, watch it, start it again with backoff, stop it.

What runs is recorded as soon as it is known, so the next `up` finds it. The component decides nothing here but its
command line; whoever wants to react to an exit gets a callback before the next start.

The loop of one component is a worker boundary: whatever is raised in it is that component's problem, which its record
tells, and it goes on after the backoff. A loop that ends unasked all the same is told by `Supervised.check`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

from controller.errors import Transient
from controller.executors.process import identity
from controller.local import logs, records
from controller.local.chores import describe, log_defect
from controller.local.components import Component, Launch
from controller.local.exits import Exit
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


def backoff_seconds(failed_starts: int) -> float:
    """How long to wait after so many starts in a row that failed, however many."""
    # 2**1024 is no float any more: a component that cannot start gets there within nine hours.
    return min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failed_starts, 32), MAX_BACKOFF_SECONDS)


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
        self._told_end = False

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

    def check(self) -> None:
        """Raises Transient where nobody looks after the component any more, and nobody asked for that."""
        if self._task is None or not self._task.done() or self._stopping.is_set():
            return
        error = None if self._task.cancelled() else self._task.exception()
        self._told_end = True
        text = f"nobody looks after {self.component.name} any more ({error or 'cancelled'}): start `holdfast up` again"
        raise Transient("SupervisionEnded", text) from error

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
            if not self._task.cancelled() and not self._told_end:
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
            ending, message = await self._one_life()
            self._ready.clear()
            if self._stopping.is_set():
                break
            await self._after(ending, message)
        self._update(state=State.STOPPED, process=None)

    async def _one_life(self) -> tuple[Exit, str]:
        """From the start to the end of its process; or to what went wrong, and then the process may still run."""
        started = asyncio.get_running_loop().time()
        try:
            if self._pidfd is None:
                await self._adopt_or_spawn()
            ending = await self._watch(started)
        except Exception as error:  # noqa: BLE001  the worker boundary: the loop that restarts what dies goes on
            log_defect(error)
            wanted = "started" if self._pidfd is None else "watched"
            problem = f"{self.component.name} cannot be {wanted}: {describe(error)}"
            return Exit(None, False, 0.0, problem), problem
        return ending, f"{self.component.name} {ending}"

    async def _after(self, ending: Exit, message: str) -> None:
        """Record what happened, let its cause be mended, wait before the next start or look."""
        runs = self._pidfd is not None
        mended = not runs and await self._mend(ending)
        if mended or (ending.was_ready and ending.ran_seconds > SETTLED_SECONDS):
            self._failed_starts = 0
        delay = 0.0 if mended else backoff_seconds(self._failed_starts)
        self._failed_starts += 1
        if self._failed_starts >= FAILED_STARTS:
            self._gave_up.set()
        self._say(f"{message}, {'looking' if runs else 'starting it'} again in {delay:.1f} s")
        if runs:
            self._update(message=message)
        else:
            self._update(state=State.BACKOFF, process=None, message=message, restarts=self.record.restarts + 1)
        try:
            await asyncio.wait_for(self._stopping.wait(), delay)
        except TimeoutError:
            return

    async def _mend(self, ending: Exit) -> bool:
        try:
            return self._exited is not None and await self._exited(ending)
        except Exception as error:  # noqa: BLE001  the same boundary: it is started again, mended or not
            log_defect(error)
            self._say(f"what ended {self.component.name} cannot be mended: {describe(error)}")
            return False

    async def _adopt_or_spawn(self) -> None:
        """Have a process that runs and is recorded; what it raises says why there is none."""
        launch = self.component.launch()
        if self._adopt(launch):
            return
        if launch.port is not None and self._renew_port is not None and not is_free(launch.port):
            self._say(f"port {launch.port} of {self.component.name} is taken by another program, choosing a new one")
            await self._renew_port()
            launch = self.component.launch()
        self._spawn(launch)

    def _adopt(self, launch: Launch) -> bool:
        record = records.read(self._home.record(self.component.name))
        if record is None or record.process is None or record.fingerprint != launch.fingerprint:
            return False
        self._log_offset = logs.size(self._home.log(self.component.name))
        self._pidfd = identity.open_pidfd(record.process)
        if self._pidfd is None:
            return False
        self.record = replace(record, restarts=self.record.restarts)
        self._update(state=State.STARTING, message="adopted")
        return True

    def _spawn(self, launch: Launch) -> None:
        path = self._home.log(self.component.name)
        try:
            logs.bound(path)
        except OSError as error:
            self._say(f"the log of {self.component.name}: {error}")
        self._log_offset = logs.size(path)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            child = spawn(launch.argv, launch.cwd, launch.env, fd)
        finally:
            os.close(fd)
        try:
            # Our child is not reaped before we wait for it, so the pid is its own.
            process = identity.of_pid(child.pid)
            self._pidfd = os.pidfd_open(child.pid)
        except OSError:
            # Nobody would see its end, and the next start would be a second one on the same data.
            child.kill()
            child.wait(10)
            raise
        self._child = child
        self._update(
            state=State.STARTING,
            process=process,
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
                reason = await self._why_not_ready()
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

    async def _why_not_ready(self) -> str | None:
        try:
            return await self._ready_check()
        except Exception as error:  # noqa: BLE001  the same boundary: the server runs, only the look at it failed
            reason = f"{self.component.name} cannot be asked whether it is ready: {describe(error)}"
            if reason != self.record.message:
                log_defect(error)
                self._say(reason)
                self._update(message=reason)
            return reason

    def _update(self, **changes: object) -> None:
        self.record = replace(self.record, **changes)  # type: ignore[arg-type]
        try:
            records.write(self._home.record(self.component.name), self.record)
        except OSError as error:
            # A full disk must not end the supervision that can free space; an unrecorded server carries a marker.
            self._say(f"cannot record {self.component.name}: {error}")
