"""The state directory: locked by one controller, bound to one cluster (design 9).

`identity.json` is the directory's memory; a request by `holdfast adopt` is a file that the controller takes away once
it has followed it.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from pathlib import Path

from controller.decisions.binding import Identity
from controller.errors import Terminal
from controller.files.atomic import write_atomic

LOCK, IDENTITY, ADOPT = "controller.lock", "identity.json", "adopt.json"


class HomeLock:
    """The flock that makes one controller of a state directory the only one: on one host it is the election."""

    def __init__(self, home: Path) -> None:
        """Take the lock.

        Raises:
            Terminal: another controller holds it, or the directory cannot be used.
        """
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            text = f"{error.filename or home}: {error.strerror}; make it writable, or set HOLDFAST_HOME to another one"
            raise Terminal("StateDirectory", text) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            text = (
                f"another controller (pid {owner}) works on {home}; stop it, or set HOLDFAST_HOME to another directory"
            )
            raise Terminal("StateDirectoryLocked", text) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._fd)


def read_identity(home: Path) -> Identity | None:
    """What the directory remembers, None where it remembers nothing.

    Raises:
        Terminal: identity.json is damaged; guessing would bind the directory to the wrong cluster.
    """
    path = home / IDENTITY
    try:
        raw = json.loads(path.read_bytes())
        return Identity(str(raw["stateId"]), str(raw["cluster"]), int(raw["highestVersion"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        text = f"{path} is damaged ({error}); if this is the right directory, delete the file and run `holdfast adopt`"
        raise Terminal("IdentityDamaged", text) from error


def write_identity(home: Path, identity: Identity) -> None:
    """Remember. Raises OSError where it cannot be written."""
    body = {"stateId": identity.state_id, "cluster": identity.cluster, "highestVersion": identity.highest_version}
    write_atomic(home / IDENTITY, json.dumps(body).encode())


def new_identity(cluster: str, version: int, old: Identity | None = None) -> Identity:
    """An identity for `cluster`; a directory keeps its state id for ever, so that its attempts stay its own."""
    return Identity(old.state_id if old else str(uuid.uuid4()), cluster, version)


def request_adopt(home: Path) -> None:
    """What `holdfast adopt` does: ask the controller, which runs or will run, to take the directory as it is."""
    write_atomic(home / ADOPT, b"{}")


def adopt_requested(home: Path) -> bool:
    """Whether a person asked for it."""
    return (home / ADOPT).exists()


def adopted(home: Path) -> None:
    """The request was followed."""
    (home / ADOPT).unlink(missing_ok=True)
