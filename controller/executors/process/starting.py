"""Starting supervisors: a fresh `python -I -S supervisor.py` that owes us nothing.

What a supervisor gets travels in an anonymous memory file (secrets never touch a disk); what it says comes over a pipe;
its end is seen on a pidfd.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controller.executors.process import supervisor
from controller.files.atomic import write_all

_STEPS_AFTER_WHICH_NOTHING_FOLLOWS = frozenset({"started", "over", "busy", "failed"})
_SUPERVISOR = os.path.abspath(supervisor.__file__)


@dataclass(slots=True)
class Started:
    """A supervisor that was started.

    Args:
        pidfd: readable once it ended; owned by the caller.
        report_fd: read end of what it says.
        reap: called once after its end, so that no zombie of ours stays.
    """

    pidfd: int
    report_fd: int
    reap: Callable[[], None]
    _data: bytes = b""
    _done: asyncio.Future[dict[str, Any]] | None = field(default=None)

    async def report(self, limit_seconds: float) -> dict[str, Any]:
        """The last step that the supervisor reports: started, over, busy or failed; `lost` where it ended before.

        Raises:
            TimeoutError: it said nothing within the limit.
        """
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        os.set_blocking(self.report_fd, False)
        loop.add_reader(self.report_fd, self._read)
        try:
            return await asyncio.wait_for(self._done, limit_seconds)
        finally:
            loop.remove_reader(self.report_fd)
            os.close(self.report_fd)

    def _read(self) -> None:
        data = os.read(self.report_fd, 65536)
        self._data += data
        steps = [json.loads(line) for line in self._data.split(b"\n")[:-1]]
        last = next((step for step in steps if step["step"] in _STEPS_AFTER_WHICH_NOTHING_FOLLOWS), None)
        if last is None and data:
            return
        if self._done is not None and not self._done.done():
            self._done.set_result(last or {"step": "lost", "built": bool(steps)})


def start_fresh(path: str, payload: bytes) -> Started:
    """Start a supervisor as a new Python process.

    Args:
        path: the run directory.
        payload: what it reads from stdin.

    Raises:
        OSError: the process could not be made.
    """
    order = os.memfd_create("holdfast-order", os.MFD_CLOEXEC)
    report_read, report_write = os.pipe()
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    given = {0: order, 1: report_write, 2: null}
    try:
        write_all(order, payload)
        os.lseek(order, 0, os.SEEK_SET)
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", _SUPERVISOR, path],
            {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in given.items()],
            setsigmask=(),
        )
    except OSError:
        os.close(report_read)
        raise
    finally:
        for fd in given.values():
            os.close(fd)
    # Not reaped yet, so the pid is still its own, also where it ended already.
    return Started(os.pidfd_open(pid), report_read, lambda: _reap(pid))


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # SIGCHLD is ignored by whoever started us: the kernel reaps
