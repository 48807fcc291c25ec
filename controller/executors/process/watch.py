"""The supervisor's loop from "go" to the end: heartbeat, limits, stop requests, reaping, the last sweep.

It works for the supervisor that started the recorder (its parent, and subreaper of everything below) and for one that
took over later ("attached": it can watch and stop, but not reap). Standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import time

from controller.executors.process import cgroup
from controller.executors.process.identity import Identity, Verdict, compare, open_pidfd, read_stat, send
from controller.executors.process.limits import Limits
from controller.executors.process.records import Attempt, Exit, Process, RecordError, Stop
from controller.executors.process.rundir import RunDir
from controller.executors.process.stopping import Stopping, sweep
from controller.executors.process.story import Story
from controller.executors.process.tree import Scope, members

HEARTBEAT_SECONDS = 5.0
_RETRY_SECONDS = 1.0


class Watch:
    """Supervises one attempt whose process.json is durable.

    Args:
        wake_fd: becomes readable on SIGCHLD and SIGUSR1 (signal.set_wakeup_fd).
        parent: this process forked the recorder and has been the subreaper since before that.
    """

    def __init__(
        self, run: RunDir, attempt: Attempt, process: Process, story: Story, wake_fd: int, *, parent: bool
    ) -> None:
        self._run, self._attempt, self._process, self._story = run, attempt, process, story
        self._wake_fd, self._parent = wake_fd, parent
        self._limits = Limits(run, attempt, process, story)
        self._stopping: Stopping | None = None
        self._grace = float("inf")
        self._recorder_fd = None if parent else open_pidfd(process.recorder)
        self._recorder_ended = not parent and self._recorder_fd is None
        self._reaped: Exit | None = None
        self._next_heartbeat = 0.0

    def run(self) -> None:
        """Return when the attempt has ended, nothing of it is left and its end is durable."""
        while self._is_running():
            self._look_for_stop()
            if self._stopping is not None:
                self._stopping.step()
            self._beat()
            self._wait(self._next_look())
        self._finish()

    def _is_running(self) -> bool:
        self._reap()
        if not self._recorder_ended:
            return True
        if self._run.exists("exit.json"):
            return False
        if not self._parent:
            return False
        if self._reaped is not None:
            return not self._record(self._reaped)
        # The recorder was killed alone: the command became our child, and we will reap it.
        command = self._command()
        if command is not None and compare(command) is Verdict.SAME:
            return True
        self._reap()  # it may have ended between the two looks
        return self._reaped is not None and not self._record(self._reaped)

    def _reap(self) -> None:
        if not self._parent:
            if self._recorder_fd is not None and _is_readable(self._recorder_fd):
                os.close(self._recorder_fd)
                self._recorder_fd, self._recorder_ended = None, True
            return
        while (ended := _next_zombie()) is not None:
            if ended.si_pid == self._process.recorder.pid:
                self._recorder_ended = True
            elif self._is_command(ended.si_pid):
                self._reaped = _exit_of(ended)
                self._story.tell("CommandReaped", code=self._reaped.code, signal=self._reaped.signal)
            os.waitpid(ended.si_pid, 0)

    def _is_command(self, pid: int) -> bool:
        command, stat = self._command(), read_stat(pid)
        return (
            command is not None and stat is not None and (pid, stat.start_ticks) == (command.pid, command.start_ticks)
        )

    def _command(self) -> Identity | None:
        try:
            return self._run.read_command(self._process)
        except (RecordError, OSError):
            return None

    def _record(self, record: Exit) -> bool:
        try:
            self._run.write_exit(record)
        except OSError as error:
            self._story.tell("ExitNotWritten", error=error.strerror, code=record.code, signal=record.signal)
            return False
        return True

    def _look_for_stop(self) -> None:
        stop = self._requested()
        if stop is None:
            stop = self._limits.check(lambda: members(self._scope()))
            if stop is None:
                return
            self._keep(stop)
        if self._stopping is None:
            self._story.tell("StopRequested", reason=stop.reason, message=stop.message, graceSeconds=stop.grace_seconds)
            self._stopping = Stopping(stop, self._scope, self._command, self._story, awaited=True)
        elif stop.grace_seconds < self._grace:
            self._stopping.hurry(stop.grace_seconds)
        self._grace = min(self._grace, stop.grace_seconds)

    def _requested(self) -> Stop | None:
        try:
            return self._run.read_stop()
        except RecordError as error:
            return Stop("StopRequestDamaged", self._attempt.grace_seconds, f"the request was damaged: {error}"[:200])
        except OSError:
            return None

    def _keep(self, stop: Stop) -> None:
        """So that a later supervisor goes on with this stop; a full disk does not keep us from stopping."""
        try:
            self._run.write_stop(stop)
        except OSError as error:
            self._story.tell("StopNotKept", error=error.strerror)

    def _scope(self) -> Scope:
        command = self._command()
        recorder = self._process.recorder
        roots = {pid.pid for pid in (recorder, command) if pid is not None and compare(pid) is Verdict.SAME}
        sessions = {recorder.pid} | ({command.pid} if command is not None else set())
        own = {os.getpid()} if self._parent else set()
        excluded = {os.getpid()} | (roots & {recorder.pid})
        return Scope(
            attempt=self._attempt.id,
            roots=frozenset(roots | own),
            sessions=frozenset(sessions),
            cgroup=self._process.cgroup,
            exclude=frozenset(excluded),
            complete_roots=self._parent,
        )

    def _next_look(self) -> float:
        waits = [self._next_heartbeat - time.monotonic()]
        waits.append(self._limits.due_in() if self._stopping is None else self._stopping.due_in())
        if self._reaped is not None:
            waits.append(_RETRY_SECONDS)
        return max(0.0, min(waits))

    def _beat(self) -> None:
        now = time.monotonic()
        if now < self._next_heartbeat:
            return
        self._next_heartbeat = now + HEARTBEAT_SECONDS
        self._story.flush()
        try:
            os.utime(self._run.heartbeat)
        except OSError as error:
            self._story.tell("HeartbeatFailed", error=error.strerror)
        stat = None if self._recorder_ended else read_stat(self._process.recorder.pid)
        if stat is not None and stat.state == "T" and send(self._process.recorder, signal.SIGCONT):
            self._story.tell("RecorderContinued")

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._wake_fd, select.POLLIN)
        if self._recorder_fd is not None:
            poll.register(self._recorder_fd, select.POLLIN)
        for fd, _ in poll.poll(seconds * 1000):
            if fd == self._wake_fd:
                os.read(self._wake_fd, 4096)

    def _finish(self) -> None:
        left = None
        if not self._nothing_left():
            left = sweep(self._scope, self._attempt.grace_seconds, self._story)
        while left is not None:
            left.step()
            self._beat()
            self._wait(min(left.due_in(), _RETRY_SECONDS))
            self._reap()
            stop = self._requested()
            if stop is not None:
                left.hurry(stop.grace_seconds)
            if not members(self._scope()):
                left = None
        if self._reaped is not None and not self._run.exists("exit.json"):
            self._record(self._reaped)
        cgroup.remove(self._process.cgroup)
        durable = self._make_durable()
        self._story.tell("Ended", left=0, durable=durable)

    def _nothing_left(self) -> bool:
        """Cheap proof: everything that lost its parent became our child, so without children nothing is left."""
        if not self._parent:
            return False
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return not cgroup.is_populated(self._process.cgroup)
        return False

    def _make_durable(self) -> bool:
        try:
            self._run.make_exit_durable()
        except OSError:
            return False
        return True


def _is_readable(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _next_zombie() -> os.waitid_result | None:
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None


def _exit_of(ended: os.waitid_result) -> Exit:
    if ended.si_code == os.CLD_EXITED:
        return Exit(code=ended.si_status)
    return Exit(signal=ended.si_status, code=min(255, 128 + ended.si_status))
