"""The supervisors of this host as the executor deals with them: started, watched, and killed where they stand still.

Nothing here has to outlive the controller: a supervisor that is not watched is found again by its `lock`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable

from controller.errors import Transient
from controller.executors.base import AttemptId
from controller.executors.process.contact import raise_failure, signal_supervisor
from controller.executors.process.rundir import RunDir
from controller.executors.process.starting import Launcher
from controller.executors.process.wakeup import Heartbeats, PidfdWatch


class Supervision:
    """See the module."""

    def __init__(self) -> None:
        self._wakes: list[Callable[[AttemptId], None]] = []
        self._watched = PidfdWatch[AttemptId](self._ended)
        self._failed_starts = PidfdWatch[AttemptId](lambda _: None)
        self._heartbeats = Heartbeats[AttemptId]()
        self._launcher = Launcher()

    def subscribe(self, wake: Callable[[AttemptId], None]) -> None:
        """`wake` is called in the event loop's thread when a supervisor ended."""
        self._wakes.append(wake)

    async def start(self, attempt: AttemptId, run: RunDir, payload: bytes) -> None:
        """Start one and watch it.

        Args:
            payload: what it reads first: the launch; empty for attach mode.

        Raises:
            Transient: it could not be started, or says that it failed.
        """
        try:
            started = await self._launcher.start(run.path, payload)
        except OSError as error:
            raise Transient("SupervisorNotStarted", f"{attempt}: {error.strerror or error}") from error
        watch = self._watched
        try:
            await raise_failure(attempt, started)
        except Transient:
            watch = self._failed_starts  # who asked is told here: to be woken too would be a retry without backoff
            raise
        finally:
            watch.add(attempt, started.pidfd, started.reap)

    def watch(self, found: Iterable[tuple[AttemptId, int]]) -> None:
        """Be woken by the ends of supervisors that an earlier controller started: attempt and pidfd of each."""
        for attempt, pidfd in found:
            self._watched.add(attempt, pidfd, lambda: None)

    def watched(self) -> list[AttemptId]:
        """Whose supervisors are watched."""
        return sorted(self._watched.keys(), key=str)

    def stands_still(self, attempt: AttemptId, run: RunDir) -> bool:
        """Whether its heartbeat stood still between two looks 10 s apart; raises OSError."""
        return self._heartbeats.stands_still(attempt, run)

    def kill_stale(self, attempt: AttemptId, run: RunDir) -> bool:
        """True where the one that holds `lock` stood still and was killed; raises Transient."""
        try:
            if not self.stands_still(attempt, run):
                return False
            self._heartbeats.forget(attempt)
            return signal_supervisor(run, signal.SIGKILL)
        except OSError as error:
            raise Transient("HeartbeatUnreadable", f"{run.path}: {error.strerror}") from error

    def close(self) -> None:
        """Stop watching; supervisors and jobs go on."""
        self._watched.close()
        self._failed_starts.close()
        self._launcher.close()

    def _ended(self, attempt: AttemptId) -> None:
        self._heartbeats.forget(attempt)
        for wake in self._wakes:
            wake(attempt)
