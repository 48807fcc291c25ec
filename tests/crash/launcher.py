"""A preloaded process that forks controllers: `python -m tests.crash.launcher`.

It imports the whole controller once and never has a second thread or an event loop, so that each fork begins like a
fresh process, 1.8 s of imports later. One JSON object a line comes in on stdin, one goes out on stdout for each:
{"start": {"environment": {...}, "log": path, "trace": path, "roots": [...], "kill_at": n}} -> {"pid": n}
{"wait": pid, "seconds": s} -> {"status": wait status or null}
{"children": true} -> {"children": ["pid: command line", ...]}: everything that a controller left behind

It is the subreaper of all that it forked, as init is on a real machine: supervisors come to it and are reaped here.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from controller import app
from tests.crash.crossings import Crossings

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Launcher:
    """The loop over requests."""

    def __init__(self) -> None:
        self._running: set[int] = set()  # controllers
        self._ended: dict[int, int] = {}  # controllers that were reaped, by pid

    def serve(self) -> None:
        """Answer until stdin ends; then end the controllers that are left: whoever asked for them is gone."""
        for line in sys.stdin:
            request = json.loads(line)
            self._reap()
            if "start" in request:
                pid = _start(**request["start"])
                self._running.add(pid)
                self._ended.pop(pid, None)  # of an earlier one that had the same pid
                answer: dict[str, Any] = {"pid": pid}
            else:
                answer = {"children": _children()} if "children" in request else self._wait(**request)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        self._reap()
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is still its own

    def _wait(self, wait: int, seconds: float) -> dict[str, Any]:
        if wait not in self._ended:
            pidfd = os.pidfd_open(wait)  # not reaped yet, so the number is still its own
            try:
                select.select([pidfd], [], [], seconds)
            finally:
                os.close(pidfd)
            self._reap()
        return {"status": self._ended.get(wait)}

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._running:
                self._running.remove(pid)
                self._ended[pid] = status


def _start(environment: dict[str, str], log: str, trace: str, roots: list[str], kill_at: int) -> int:
    pid = os.fork()
    if pid == 0:
        _run(environment, log, Crossings(trace, tuple(roots), kill_at))
    return pid


def _children() -> list[str]:
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ") for pid in pids]
    return [f"{pid}: {line.decode(errors='replace')}" for pid, line in zip(pids, lines, strict=True)]


def _run(environment: dict[str, str], log: str, crossings: Crossings) -> NoReturn:
    """In the child: become a controller. Its exit status is the controller's, 70 where it raised."""
    status = 70
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for fd, number in ((null, 0), (output, 1), (output, 2)):
            os.dup2(fd, number)
        os.environ.clear()
        os.environ.update(environment)
        crossings.install()
        status = app.main()
    except BaseException:  # noqa: BLE001 - the last frame of a process: told in its log and by its exit status
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Preload, then serve."""
    if sum(1 for _ in Path("/proc/self/task").iterdir()) != 1:
        sys.exit("importing the controller started a thread: forks of this process would not be like fresh ones")
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("prctl(PR_SET_CHILD_SUBREAPER) failed")
    gc.freeze()  # what is loaded now stays shared with the forks
    Launcher().serve()


if __name__ == "__main__":
    main()
