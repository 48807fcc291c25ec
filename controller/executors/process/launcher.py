"""A preloaded process that forks supervisors: a launch costs a fork in place of a new interpreter.

It has no state: whoever starts it may kill it at any moment, a fresh `python -I -S supervisor.py` does the same work.
A supervisor that it forked owes it nothing: own session, none of its descriptors, reparented when it dies.

Protocol, on the sequenced-packet socket that is descriptor 0: a request is the path of a run directory with two
descriptors (what the supervisor reads as its stdin, where it reports to); the answer is its pid with its pidfd. End of
file ends the launcher, not its supervisors. Standard library only.
"""

from __future__ import annotations

import os
import sys

if not __package__:
    sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")))

import codecs
import gc
import signal
import socket

from controller.executors.process import cgroup
from controller.executors.process.supervisor import Report, supervise

_PATH_BYTES = 8192


def serve(requests: socket.socket) -> None:
    """Fork a supervisor for each request until the other side is gone. Raises OSError where answering fails."""
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    while True:
        path, fds, _, _ = socket.recv_fds(requests, _PATH_BYTES, 2)
        if not path:
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # nobody reaps before there is a pidfd
        pid = os.fork()
        if pid == 0:
            requests.close()
            _supervise(os.fsdecode(path), *fds)
        pidfd = os.pidfd_open(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        socket.send_fds(requests, [str(pid).encode("ascii")], [pidfd])
        for fd in (pidfd, *fds):
            os.close(fd)


def _supervise(path: str, order: int, report: int) -> None:
    """In the forked child. A defect is told by the supervisor's own excepthook and ends the child."""
    os.set_inheritable(order, False)
    os.set_inheritable(report, False)
    with os.fdopen(order, "rb") as file:
        file.seek(0)
        payload = file.read()
    os._exit(supervise(path, payload, Report(report)))


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def main() -> int:
    """Entry of the launcher's process."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.setsid()
    cgroup.own_directory()
    codecs.lookup("ascii")  # opening a text file imports it: once here, not in every child
    gc.collect()
    gc.freeze()  # what was loaded stays out of the collector's writes, so that children go on sharing its memory
    with socket.socket(fileno=os.dup(0)) as requests:
        os.dup2(1, 0)  # /dev/null: a descriptor that arrives must not become standard input
        serve(requests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
