"""What an operation has found out, before it becomes a result. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from controller.repositories.results import Reason


@dataclass(frozen=True, slots=True)
class Outcome:
    """Fields as in `controller.repositories.results.Result`."""

    reason: Reason = Reason.SUCCEEDED
    message: str = ""
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

    def facts(self) -> dict[str, Any]:
        """All but reason and message."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("reason", "message")}
