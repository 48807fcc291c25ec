"""Processes of the local control plane: start one, find one, wait for its end, end it.

Who a process is says `executors.process.identity`: a signal goes only through a pidfd that was checked against it.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def find_marked(variable: str, value: str, argument: str | None = None) -> list[int]:
    """Processes of this user that were started with `variable=value` and, where given, `argument` in the command line.

    This finds a server that was started just before its starter was killed, with nothing recorded yet.
    """
    wanted = f"{variable}={value}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue  # another user's, or gone between the listing and the look
        if wanted in environment and (argument is None or argument.encode() in command):
            found.append(int(entry.name))
    return found


def spawn(argv: Sequence[str], cwd: Path, env: Mapping[str, str], output: int) -> subprocess.Popen[bytes]:
    """Start a server in its own session, its output to the descriptor `output`; raises OSError as Popen does."""
    return subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


async def wait_exit(pidfd: int) -> None:
    """Until the process of `pidfd` has ended; cancelling is safe, and so are several waits at once."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    # An event loop has one reader per descriptor.
    own = os.dup(pidfd)
    loop.add_reader(own, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(own)
        os.close(own)


def has_ended(pidfd: int) -> bool:
    """Whether the process of `pidfd` has ended, without waiting."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def send(pidfd: int, number: int) -> bool:
    """Signal the process of `pidfd`; False where it is gone. One that is not our child is reaped without us."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


async def end(pidfd: int, limit_seconds: float) -> bool:
    """TERM, wait up to `limit_seconds`, then KILL; True where TERM was enough."""
    if has_ended(pidfd) or not send(pidfd, signal.SIGTERM):
        return True
    # A stopped process takes TERM only once it runs again.
    send(pidfd, signal.SIGCONT)
    try:
        await asyncio.wait_for(wait_exit(pidfd), limit_seconds)
        return True
    except TimeoutError:
        send(pidfd, signal.SIGKILL)
        # KILL is not refused; what keeps a process longer is the kernel (disk), and there is nothing more to do.
        await asyncio.wait_for(wait_exit(pidfd), 30)
        return False
