"""GET /health: each component with a real check behind it, within a time limit (requirement 9.4).

Checks say how things stand; whether a restart would help is what /healthz says, and /readyz whether to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

NAMES = ("api", "leader", "store", "queue", "executor", "locks", "callbacks", "recovery", "disk")
LIMIT_SECONDS = 2.0  # for each check; they are made side by side


class State(IntEnum):
    """The worst one is that of the whole."""

    OK = 0
    UNKNOWN = 1  # not there yet: the controller is still joining its cluster
    DEGRADED = 2  # it works, less well than it should
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `message` says what is wrong and where, or the figure that was looked at."""

    state: State = State.OK
    message: str = ""


Check = Callable[[], Awaitable[Finding]]


class Components:
    """The registered checks; a component of NAMES without one is Unknown."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def register(self, name: str, check: Check) -> None:
        """Have `check` asked for a component of NAMES. It may raise OSError and take as long as it likes."""
        if name not in NAMES:
            raise ValueError(f"not a component: {name!r}")
        self._checks[name] = check

    async def look(self) -> tuple[State, dict[str, Finding]]:
        """Ask all of them at once; never longer than LIMIT_SECONDS and a little."""
        found = dict(zip(NAMES, await asyncio.gather(*(self._ask(name) for name in NAMES)), strict=True))
        return max(finding.state for finding in found.values()), found

    async def _ask(self, name: str) -> Finding:
        check = self._checks.get(name)
        if check is None:
            return Finding(State.UNKNOWN, "the controller has not joined its cluster yet")
        try:
            return await asyncio.wait_for(check(), LIMIT_SECONDS)
        except TimeoutError:
            return Finding(State.FAILED, f"no answer within {LIMIT_SECONDS:g} s")
        except OSError as error:
            return Finding(State.FAILED, f"{error.filename or name}: {error.strerror or error}")


def as_json(state: State, found: dict[str, Finding]) -> dict[str, Any]:
    """The body of GET /health."""
    components = {name: {"state": one.state.name.lower(), "message": one.message} for name, one in found.items()}
    return {"state": state.name.lower(), "components": components}
