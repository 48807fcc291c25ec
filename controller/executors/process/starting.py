"""Starting supervisors: by the launcher, or, where that one is gone or silent, as a fresh `python -I -S`.

What a supervisor gets travels in an anonymous memory file (secrets never touch a disk); what it says comes over a pipe;
its end is seen on a pidfd.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controller.executors.process import launcher, supervisor
from controller.files.atomic import write_all

_LAST_STEPS = frozenset({"started", "over", "busy", "failed"})
_SUPERVISOR = os.path.abspath(supervisor.__file__)
_LAUNCHER = os.path.abspath(launcher.__file__)
_ANSWER_LIMIT_SECONDS = 5.0


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
        last = next((step for step in steps if step["step"] in _LAST_STEPS), None)
        if last is None and data:
            return
        if self._done is not None and not self._done.done():
            self._done.set_result(last or {"step": "lost"})


def start_fresh(path: str, payload: bytes) -> Started:
    """Start a supervisor as a new Python process.

    Args:
        path: the run directory.
        payload: what it reads from stdin.

    Raises:
        OSError: the process could not be made.
    """
    order, (report_read, report_write) = _order(payload), os.pipe()
    try:
        pid = _spawn(_SUPERVISOR, [path], {0: order, 1: report_write})
    except OSError:
        os.close(report_read)
        raise
    finally:
        os.close(order)
        os.close(report_write)
    # Not reaped yet, so the pid is still its own, also where it ended already.
    return Started(os.pidfd_open(pid), report_read, lambda: _reap(pid))


class Launcher:
    """The launcher's process as its user sees it: started when first needed, replaced when it fails."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._pid = 0
        self._waiting: deque[asyncio.Future[int]] = deque()

    async def start(self, path: str, payload: bytes) -> Started:
        """Start a supervisor, by a fork where that works, else as a new process; arguments as for `start_fresh`.

        Raises:
            OSError: neither way worked.
        """
        order, (report_read, report_write) = _order(payload), os.pipe()
        try:
            pidfd = await self._ask(path, order, report_write)
        except (OSError, TimeoutError):
            os.close(report_read)
            self.close()
            return start_fresh(path, payload)
        finally:
            os.close(order)
            os.close(report_write)
        return Started(pidfd, report_read, lambda: None)

    def close(self) -> None:
        """End the launcher; what it started goes on."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        os.kill(self._pid, signal.SIGKILL)  # our child, not reaped yet: the pid is still its own
        _reap(self._pid, 0)
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("the launcher is gone"))

    async def _ask(self, path: str, order: int, report: int) -> int:
        connection = self._socket or self._begin()
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        socket.send_fds(connection, [os.fsencode(path)], [order, report])
        self._waiting.append(answer)
        return await asyncio.wait_for(answer, _ANSWER_LIMIT_SECONDS)

    def _begin(self) -> socket.socket:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._pid = _spawn(_LAUNCHER, [], {0: its.fileno()})
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._answered, ours)
        return ours

    def _answered(self, connection: socket.socket) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(connection, 64, 1)
        except BlockingIOError:
            return
        except ConnectionError:
            data, fds = b"", []
        if not data or not fds:
            self.close()
            return
        answer = self._waiting.popleft()
        if answer.done():
            os.close(fds[0])
        else:
            os.set_inheritable(fds[0], False)
            answer.set_result(fds[0])


def _order(payload: bytes) -> int:
    order = os.memfd_create("holdfast-order", os.MFD_CLOEXEC)
    write_all(order, payload)
    os.lseek(order, 0, os.SEEK_SET)
    return order


def _spawn(program: str, arguments: list[str], given: dict[int, int]) -> int:
    """Start one of our programs, isolated; descriptors that are not given are /dev/null or closed."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    fds = {0: null, 1: null, 2: null, **given}
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", program, *arguments],
            {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in fds.items()],
            setsigmask=(),
        )
    finally:
        os.close(null)


def _reap(pid: int, options: int = os.WNOHANG) -> None:
    try:
        os.waitpid(pid, options)
    except ChildProcessError:
        return  # SIGCHLD is ignored by whoever started us: the kernel reaps
