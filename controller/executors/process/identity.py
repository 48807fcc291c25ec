"""Which process is which: a pid alone proves nothing (design 6 "Identity and evidence", requirement 3.3).

An identity is machine, boot, PID namespace, pid and start time in raw clock ticks. The ticks are field 22 of
/proc/<pid>/stat (proc(5)); they count from boot, so a step of the wall clock does not move them.
Signals go through a pidfd that was opened before the identity was compared, so they cannot hit a later process that
got the same pid. Only the standard library may be imported here.
"""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any


class Verdict(Enum):
    """What comparing a recorded identity with the world proves."""

    SAME = "Same"  # that very process is alive
    GONE = "Gone"  # same machine, and that process is proved not to run any more
    UNKNOWN = "Unknown"  # other machine or PID namespace, or /proc cannot be read


class IdentityError(ValueError):
    """A recorded identity is not one: a field is missing or has the wrong type."""


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/<pid>/stat that are used here; `start_ticks` is in clock ticks since boot."""

    pid: int
    state: str
    ppid: int
    pgrp: int
    session: int
    threads: int
    start_ticks: int

    @property
    def is_dead(self) -> bool:
        """A zombie runs no code any more, unless only its first thread ended; X shows while a task is torn down."""
        return self.state in "ZXx" and self.threads <= 1


@dataclass(frozen=True, slots=True)
class Identity:
    """One process for ever.

    Args:
        machine: content of /etc/machine-id, or "" where there is none.
        boot: content of /proc/sys/kernel/random/boot_id.
        pid_namespace: inode of /proc/self/ns/pid of the process that recorded this.
        pid: in that namespace.
        start_ticks: field 22 of /proc/<pid>/stat, unconverted.
    """

    machine: str
    boot: str
    pid_namespace: int
    pid: int
    start_ticks: int

    def to_json(self) -> dict[str, Any]:
        """The form in which the files of a run directory hold it."""
        return {
            "machine": self.machine,
            "boot": self.boot,
            "pidNamespace": self.pid_namespace,
            "pid": self.pid,
            "startTicks": self.start_ticks,
        }

    @classmethod
    def from_json(cls, value: object) -> Identity:
        """Inverse of `to_json`; raises IdentityError for anything else."""
        if not isinstance(value, dict):
            raise IdentityError(f"an identity is an object, not {type(value).__name__}")
        machine, boot = value.get("machine"), value.get("boot")
        namespace, pid, ticks = value.get("pidNamespace"), value.get("pid"), value.get("startTicks")
        if not isinstance(machine, str) or not isinstance(boot, str) or not boot:
            raise IdentityError("an identity needs the strings machine and boot")
        if type(namespace) is not int or type(pid) is not int or type(ticks) is not int or pid <= 0 or ticks < 0:
            raise IdentityError("an identity needs the numbers pidNamespace, pid and startTicks")
        return cls(machine, boot, namespace, pid, ticks)


@cache
def machine_id() -> str:
    """This machine's id (machine-id(5)); "" where the file is missing: then only the boot id tells machines apart."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            with open(path, encoding="ascii") as file:
                return file.read().strip()
        except FileNotFoundError:
            continue
    return ""


@cache
def boot_id() -> str:
    """This boot's id (random(4)); raises OSError without /proc."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


@cache
def pid_namespace() -> int:
    """Inode of the PID namespace that this process sees (pid_namespaces(7))."""
    return os.stat("/proc/self/ns/pid").st_ino


@cache
def container() -> str:
    """Which container of which Pod this is, whichever instance of it; "" elsewhere. A fact like `machine_id`.

    From the environment itself, as settings.py describes it: nothing of ours is imported here.
    The kubelet starts a container again only when the instance before has ended, and with the first process of a PID
    namespace the kernel ends all others (pid_namespaces(7)). So what an earlier instance started is over.
    """
    return os.environ.get("HOLDFAST_CONTAINER", "")


def parse_stat(text: bytes) -> Stat:
    """Parse /proc/<pid>/stat: after the last ')', as the name in parentheses may hold spaces and parentheses.

    Raises:
        ValueError: this is not the content of such a file.
    """
    head, closing, tail = text.rpartition(b")")
    fields = tail.split()
    if not closing or len(fields) < 20:
        raise ValueError(f"not a /proc/<pid>/stat line: {text[:80]!r}")
    pid = int(head.partition(b" ")[0])
    state = fields[0].decode("ascii")
    return Stat(pid, state, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[17]), int(fields[19]))


def read_stat(pid: int) -> Stat | None:
    """The stat of a process, None where it does not exist (any more). Raises OSError where it cannot be told."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return parse_stat(os.read(fd, 4096))
        finally:
            os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        return None


def identify(stat: Stat) -> Identity:
    """The identity of a process of this machine, boot and PID namespace."""
    return Identity(machine_id(), boot_id(), pid_namespace(), stat.pid, stat.start_ticks)


def of_pid(pid: int) -> Identity | None:
    """The identity of a live process; None where it does not exist or is a zombie."""
    stat = read_stat(pid)
    return None if stat is None or stat.is_dead else identify(stat)


def of_self() -> Identity:
    """The identity of this process. Raises OSError without /proc."""
    stat = read_stat(os.getpid())
    if stat is None:
        raise OSError(f"/proc does not show this process ({os.getpid()}): it belongs to another PID namespace")
    return identify(stat)


def compare(recorded: Identity) -> Verdict:
    """Compare a recorded identity with the world, by the table of design 6; a read that fails is UNKNOWN."""
    try:
        if recorded.machine != machine_id():
            return Verdict.UNKNOWN
        if recorded.boot != boot_id():
            return Verdict.GONE
        if recorded.pid_namespace != pid_namespace():
            return Verdict.UNKNOWN
        stat = read_stat(recorded.pid)
    except (OSError, ValueError):
        return Verdict.UNKNOWN
    if stat is None or stat.start_ticks != recorded.start_ticks or stat.is_dead:
        return Verdict.GONE
    return Verdict.SAME


def open_pidfd(recorded: Identity) -> int | None:
    """A pidfd that is proved to be the recorded process, None where that process is not proved alive.

    The pidfd is opened first and the identity compared after it: from then on the pid cannot be given to another.

    Raises:
        OSError: out of file descriptors or memory.
    """
    try:
        fd = os.pidfd_open(recorded.pid)
    except OSError as error:
        # EINVAL and ENOENT: the number is now that of a thread of another process.
        if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
            return None
        raise
    if compare(recorded) is Verdict.SAME:
        return fd
    os.close(fd)
    return None


def send(recorded: Identity, number: int) -> bool:
    """Signal exactly that process; False where it is not proved alive, so nothing was signalled.

    Raises:
        PermissionError: it belongs to another user.
    """
    fd = open_pidfd(recorded)
    if fd is None:
        return False
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True
