"""ProcessExecutor: attempts as processes of this host, each under a supervisor that outlives the controller.

Nothing is kept in memory that matters: which supervisors are watched is found again by `reattach`. Cheap looks at a run
directory are made in the event loop, everything that waits for a disk or reads all of /proc in a thread.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from controller.decisions.observed import Evidence, Observation
from controller.errors import Terminal, Transient
from controller.executors.base import AttemptId, LaunchSpec, Usage
from controller.executors.process import ending
from controller.executors.process.contact import live_supervisors, request_stop, signal_supervisor
from controller.executors.process.environment import DEFAULT_PATH, attempt_record
from controller.executors.process.observe import (
    live_processes,
    look,
    processes_left,
    still_running,
)
from controller.executors.process.records import RecordError, Stop
from controller.executors.process.rundir import RunDir, is_attempt_name
from controller.executors.process.strays import attempts_carried
from controller.executors.process.supervision import Supervision
from controller.executors.process.tree import proportional_bytes
from controller.files.usage import disk_usage


class ProcessExecutor:
    """Implements `controller.executors.base.Executor` for this host.

    Args:
        runs: directory of the run directories; made with mode 0700 where it is missing.
        state_id: of this state directory; attempts of another one are UNKNOWN.
        sweep_seconds: how often the caller looks at running attempts without a wake-up.
        home: HOME of a job: a directory private to the attempt, or the user's own.
        search_path: PATH of a job that does not set its own.
    """

    def __init__(
        self,
        runs: Path,
        state_id: str,
        sweep_seconds: float = 5.0,
        *,
        home: Literal["private", "user"] = "private",
        search_path: str = DEFAULT_PATH,
    ) -> None:
        self._runs = os.path.abspath(runs)
        self._state_id = state_id
        self.sweep_seconds = sweep_seconds
        self._home: Literal["private", "user"] = home
        self._search_path = search_path
        self._supervision = Supervision()
        self._begun: set[str] = set()  # attempts with processes, as far as we know, and not proved over
        os.makedirs(self._runs, mode=0o700, exist_ok=True)

    def subscribe(self, wake: Callable[[AttemptId], None]) -> None:
        """`wake` is called in the event loop's thread when a supervisor ended."""
        self._supervision.subscribe(wake)

    async def observe(self, attempt: AttemptId) -> Observation:
        """Look at one attempt; what cannot be read is UNKNOWN with a message.

        A supervisor that stands still does not count as one: `supervised` is False then, see `ensure_supervised`.

        ENDED and NEVER_STARTED are reported only after exit.json is durable.
        """
        run = self._run(attempt)
        seen = look(run, self._state_id)
        observation = seen.observation
        try:
            if observation.supervised and self._supervision.stands_still(attempt, run):
                observation = replace(observation, supervised=False, message="its supervisor stands still")
            if seen.sync:
                await asyncio.to_thread(run.make_exit_durable)
            if seen.sweep:
                left = await asyncio.to_thread(processes_left, run, seen.process)
                observation = replace(observation, processes_left=len(left))
            return await self._unless_it_runs(attempt, run, observation)
        except OSError as error:
            return replace(observation, evidence=Evidence.UNKNOWN, exit=None, message=f"{run.path}: {error}")

    async def _unless_it_runs(self, attempt: AttemptId, run: RunDir, observation: Observation) -> Observation:
        """An attempt of which we saw processes is not ABSENT while they run, whoever deleted its directory."""
        if observation.evidence is Evidence.ALIVE:
            self._begun.add(str(attempt))
        elif observation.evidence is Evidence.ABSENT and str(attempt) in self._begun:
            message = await asyncio.to_thread(still_running, run)
            if message:
                return replace(observation, evidence=Evidence.UNKNOWN, message=message)
        if observation.evidence in (Evidence.ABSENT, Evidence.ENDED, Evidence.NEVER_STARTED, Evidence.GONE):
            self._begun.discard(str(attempt))
        return observation

    async def annotations(self, attempt: AttemptId) -> Mapping[str, str] | None:
        """What the attempt's LaunchSpec carried; None where there is no readable record of it."""
        try:
            record = self._run(attempt).read_attempt()
        except (RecordError, OSError):
            return None
        return None if record is None else record.annotations

    async def launch(self, spec: LaunchSpec) -> None:
        """Start the attempt unless it was started, voided or ended before; returns once the command was let go.

        Raises:
            Terminal: the attempt has an impossible name.
            Transient: it may start when tried again; nothing runs.
        """
        run = self._run(spec.attempt)
        if _has(run, "exit.json") or _has(run, "process.json"):
            return
        self._begun.add(str(spec.attempt))
        record = attempt_record(
            spec, run.path, self._state_id, time.time(), home=self._home, search_path=self._search_path
        )
        secrets = json.dumps(dict(spec.secret_env)).encode("ascii")
        await self._supervision.start(spec.attempt, run, secrets + b"\n" + record.to_bytes())

    async def stop(self, attempt: AttemptId, reason: str, grace_seconds: float) -> None:
        """Ask the supervisor to stop the whole tree; starts one where none runs. Nothing to do without a directory.

        Of an attempt that ended only what it left is stopped.

        Raises:
            Transient: the request could not be written.
        """
        run = self._run(attempt)
        if not _has(run, ""):
            return
        if _has(run, "exit.json"):
            await self.ensure_supervised(attempt)  # the command ended: a supervisor stops what it left
            return
        try:
            await asyncio.to_thread(request_stop, run, Stop(reason, grace_seconds))
        except OSError as error:
            raise Transient("StopNotWritten", f"{error.filename or run.path}: {error.strerror}") from error
        try:
            supervised = signal_supervisor(run, signal.SIGUSR1)
        except OSError as error:
            raise Transient("SupervisorNotWoken", f"{run.path}: {error.strerror}") from error
        if not supervised:
            await self.ensure_supervised(attempt)

    async def void(self, attempt: AttemptId, message: str) -> bool:
        """Make sure that an attempt that is not proved started never starts; False where it may have started.

        Raises:
            Transient: the record could not be written.
        """
        self._run(attempt)
        try:
            return await asyncio.to_thread(ending.void, self._runs, str(attempt), self._state_id, message)
        except OSError as error:
            raise Transient("VoidNotWritten", f"{error.filename or attempt}: {error.strerror or error}") from error

    async def release(self, attempt: AttemptId, keep_record: bool) -> None:
        """Remove what is left of an ended attempt; `keep_record` keeps attempt.json, exit.json and the output.

        Raises:
            Waiting: something of it is or may be alive.
            Transient: a file could not be removed.
        """
        self._run(attempt)
        await asyncio.to_thread(ending.release, self._runs, str(attempt), self._state_id, keep_record=keep_record)

    async def list_attempts(self) -> list[AttemptId]:
        """All attempts with a run directory; raises Transient where the state directory cannot be read."""
        return [AttemptId.parse(name) for name in self._names() if is_attempt_name(name)]

    async def unreleased(self) -> list[AttemptId]:
        """Attempts that run, and ended ones whose `release` was interrupted; raises Transient."""
        names = [name for name in self._names() if is_attempt_name(name)]
        try:
            found = await asyncio.to_thread(ending.unreleased, self._runs, names)
        except OSError as error:
            raise Transient("StateDirectoryUnreadable", f"{error.filename}: {error.strerror}") from error
        return [AttemptId.parse(name) for name in found]

    async def foreign_entries(self) -> list[str]:
        """Names in `runs` that are no attempts and that we did not make; raises Transient."""
        return [name for name in self._names() if not name.startswith(".") and not is_attempt_name(name)]

    async def fence(self, attempt: AttemptId, message: str) -> None:
        """Nothing to do: the mirror refuses its pushes, and an operation publishes them."""

    async def ensure_supervised(self, attempt: AttemptId) -> bool:
        """Start a supervisor in attach mode where the attempt needs one and none works; idempotent, `lock` decides.

        Needed for: a command that runs (or may run), a stop that is not carried out yet, and an end whose left-over
        processes nobody swept. A supervisor that holds `lock` but whose heartbeat stood still between two looks 10 s
        apart is killed first (a stopped process keeps its lock).

        Returns:
            Whether a supervisor was started.

        Raises:
            Transient: it could not be started.
        """
        run = self._run(attempt)
        seen = look(run, self._state_id)
        evidence = seen.observation.evidence
        needed = evidence is Evidence.ALIVE or seen.sweep or (evidence is Evidence.LAUNCHING and _has(run, "stop.json"))
        if seen.observation.supervised:
            needed = self._supervision.kill_stale(attempt, run)
        if needed:
            await self._supervision.start(attempt, run, b"")
        return needed

    async def quarantine(self, name: str, asked: str = "") -> str | None:
        """Set a damaged run directory or a foreign entry aside; the reason, or None where it stays (alive or sound).

        Args:
            asked: a person's reason to set aside what is sound, but of which nothing is proved; "" for none.

        Raises:
            Transient: it could not be moved.
        """
        try:
            return await asyncio.to_thread(ending.quarantine, self._runs, name, self._state_id, asked)
        except OSError as error:
            raise Transient("QuarantineFailed", f"{error.filename or name}: {error.strerror or error}") from error

    async def usage(self, attempt: AttemptId) -> Usage:
        """What the live processes of an attempt take, besides recorder and supervisor; raises Transient."""
        try:
            left = await asyncio.to_thread(live_processes, self._run(attempt))
            return Usage(len(left), await asyncio.to_thread(proportional_bytes, left))
        except OSError as error:
            raise Transient("ProcessesUnreadable", f"/proc: {error.strerror or error}") from error

    async def disk_bytes(self, attempt: AttemptId) -> int:
        """What the run directory takes; what cannot be read counts nothing."""
        return await asyncio.to_thread(disk_usage, self.place(str(attempt)))

    def place(self, name: str) -> str:
        """Path of an attempt's run directory or of a foreign entry."""
        return f"{self._runs}/{name}"

    async def clean_leftovers(self, older_than_seconds: float = 600) -> list[str]:
        """Finish interrupted removals and remove directories whose building was killed; raises Transient."""
        try:
            return await asyncio.to_thread(ending.clean_leftovers, self._runs, time.time(), older_than_seconds)
        except OSError as error:
            raise Transient("CleanupFailed", f"{error.filename or self._runs}: {error.strerror or error}") from error

    async def reattach(self, carried: set[str] | None = None) -> list[AttemptId]:
        """After a start: watch every supervisor that lives; returns their attempts. Raises Transient.

        Args:
            carried: what `attempts_carried` has found; None: it is asked here.
        """
        self._begun |= await attempts_carried() if carried is None else carried
        known = set(self._supervision.watched())
        attempts = [attempt for attempt in await self.list_attempts() if attempt not in known]
        self._supervision.watch(await asyncio.to_thread(live_supervisors, self._runs, attempts))
        return self._supervision.watched()

    def close(self) -> None:
        """Stop watching; supervisors and jobs go on."""
        self._supervision.close()

    def _run(self, attempt: AttemptId) -> RunDir:
        try:
            return RunDir.of(self._runs, str(attempt))
        except ValueError as error:
            raise Terminal("BadAttemptName", str(error)) from error

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self._runs))
        except OSError as error:
            raise Transient("StateDirectoryUnreadable", f"{self._runs}: {error.strerror}") from error


def _has(run: RunDir, name: str) -> bool:
    try:
        return run.exists(name)
    except OSError as error:
        raise Transient("StateDirectoryUnreadable", f"{error.filename or run.path}: {error.strerror}") from error
