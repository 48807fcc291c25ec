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

from controller.decisions.binding import Identity, Mismatch
from controller.errors import Terminal
from controller.executors.process.rundir import RunDir
from controller.files.atomic import write_atomic
from controller.files.quarantine import set_aside
from controller.files.versions import NewerVersion, current, known

LOCK, IDENTITY, ADOPT = "controller.lock", "identity.json", "adopt.json"
NEWER = "IdentityNewer"  # also `holdfast adopt` does not help: it would overwrite what it does not know


class HomeLock:
    """The flock that makes one controller of a state directory the only one: on one host it is the election."""

    def __init__(self, home: Path) -> None:
        """Take the lock.

        Raises:
            Terminal: another controller holds it, or the directory cannot be used.
        """
        self._home = home
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

    def intact(self) -> bool:
        """Whether the file that is locked is still the one of the state directory. Raises OSError."""
        try:
            return os.path.samestat(os.fstat(self._fd), (self._home / LOCK).stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._fd)


def read_identity(home: Path) -> Identity | None:
    """What the directory remembers, None where it remembers nothing.

    Raises:
        Terminal: identity.json is damaged, or of a newer version (reason NEWER); guessing would bind the directory to
            the wrong cluster.
    """
    path = home / IDENTITY
    try:
        return _parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except NewerVersion as error:
        raise Terminal(NEWER, f"{path} {error}; nothing is started, stopped or removed by this one") from error
    except OSError as error:
        raise _damaged(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(f"{path} is damaged ({error})") from error


def _parse(data: bytes) -> Identity:
    raw = current(IDENTITY, json.loads(data))
    found = raw.get("stateId"), raw.get("cluster"), raw.get("highestVersion")
    match found:
        case str(state_id), str(cluster), int(version) if state_id and cluster:
            return Identity(state_id, cluster, version)
    raise ValueError("stateId, cluster or highestVersion is missing or no such value")


def _damaged(problem: str) -> Terminal:
    way_out = "put the right file back, or run `holdfast adopt`: it sets this one aside and binds the directory anew"
    return Terminal("IdentityDamaged", f"{problem}, so it is not known whose directory this is; {way_out}")


def write_identity(home: Path, identity: Identity) -> None:
    """Remember. Raises OSError where it cannot be written."""
    body = {
        "version": known(IDENTITY),
        "stateId": identity.state_id,
        "cluster": identity.cluster,
        "highestVersion": identity.highest_version,
    }
    write_atomic(home / IDENTITY, json.dumps(body).encode())


def new_identity(cluster: str, version: int, state_id: str | None = None) -> Identity:
    """An identity for `cluster`; a directory keeps its state id for ever, so that its attempts stay its own."""
    return Identity(state_id or str(uuid.uuid4()), cluster, version)


def state_id_of_attempts(runs: Path) -> str | None:
    """The state id that the run directories carry, None where there are none or they do not agree.

    It outlives identity.json: with it, jobs that run go on as this directory's own after `holdfast adopt`.

    Raises:
        OSError: the directory of run directories cannot be read.
    """
    found = set()
    for path in runs.iterdir() if runs.is_dir() else ():
        try:
            record = RunDir.of(str(runs), path.name).read_attempt()
        except (ValueError, OSError):
            continue  # foreign or damaged: it has no say in this, and is set aside later
        if record is not None:
            found.add(record.state_id)
    return found.pop() if len(found) == 1 else None


def unreadable_directory(*directories: Path) -> Mismatch | None:
    """Why it cannot be told what runs, None where it can; what is only missing is judged by `mismatch`.

    Nobody can adopt that: an attempt whose directory cannot be read is not lost, and its process may run.

    Args:
        directories: where run directories are.
    """
    for directory in directories:
        try:
            next(directory.iterdir(), None)
        except FileNotFoundError as error:
            if not directory.is_symlink():
                continue
            problem: OSError = error
        except OSError as error:
            problem = error
        else:
            continue
        text = (
            f"{directory} cannot be read as a directory ({problem.strerror or problem}), so it is not known what runs: "
            "put the right one back, or give it to the user of this process; nothing is lost, and what runs goes on"
        )
        return Mismatch("StateDirectory", text)
    return None


def set_identity_aside(home: Path, why: str) -> Path | None:
    """Keep a damaged identity.json for a person to look at, in quarantine; None where there is none.

    Raises:
        OSError: it could not be renamed.
    """
    if not (home / IDENTITY).exists():
        return None
    return set_aside(home, home / IDENTITY, why)


def request_adopt(home: Path) -> None:
    """What `holdfast adopt` does: ask the controller, which runs or will run, to take the directory as it is."""
    write_atomic(home / ADOPT, b"{}")


def adopt_requested(home: Path) -> bool:
    """Whether a person asked for it; not where that cannot be told: who watches the disk tells what is wrong then."""
    try:
        (home / ADOPT).stat()
    except OSError:
        return False
    return True


def adopted(home: Path) -> None:
    """The request was followed."""
    (home / ADOPT).unlink(missing_ok=True)
