"""The supervisor of one attempt: `python -I -S supervisor.py <run directory>`, a process that outlives the controller.

It takes `lock`, looks again at what happened before, then starts the recorder and lets the command go, or watches one
that runs already (attach mode), or only sweeps up after an end. When it ends, nothing of the attempt is left; its end
is what wakes the controller. On stdin it gets a line with the values of secrets (JSON), which are nowhere else, and
after it the content of attempt.json where the directory is still to be built. On stdout it reports a JSON line for each
step to whoever started it.
Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:
    # Started as a file, isolated: the package root is three directories above this one's.
    sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")))

import ctypes
import errno
import json
import signal
import time
import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from controller.executors.process import gate
from controller.executors.process.identity import of_self
from controller.executors.process.records import Attempt, Exit, NewerRecordError, RecordError, Stop, format_lock
from controller.executors.process.rundir import RunDir, build, is_locked, try_lock
from controller.executors.process.story import Story
from controller.executors.process.sweeping import sweep_up
from controller.executors.process.watch import Watch
from controller.files.atomic import write_all

_PR_SET_NAME = 15  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_LOCK_LIMIT_SECONDS = 0.3  # longer than anybody holds `lock` only to look
_RECORDER_LIMIT_SECONDS = 10.0  # a recorder whose gate closed writes its record and ends


@dataclass(frozen=True, slots=True)
class Report:
    """Tells whoever started us what happened, as JSON lines; that one may be gone already."""

    fd: int

    def say(self, step: str, **facts: Any) -> None:
        """`step` is built, busy, started, over or failed."""
        try:
            write_all(self.fd, json.dumps({"step": step, **facts}).encode("ascii") + b"\n")
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EBADF):
                raise


def supervise(path: str, payload: bytes, report: Report) -> int:
    """Supervise the attempt in the run directory `path` until nothing of it is left.

    Args:
        path: the run directory; built first where `payload` says so.
        payload: what came over stdin.

    Returns:
        Exit status of the supervisor: 0, or 1 where it could not do its work and said so.
    """
    wake_fd = _prepare()
    try:
        secrets, _, attempt = payload.partition(b"\n")
        run = RunDir(path)
        if attempt:
            build(os.path.dirname(path), os.path.basename(path), {"attempt.json": attempt})
        report.say("built")
        lock = try_lock(run.file("lock"), _LOCK_LIMIT_SECONDS)
        if lock is None:
            report.say("busy")
            return 0
        _sign(lock, run)
        story = Story(run)
        sys.excepthook = _Mourner(story)
        try:
            return _look_again(run, json.loads(secrets or b"{}"), story, report, wake_fd)
        except RecordError as damage:
            return _sweep_up(run, damage, story, report)
    except (OSError, RecordError) as error:
        report.say("failed", message=str(error))
        return 1


def _prepare() -> int:
    """Own session, signals that only wake us, and orphans of the attempt become our children."""
    if os.getsid(0) != os.getpid():
        os.setsid()
    os.umask(0o077)
    os.chdir("/")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _prctl(_PR_SET_NAME, b"hf-supervisor", 0, 0, 0)  # one that was forked has the launcher's command line
    if _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
    return read_end


def _sign(lock: int, run: RunDir) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, format_lock(of_self()), 0)
    os.close(os.open(run.heartbeat, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def _look_again(run: RunDir, secrets: dict[str, str], story: Story, report: Report, wake_fd: int) -> int:
    """With `lock` held: what happened before us decides what we are."""
    attempt = run.read_attempt()
    if attempt is None:
        raise FileNotFoundError(errno.ENOENT, "there is no attempt.json", run.path)
    process = run.read_process()  # a damaged one is noticed before `recorder.lock` is taken
    recorder_lock = _lock_of_dead_recorder(run)
    process = process or run.read_process()
    if process is not None:
        story.tell("Attached", recorderRuns=recorder_lock is None)
        if recorder_lock is not None:
            os.close(recorder_lock)
        report.say("started")
        Watch(run, attempt, process, story, wake_fd, parent=False).run()
    elif run.exists("exit.json"):
        report.say("over")
    elif recorder_lock is None:
        raise TimeoutError(errno.ETIMEDOUT, "a recorder whose supervisor is gone does not end", run.path)
    else:
        return _launch(run, attempt, secrets, recorder_lock, story, report, wake_fd)
    return 0


def _sweep_up(run: RunDir, damage: RecordError, story: Story, report: Report) -> int:
    """An end that is recorded needs no other record: what the command left is stopped all the same (7.5)."""
    if isinstance(damage, NewerRecordError) or run.read_exit() is None or is_locked(run.file("recorder.lock")):
        raise damage
    story.tell("Damaged", problem=str(damage))
    report.say("started")
    sweep_up(run, story)
    return 0


def _lock_of_dead_recorder(run: RunDir) -> int | None:
    """The flock of `recorder.lock`: held by us no recorder runs. None: one does, and process.json names it.

    A recorder inherits this lock from the supervisor that forked it, so there is no instant at which one exists
    without holding it.
    """
    end = time.monotonic() + _RECORDER_LIMIT_SECONDS
    while True:
        lock = try_lock(run.file("recorder.lock"), 0.1)
        if lock is not None or run.exists("process.json") or time.monotonic() > end:
            return lock


def _launch(
    run: RunDir,
    attempt: Attempt,
    secrets: dict[str, str],
    recorder_lock: int,
    story: Story,
    report: Report,
    wake_fd: int,
) -> int:
    story.tell("Launching", argv0=attempt.argv[0] if attempt.argv else "")
    try:
        stop = run.read_stop()
        if stop is not None:
            raise gate.NeverStarted(_stopped_before_start(stop))
        missing = sorted(set(attempt.secret_names) - secrets.keys())
        if missing:
            raise OSError(errno.ENODATA, f"no values were handed over for {', '.join(missing)}", run.path)
        process = gate.launch(run, attempt, secrets, recorder_lock)
    except gate.NeverStarted as refusal:
        run.write_exit(refusal.record)
        story.tell("NeverStarted", reason=refusal.record.reason, message=refusal.record.message)
        report.say("over")
        return 0
    os.close(recorder_lock)
    secrets.clear()
    story.tell("Launched", recorder=process.recorder.pid)
    report.say("started")
    Watch(run, attempt, process, story, wake_fd, parent=True).run()
    return 0


def _stopped_before_start(stop: Stop) -> Exit:
    return Exit(never_started=True, reason=stop.reason, message=stop.message or "stopped before it started")


@dataclass(frozen=True, slots=True)
class _Mourner:
    """The last words of a supervisor with a defect go into the journal: it has no other place to say them."""

    story: Story

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        self.story.tell("SupervisorFailed", trace=text[-4000:])


def main() -> int:
    """Entry of a supervisor that was started as a program of its own."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    with os.fdopen(0, "rb", closefd=False) as file:
        payload = file.read()
    return supervise(os.path.abspath(sys.argv[1]), payload, Report(1))


if __name__ == "__main__":
    os._exit(main())  # nothing is left to clean up, and taking the interpreter down costs as much as all of the work
