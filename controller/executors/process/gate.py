"""Launch, exactly once: start the recorder behind a gate, make process.json durable, let it go (design 6).

The command runs only after a "go" on the gate pipe, whose one writer is the supervisor, and "go" is written only
after process.json is durable. Whoever finds no process.json while holding `lock` and `recorder.lock` therefore knows
that the command has not run. Standard library only.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Mapping

from controller.executors.process import cgroup, precheck
from controller.executors.process.identity import of_pid
from controller.executors.process.records import Attempt, Exit, Process, now_boottime
from controller.executors.process.rundir import RunDir

_SHELL = "/bin/sh"
_RECORDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorder.sh")
_TOOL_PATH = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"
_OOM_SCORE_ABOVE = 200  # the kernel takes the command first, never its recorder
_FIRST_FREE_FD = 64  # above every number that the recorder is given
_ALL_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
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
        pid = _spawn_recorder(run, attempt, env, recorder_lock, gate_read, group)
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


def _spawn_recorder(
    run: RunDir, attempt: Attempt, env: Mapping[str, str], recorder_lock: int, gate_read: int, group: str
) -> int:
    """posix_spawn shares our memory until the exec, where a fork would make both sides copy what they touch."""
    argv = [_SHELL, _RECORDER, _oom_score(), _open_files(attempt.open_files), group, *_TOOLS, *attempt.argv]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    output = null = directory = -1
    try:
        output = os.open(run.output, flags, 0o600)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        directory = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        _change_directory(attempt.cwd)
        return os.posix_spawn(
            _SHELL,
            argv,
            env,
            file_actions=_numbers({0: gate_read, 1: null, 2: null, 6: output, 8: directory, 9: recorder_lock}),
            setsid=True,
            setsigmask=(),
            setsigdef=_ALL_SIGNALS,
        )
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        size = sum(len(os.fsencode(word)) + 1 for word in attempt.argv)
        message = f"{len(attempt.argv)} arguments of {size} bytes are over the kernel's limit (execve(2))"
        raise NeverStarted(Exit(True, reason="ArgumentListTooLong", message=message)) from error
    finally:
        os.chdir("/")
        for fd in (output, null, directory):
            if fd >= 0:
                os.close(fd)


def _change_directory(cwd: str) -> None:
    """The recorder inherits ours: it knows the run directory by descriptor and leaves its own place to the command."""
    try:
        os.chdir(cwd)
    except OSError as error:
        refusal = Exit(True, reason="BadWorkingDirectory", message=f"{cwd}: {error.strerror}")
        raise NeverStarted(refusal) from error


def _numbers(given: Mapping[int, int]) -> list[tuple[int, ...]]:
    """File actions that give `given` its numbers. By way of high ones: a source may have the number of a target."""
    high = {number: _FIRST_FREE_FD + number for number in given}
    return [
        *((os.POSIX_SPAWN_DUP2, fd, high[number]) for number, fd in given.items()),
        *((os.POSIX_SPAWN_DUP2, high[number], number) for number in given),
        *((os.POSIX_SPAWN_CLOSE, fd) for fd in high.values()),
    ]


def _oom_score() -> str:
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        return str(min(1000, int(file.read()) + _OOM_SCORE_ABOVE))


def _open_files(limit: int | None) -> str:
    return "" if limit is None else str(limit)


def _which(name: str) -> str:
    for directory in f"{_TOOL_PATH}:{os.environ.get('PATH', '')}".split(":"):
        path = os.path.join(directory, name)
        if directory and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(2, f"the program {name} is needed and not in {_TOOL_PATH} or PATH", name)


# The job's own PATH must not decide which ones the recorder takes. Once per process: the launcher does it for all.
_TOOLS = [_which(name) for name in ("setsid", "mv", "sleep")]
