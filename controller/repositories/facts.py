"""What is written beside a mirror or into a workspace when it is put in place: what it is and where it came from.

A mirror or workspace without its facts was never complete. Only the standard library may be imported here.
"""

from __future__ import annotations

import errno
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from controller.files.versions import NewerVersion, current, known

MIRROR_FACTS = "mirror.json"
WORKSPACE_FACTS = "holdfast.json"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Damaged(ValueError):
    """A file of facts is there and is not what was written; the text names it."""


class Newer(OSError):
    """A newer version of Holdfast wrote the facts: what they describe is neither used nor replaced."""


@dataclass(frozen=True, slots=True)
class MirrorFacts:
    """mirror.git/mirror.json.

    Args:
        id: operation that made it.
        url: of the remote.
        object_format: sha1 or sha256.
        default_branch: of the remote when it was cloned; "" where its HEAD names none.
        made_at: seconds since the epoch.
    """

    id: str
    url: str
    object_format: str
    default_branch: str
    made_at: float


@dataclass(frozen=True, slots=True)
class WorkspaceFacts:
    """.git/holdfast.json of a workspace or a base.

    Args:
        id: operation that made it.
        ref: what was asked for; "" in a base.
        commit: what is checked out.
        key: base that it was copied from, or is; "" where it was checked out.
        method: Reflink, Copy or Checkout.
        boot: boot id of the machine then: after a power cut, files of an earlier boot may be empty.
        made_at: seconds since the epoch.
    """

    id: str
    ref: str
    commit: str
    key: str
    method: str
    boot: str
    made_at: float


Facts = TypeVar("Facts", MirrorFacts, WorkspaceFacts)


def read_mirror(mirror: Path) -> MirrorFacts | None:
    """None where there is no mirror. Raises Damaged, OSError (Newer among them)."""
    return _read(mirror / MIRROR_FACTS, MirrorFacts)


def read_workspace(workspace: Path) -> WorkspaceFacts | None:
    """None where there is no workspace. Raises Damaged (what a job may do to its own), OSError."""
    return _read(workspace / ".git" / WORKSPACE_FACTS, WorkspaceFacts)


def survived(facts: WorkspaceFacts) -> bool:
    """Whether the machine has run without a break since it was made: otherwise make it anew before its first use."""
    return facts.boot == boot_id()


def boot_id() -> str:
    """Of the running kernel (proc(5))."""
    return Path(_BOOT_ID).read_text(encoding="ascii").strip()


def format_facts(facts: MirrorFacts | WorkspaceFacts) -> bytes:
    """The file's content."""
    sort = MIRROR_FACTS if isinstance(facts, MirrorFacts) else WORKSPACE_FACTS
    return json.dumps({"version": known(sort), **asdict(facts)}).encode("ascii") + b"\n"


def _read(path: Path, kind: type[Facts]) -> Facts | None:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        value = current(path.name, json.loads(data))
        return kind(**{one.name: _typed(value[one.name], str(one.type)) for one in fields(kind)})
    except NewerVersion as error:
        raise Newer(errno.EPROTONOSUPPORT, str(error), str(path)) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{path}: {error!r}") from error


def _typed(value: Any, wanted: str) -> Any:
    """`value` where it is of the field's type; raises TypeError."""
    sort: tuple[type, ...] = (str,) if wanted == "str" else (int, float)
    if not isinstance(value, sort) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not {'a string' if wanted == 'str' else 'a number'}")
    return value
