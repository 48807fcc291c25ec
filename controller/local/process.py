"""Processes of the local control plane: who they are, and ending one without ever hitting another.

An identity is boot id, PID namespace, pid and start ticks, as in design 6. A signal goes through a pidfd that was
checked against the identity after it was opened, so a reused pid is never hit.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, for ever: no other one has the same four values.

    Args:
        pid: process id in the PID namespace `pid_namespace`.
        ticks: start time, field 22 of proc_pid_stat(5), raw.
        boot_id: of the running kernel.
        pid_namespace: inode of /proc/self/ns/pid.
    """

    pid: int
    ticks: int
    boot_id: str
    pid_namespace: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Identity of the running process `pid`; None where there is none or only its zombie."""
        ticks = start_ticks(pid)
        if ticks is None:
            return None
        return cls(pid, ticks, BOOT_ID.read_text().strip(), Path("/proc/self/ns/pid").stat().st_ino)

    def alive(self) -> bool:
        """Whether exactly this process runs now."""
        return ProcessIdentity.of(self.pid) == self

    def open(self) -> int | None:
        """A pidfd on exactly this process, to be closed by the caller; None where it does not run."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if self.alive():
            return fd
        os.close(fd)
        return None


def start_ticks(pid: int) -> int | None:
    """Field 22 of proc_pid_stat(5), None where the process is absent or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


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


async def end(pidfd: int, limit_seconds: float) -> bool:
    """TERM, wait up to `limit_seconds`, then KILL; True where TERM was enough."""
    if has_ended(pidfd):
        return True
    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    # A stopped process takes TERM only once it runs again.
    signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    try:
        await asyncio.wait_for(wait_exit(pidfd), limit_seconds)
        return True
    except TimeoutError:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        # KILL is not refused; what keeps a process longer is the kernel (disk), and there is nothing more to do.
        await asyncio.wait_for(wait_exit(pidfd), 30)
        return False
