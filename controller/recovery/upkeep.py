"""What is done now and then, one chore after the other: each is a fallback or a tidying up; what is urgent is woken.

The chores themselves are in `chores` and `disk`; which of them there are, and how often, is said where they are made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from controller.recovery.survived import survived
from controller.telemetry.metrics import Metrics

TICK_SECONDS = 1.0
AGAIN_SECONDS = 5.0  # until a chore that failed is tried again


@dataclass(frozen=True, slots=True)
class Chore:
    """One of them.

    Args:
        name: for `Upkeep.soon`.
        seconds: between two times; 0: at each tick.
        work: False: it failed, and is tried again soon, as where it raises. OlderEtcd ends the controller.
        at_once: at the first tick too.
    """

    name: str
    seconds: float
    work: Callable[[], Awaitable[bool | None] | None]
    at_once: bool = True


class Upkeep:
    """Does the chores in their order, each when it is due."""

    def __init__(self, chores: Sequence[Chore], metrics: Metrics) -> None:
        self._chores = chores
        self._metrics = metrics
        self._due: dict[str, float] = {}

    async def run(self) -> None:
        """Tick until cancelled; a defect of one chore ends no other. Raises OlderEtcd."""
        while True:
            for chore in self._chores:
                if self._is_due(chore):
                    await self._do(chore)
            await asyncio.sleep(TICK_SECONDS)

    async def _do(self, chore: Chore) -> None:
        def again(_: str = "") -> None:
            self.soon(chore.name, AGAIN_SECONDS)

        with survived(self._metrics, "Chore", chore.name, again):
            if (under_way := chore.work()) is not None and await under_way is False:
                again()

    def soon(self, name: str, seconds: float) -> None:
        """Have a chore done within `seconds` (and a tick), if it is not due earlier anyway."""
        self._due[name] = min(self._due.get(name, float("inf")), time.monotonic() + seconds)

    def _is_due(self, chore: Chore) -> bool:
        now = time.monotonic()
        due = self._due.get(chore.name, now if chore.at_once else now + chore.seconds)
        self._due[chore.name] = now + chore.seconds if now >= due else due
        return now >= due
