"""Launch, exactly once: fork the recorder behind a gate, make process.json durable, let it go (design 6).

The command runs only after a "go" on the gate pipe, whose one writer is the supervisor, and "go" is written only
after process.json is durable. Whoever finds no process.json while holding `lock` and `recorder.lock` therefore knows
that the command has not run. Standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Mapping
from typing import NoReturn

from controller.executors.process import cgroup, precheck
from controller.executors.process.identity import of_pid
from controller.executors.process.records import Attempt, Exit, Process, now_boottime
from controller.executors.process.rundir import RunDir
from controller.files.atomic import write_all

_SHELL = "/bin/sh"
_RECORDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorder.sh")
_TOOL_PATH = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"
_OOM_SCORE_ABOVE = 200  # the kernel takes the command first, never its recorder
_FIRST_FREE_FD = 64  # above every number that the recorder is given
_COMMAND_LINE_BYTES = 512  # room for a line of /proc/<pid>/stat in recorder.lock


class NeverStarted(Exception):
    """The command can never start; `record` says why."""

    def __init__(self, record: Exit) -> None:
        super().__init__(record.message)
        self.record = record


def launch(run: RunDir, attempt: Attempt, secrets: Mapping[str, str], recorder_lock: int) -> Process:
    """Start the recorder and let the command go.

    Args:
        run: its directory; `lock` is held by the caller.
        secrets: values for the variables that the attempt takes from Secrets.
        recorder_lock: descriptor holding the flock of `recorder.lock`; the recorder inherits it.

    Returns:
        What process.json says; the recorder is a child of this process.

    Raises:
        NeverStarted: nothing ran and nothing can: record it.
        OSError: nothing ran (no space, no processes left): the gate was closed, trying again is safe.
    """
    env = {**attempt.env, **secrets}
    refusal = precheck.why_not(attempt.argv, env, attempt.cwd)
    if refusal is not None:
        raise NeverStarted(refusal)
    run.reserve()
    os.pwrite(recorder_lock, b" " * (_COMMAND_LINE_BYTES - 1) + b"\n", 0)
    group = cgroup.make(attempt.id, attempt.cpu)
    gate_read, gate_write = os.pipe()
    try:
        pid = _fork_recorder(run, attempt, env, recorder_lock, gate_read, group)
        recorder = of_pid(pid)
        if recorder is None:
            raise ChildProcessError(f"the recorder of {attempt.id} ended before its command")
        process = Process(recorder, time.time(), now_boottime(), group)
        run.write_process(process)
        os.write(gate_write, b"go\n")
    except BaseException:
        cgroup.remove(group)
        raise
    finally:
        os.close(gate_write)
        os.close(gate_read)
    return process


def _fork_recorder(
    run: RunDir, attempt: Attempt, env: Mapping[str, str], recorder_lock: int, gate_read: int, group: str
) -> int:
    failed_read, failed_write = os.pipe()
    output = os.open(run.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    directory = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    argv = [_SHELL, _RECORDER, _oom_score(), _open_files(attempt.open_files), group, *_tools(), *attempt.argv]
    try:
        pid = os.fork()
        if pid == 0:
            _become_recorder(argv, env, attempt.cwd, failed_write, (gate_read, output, directory, recorder_lock))
        os.close(failed_write)
        failure = os.read(failed_read, 4096)
    finally:
        for fd in (failed_read, output, directory):
            os.close(fd)
    if failure:
        os.waitpid(pid, 0)
        stage, number, text = json.loads(failure)
        raise _failure(stage, number, text, attempt)
    return pid


def _become_recorder(
    argv: list[str], env: Mapping[str, str], cwd: str, failed: int, fds: tuple[int, int, int, int]
) -> NoReturn:
    """In the child: own session, default signals, only the recorder's descriptors, then exec. Reports what fails."""
    stage = "prepare"
    try:
        os.setsid()
        for ignored in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(ignored, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        null = os.open(os.devnull, os.O_RDWR)
        gate, output, directory, lock = fds
        given = {0: gate, 1: null, 2: null, 6: output, 8: directory, 9: lock}
        safe = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD) for number, fd in given.items()}
        failed = fcntl.fcntl(failed, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD)
        for number, fd in safe.items():
            os.dup2(fd, number, inheritable=True)
        stage = "cwd"
        os.chdir(cwd)
        stage = "exec"
        os.execve(argv[0], argv, env)
    except OSError as error:
        write_all(failed, json.dumps([stage, error.errno, error.strerror]).encode())
    finally:
        os._exit(127)


def _failure(stage: str, number: int, text: str, attempt: Attempt) -> Exception:
    if stage == "cwd":
        return NeverStarted(Exit(True, reason="BadWorkingDirectory", message=f"{attempt.cwd}: {text}"))
    if stage == "exec" and number == errno.E2BIG:
        size = sum(len(os.fsencode(word)) + 1 for word in attempt.argv)
        message = f"{len(attempt.argv)} arguments of {size} bytes are over the kernel's limit (execve(2))"
        return NeverStarted(Exit(True, reason="ArgumentListTooLong", message=message))
    return OSError(number, f"the recorder could not be started: {text}")


def _oom_score() -> str:
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        return str(min(1000, int(file.read()) + _OOM_SCORE_ABOVE))


def _open_files(limit: int | None) -> str:
    return "" if limit is None else str(limit)


def _tools() -> list[str]:
    """Paths of setsid, mv and sleep: the job's own PATH must not decide which ones the recorder takes."""
    return [_which(name) for name in ("setsid", "mv", "sleep")]


def _which(name: str) -> str:
    for directory in f"{_TOOL_PATH}:{os.environ.get('PATH', '')}".split(":"):
        path = os.path.join(directory, name)
        if directory and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(2, f"the program {name} is needed and not in {_TOOL_PATH} or PATH", name)
