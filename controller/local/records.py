"""What `up` records about itself and each server, for the next `up`, for `down` and for `status`.

One JSON file per component below `Home.components`, replaced atomically. A damaged one counts as absent: the servers
are then found by their marker (`process.find_marked`), and `damage` sets it aside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from controller.executors.process import identity
from controller.executors.process.identity import Identity
from controller.files import atomic


class State(StrEnum):
    """State of one component, or of `up` as a whole."""

    STOPPED = "Stopped"
    STARTING = "Starting"
    RUNNING = "Running"
    BACKOFF = "Backoff"
    STOPPING = "Stopping"
    UNREADY = "Unready"


@dataclass(frozen=True, slots=True)
class Record:
    """One component as `up` knows it.

    Args:
        process: of the running process, None while there is none.
        restarts: how often it was started again since this `up` began to look after it.
        port: TCP port on loopback, None where it has none.
        fingerprint: names what was started: arguments, binary and environment; another one is not adopted.
        started_at: RFC 3339 UTC, "" before the first start.
        message: how it ended last, or why it is not ready; "" where there is nothing to say.
    """

    name: str
    state: State = State.STOPPED
    process: Identity | None = None
    restarts: int = 0
    port: int | None = None
    fingerprint: str = ""
    started_at: str = ""
    message: str = ""

    @property
    def alive(self) -> bool:
        """Whether the recorded process runs now."""
        return self.process is not None and identity.compare(self.process) is identity.Verdict.SAME


def write(path: Path, record: Record) -> None:
    """Replace the record at `path`; raises OSError where the disk does not take it."""
    process = None if record.process is None else record.process.to_json()
    content = {**asdict(replace(record, process=None)), "process": process}
    atomic.write_atomic(path, json.dumps(content, indent=1).encode(), 0o600)


def parse(data: bytes) -> Record:
    """The record that a file holds; raises ValueError (RecursionError for what is nested beyond measure)."""
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")
    unknown = content.keys() - {each.name for each in fields(Record)}
    if unknown or not {"name", "state", "process"} <= content.keys():
        raise ValueError("has not the fields of a record")
    process = content["process"]
    found = {
        **content,
        "state": State(content["state"]),
        "process": None if process is None else Identity.from_json(process),
    }
    _check(found)
    return Record(**found)


def _check(found: Mapping[str, Any]) -> None:
    wrong = [name for name in ("name", "fingerprint", "started_at", "message") if type(found.get(name, "")) is not str]
    restarts, port = found.get("restarts", 0), found.get("port")
    if type(restarts) is not int or restarts < 0:
        wrong.append("restarts")
    if port is not None and not (type(port) is int and 0 < port < 65536):
        wrong.append("port")
    if wrong:
        raise ValueError(f"{', '.join(wrong)} has no such value")


def read(path: Path) -> Record | None:
    """The record at `path`; None where there is none that can be read."""
    try:
        return parse(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def with_state(record: Record, state: State, message: str) -> Record:
    """The same record in another state."""
    return replace(record, state=state, message=message)
