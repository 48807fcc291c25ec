"""How the process of a component ended: what `supervise` saw, for whoever mends the cause."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exit:
    """How a component's process ended.

    Args:
        code: exit code, negative for a signal, None where it was adopted and so not our child.
        was_ready: its readiness had been seen.
        ran_seconds: how long it was looked after.
        log: what it logged in that time, at most the last 64 KiB.
    """

    code: int | None
    was_ready: bool
    ran_seconds: float
    log: str

    def __str__(self) -> str:
        if self.code is None:
            return "ended"
        return f"was ended by signal {-self.code}" if self.code < 0 else f"ended with exit code {self.code}"
