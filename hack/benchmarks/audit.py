"""The judge of API calls: the API server's own audit log, one JSON line per request (level Metadata)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

CONTROLLER = "holdfast-controller/"
QUIET_SECONDS = 1.0
READS = frozenset({"get", "list"})
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class Call:
    """One answered request; `kind` is `resource` or `resource/subresource`, times are seconds since the epoch."""

    agent: str
    verb: str
    kind: str
    namespace: str
    name: str
    code: int
    received: float
    answered: float

    @property
    def by_controller(self) -> bool:
        """Whether the controller sent it (client or watch)."""
        return self.agent.startswith(CONTROLLER)

    @property
    def job(self) -> str:
        """The BatchJob that it is about: an Event is named after its object."""
        return self.name.rpartition(".")[0] if self.kind == "events" else self.name


class AuditLog:
    """Reads what was appended since a position."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def position(self) -> int:
        """The end of the log now."""
        return self._path.stat().st_size if self._path.exists() else 0

    def since(self, position: int) -> list[Call]:
        """All whole lines from `position` on, oldest first by the time of the request."""
        with self._path.open("rb") as file:
            file.seek(position)
            data = file.read()
        lines = data[: data.rfind(b"\n") + 1].splitlines()
        return sorted((_call(json.loads(line)) for line in lines), key=lambda call: call.received)

    async def quiet(self, limit_seconds: float = 30.0) -> None:
        """Wait until the controller sends nothing but what it sends at rest; at most `limit_seconds`."""
        deadline = asyncio.get_running_loop().time() + limit_seconds
        while asyncio.get_running_loop().time() < deadline:
            position = self.position()
            await asyncio.sleep(QUIET_SECONDS)
            if not [call for call in self.since(position) if call.by_controller and call.verb in WRITES]:
                return


def writes(calls: Iterable[Call]) -> list[Call]:
    """The controller's writes, refused ones too."""
    return [call for call in calls if call.by_controller and call.verb in WRITES]


def reads(calls: Iterable[Call]) -> list[Call]:
    """The controller's reads; a watch is one connection and not counted."""
    return [call for call in calls if call.by_controller and call.verb in READS]


def by_kind(calls: Iterable[Call]) -> Counter[str]:
    """How many of each `verb kind`, in the form of a figure's name."""
    return Counter(f"{call.verb}_{call.kind.replace('/', '_')}" for call in calls)


def most_per_job(calls: Iterable[Call], kind: str) -> int:
    """The largest number of calls about one job."""
    return max(Counter(call.job for call in calls if call.kind == kind).values(), default=0)


def _call(line: dict[str, Any]) -> Call:
    about = line.get("objectRef", {})
    kind, part = about.get("resource", line["requestURI"]), about.get("subresource")
    return Call(
        agent=line.get("userAgent", ""),
        verb=line["verb"],
        kind=f"{kind}/{part}" if part else kind,
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        code=line.get("responseStatus", {}).get("code", 0),
        received=_seconds(line["requestReceivedTimestamp"]),
        answered=_seconds(line["stageTimestamp"]),
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
