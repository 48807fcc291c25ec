"""The boundaries of a controller, instrumented from outside: it knows nothing of this (design 12).

A crossing is one effect that outlives the process: a write to the API server (before it is sent, and after it was
answered but before the caller sees the answer), a try of a callback (the same two), an operation on a file of the state
directory, the start of a process, a signal, a message to another process. `install` counts them and ends this process
with SIGKILL right before one.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import httpx

from controller.delivery.transport import GuardedTransport
from controller.kube.client import Api

WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
PATH_EVENTS = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"})
PLAIN_EVENTS = frozenset(
    {"os.posix_spawn", "os.fork", "os.exec", "subprocess.Popen", "os.kill", "os.killpg", "socket.sendmsg"}
)
FILE_CALLS = ("fsync", "fdatasync", "write", "pwrite")  # the interpreter audits none of these

_write = os.write
_kill = os.kill


class Crossings:
    """Counts crossings and writes one line for each: seconds since boot, tab, name, tab, what it touches.

    Args:
        trace: file for the lines.
        roots: directories whose files count; others (caches, /dev, certificates unpacked to /tmp) are not ours.
        kill_at: number of the crossing before which this process is killed; 0 for none.
    """

    def __init__(self, trace: str, roots: tuple[str, ...], kill_at: int) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._roots = roots
        self._kill_at = kill_at
        self._pid = os.getpid()
        self._count = 0
        self._lock = threading.Lock()
        self._dying = False

    def cross(self, name: str, what: str = "") -> None:
        """One crossing is about to happen."""
        if self._dying or os.getpid() != self._pid:
            return
        with self._lock:
            self._count += 1
            _write(self._trace, f"{time.monotonic():.3f}\t{name}\t{what}\n".encode(errors="replace"))
            if self._count == self._kill_at:
                self._die()

    def _die(self) -> NoReturn:
        self._dying = True
        while True:
            _kill(self._pid, signal.SIGKILL)

    def install(self) -> None:
        """Instrument this process; there is no way back."""
        sys.addaudithook(self._audited)
        for name in FILE_CALLS:
            setattr(os, name, self._file_call(name, getattr(os, name)))
        signal.pidfd_send_signal = self._signal_call(signal.pidfd_send_signal)
        Api._call = self._api_call(Api._call)  # type: ignore[method-assign]
        sending = GuardedTransport.handle_async_request
        GuardedTransport.handle_async_request = self._delivery(sending)  # type: ignore[method-assign]

    def _audited(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            if args[2] & WRITE_FLAGS:
                self._touch("open", args[0])
        elif event in PATH_EVENTS:
            self._touch(event, args[0])
        elif event in PLAIN_EVENTS:
            self.cross(event, str(args[1:2]))

    def _touch(self, name: str, place: Any) -> None:
        path = _path(place)
        if path.startswith(self._roots):
            self.cross(name, path)

    def _file_call(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(fd: int, *args: Any) -> Any:
            self._touch(name, fd)
            return original(fd, *args)

        return call

    def _signal_call(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def call(pidfd: int, number: int, *args: Any) -> None:
            self.cross("signal", str(number))
            original(pidfd, number, *args)
            self.cross("signalled", str(number))

        return call

    def _delivery(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def call(transport: GuardedTransport, request: httpx.Request) -> httpx.Response:
            self.cross("deliver", str(request.url))
            response: httpx.Response = await original(transport, request)
            self.cross("answer to deliver", str(request.url))
            return response

        return call

    def _api_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def call(api: Api, verb: str, kind: str, method: str, path: str, *args: Any, **named: Any) -> Any:
            if method == "GET":
                return await original(api, verb, kind, method, path, *args, **named)
            self.cross(f"{verb} {kind}", path)
            try:
                return await original(api, verb, kind, method, path, *args, **named)
            finally:
                if kind != "Event":  # its answer is kept in memory only: nothing to lose between answer and caller
                    self.cross(f"answer to {verb} {kind}", path)

        return call


def _path(place: Any) -> str:
    if isinstance(place, int):
        try:
            return str(Path(f"/proc/self/fd/{place}").readlink())
        except OSError:
            return ""
    return str(Path(os.fsdecode(place)).absolute())
