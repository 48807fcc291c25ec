"""What an operation has to say when it ends: one file, complete or absent, for success and failure alike.

Written by the operation, read by the controller. Only the standard library may be imported here.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from controller.files.atomic import write_atomic
from controller.files.versions import current, known

EXIT_FAILED = 1
EXIT_DISK_FULL = errno.ENOSPC  # said by the exit code too: on a full disk there may be no result
_MESSAGE_LENGTH = 2000
_LIST_LENGTH = 100


class Reason(StrEnum):
    """How an operation ended; a condition takes it as it is."""

    SUCCEEDED = "Succeeded"
    REMOTE_UNREACHABLE = "RemoteUnreachable"
    REPOSITORY_NOT_FOUND = "RepositoryNotFound"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    HOST_KEY_CHANGED = "HostKeyChanged"
    URL_REFUSED = "UrlRefused"
    OTHER_REMOTE = "OtherRemote"
    REF_NOT_FOUND = "RefNotFound"
    EMPTY_REPOSITORY = "EmptyRepository"
    UNSUPPORTED_OBJECT_FORMAT = "UnsupportedObjectFormat"
    SUBMODULES_UNSUPPORTED = "SubmodulesUnsupported"
    LFS_UNSUPPORTED = "LfsUnsupported"
    DISK_FULL = "DiskFull"
    NON_FAST_FORWARD = "NonFastForward"
    REMOTE_REJECTED = "RemoteRejected"
    STALE_TOKEN = "StaleToken"
    CORRUPT = "Corrupt"
    NO_MIRROR = "NoMirror"
    PREPARATION_FAILED = "PreparationFailed"
    BUSY = "Busy"
    NOTHING_TO_RESUME = "NothingToResume"
    STATE_DIRECTORY_FAILED = "StateDirectoryFailed"
    GIT_FAILED = "GitFailed"

    @property
    def repeating_can_help(self) -> bool:
        """False where the same operation on the same commit would end the same."""
        return self not in _FINAL


_FINAL = frozenset(
    {
        Reason.SUCCEEDED,
        Reason.URL_REFUSED,
        Reason.OTHER_REMOTE,
        Reason.SUBMODULES_UNSUPPORTED,
        Reason.LFS_UNSUPPORTED,
        Reason.NON_FAST_FORWARD,
        Reason.REMOTE_REJECTED,
    }
)


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one operation; fields that it has nothing to say about are empty.

    Args:
        operation: clone, fetch, verify, workspace, prepare or publish.
        id: `<uid>.<number>` of the attempt.
        message: one sentence for a person; never a secret.
        started_at: seconds since the epoch.
        seconds: run time.
        commit: clone, fetch, verify: of the branch asked for, "" where the mirror has none; else the one used.
        size_bytes: of the mirror.
        object_format: sha1 or sha256.
        default_branch: of the remote.
        changed_refs: how many refs a fetch changed.
        fast_forwarded: branches whose pushed state followed upstream.
        diverged: branches with pushes of jobs that upstream neither has nor precedes.
        rescued, lost: branches with pushes of jobs that were, or could not be, taken out of a corrupt mirror.
        method: how a workspace was made: Reflink, Copy or Checkout.
        exit_code: of a prepare command.
        set_aside: where a corrupt mirror went.
    """

    operation: str
    id: str
    reason: Reason
    message: str = ""
    started_at: float = 0.0
    seconds: float = 0.0
    commit: str = ""
    size_bytes: int = 0
    object_format: str = ""
    default_branch: str = ""
    changed_refs: int = 0
    fast_forwarded: tuple[str, ...] = ()
    diverged: tuple[str, ...] = ()
    rescued: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    method: str = ""
    exit_code: int | None = None
    set_aside: str = ""
    version: int = field(default=known("result"))

    @property
    def succeeded(self) -> bool:
        """Whether the operation did its work."""
        return self.reason is Reason.SUCCEEDED

    def to_bytes(self) -> bytes:
        """One line of JSON; lists and message are cut to a bound."""
        value: dict[str, Any] = asdict(self)
        value["message"] = self.message[:_MESSAGE_LENGTH]
        for key, item in value.items():
            if isinstance(item, tuple):
                value[key] = item[:_LIST_LENGTH]
        return json.dumps(value).encode("ascii") + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Result:
        """Parse; fields that are not known are ignored. Raises ValueError, NewerVersion among them."""
        try:
            value = current("result", json.loads(data))
            found = {
                one.name: _typed(one.name, str(one.type), value[one.name]) for one in fields(cls) if one.name in value
            }
            return cls(**{**found, "reason": Reason(str(found.get("reason")))})
        except (TypeError, RecursionError) as error:
            raise ValueError(str(error)) from error


def write_result(path: Path, result: Result) -> None:
    """Replace the file; raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, result.to_bytes())


def read_result(path: Path, exit_code: int | None = None) -> Result | None:
    """What the operation said.

    Args:
        exit_code: of the attempt, where it is known: a full disk can be told by it alone.

    Returns:
        None where it said nothing: it was stopped, killed, or has a defect; the attempt's own end says why.

    Raises:
        OSError: the file is there and cannot be read.
        ValueError: it is damaged; NewerVersion: it is not for us to read.
    """
    try:
        return Result.from_bytes(path.read_bytes())
    except FileNotFoundError:
        if exit_code != EXIT_DISK_FULL:
            return None
        message = f"no space left in {path.parent.parent}: free some, the operation is repeated"
        return Result("", path.stem, Reason.DISK_FULL, message)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "Reason": (str,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "tuple[str, ...]": (list,),
}


def _typed(name: str, wanted: str, value: Any) -> Any:
    """`value` as the field takes it; raises TypeError where it is of another type."""
    if not isinstance(value, _TYPES[wanted]) or isinstance(value, bool):
        raise TypeError(f"{name}: {value!r} is no {wanted}")
    return tuple(str(entry) for entry in value) if isinstance(value, list) else value
