"""What the controller of this host says of itself, where a command computes what it would decide."""

from __future__ import annotations

import json
from dataclasses import dataclass

from controller.cli import places

PROCESS = "Process"


@dataclass(frozen=True, slots=True)
class Machine:
    """See the module.

    Args:
        limit: how many attempts run at once.
        executor: where jobs go that name none.
    """

    limit: int
    executor: str


def machine() -> Machine:
    """What the controller said when it started, else what it would take by itself."""
    try:
        told = json.loads((places.home() / "http.json").read_bytes())
        return Machine(int(told["maxRunning"]), str(told.get("executor", PROCESS)))  # an older one does not say where
    except (OSError, ValueError, KeyError, TypeError):
        from controller.settings import Settings

        settings = Settings()
        return Machine(settings.running_limit, settings.enabled_executors[0])
