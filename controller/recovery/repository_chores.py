"""What is done for repositories now and then besides sweeping orphans: a fallback to what wakes the reconcilers."""

from __future__ import annotations

import asyncio

import structlog

from controller.decisions.orphan import is_over
from controller.errors import HoldfastError, Several
from controller.reconcile.operations import Operations
from controller.reconcile.parts import Parts
from controller.reconcile.workqueue import LOW
from controller.recovery.survived import survived

CHORE_SECONDS = 60.0

_log = structlog.get_logger("controller.repositories")


class RepositoryChores:
    """See the module."""

    def __init__(self, parts: Parts, operations: Operations) -> None:
        self._parts = parts
        self._operations = operations

    async def run(self) -> None:
        """Work until cancelled; what fails is logged and tried again the next time."""
        while True:
            with survived(self._parts.metrics, "Chore", "operations", _tell, HoldfastError, OSError):
                await self._tidy()
            for key in self._parts.store.keys("RepositoryLock"):
                self._parts.queue.add(key, LOW)
            await asyncio.sleep(CHORE_SECONDS)

    async def _tidy(self) -> None:
        """Go on with what a crash interrupted: ended operations that were not released."""
        executor, several = self._operations.executor, Several()
        for operation in await executor.unreleased():
            with several.kept():
                if is_over(await executor.observe(operation)):
                    # Its end and its result stay: who has not recorded them yet still can.
                    await executor.release(operation, keep_record=True)
        several.raise_all()


def _tell(problem: str) -> None:
    _log.warning("cannot tidy up after operations", problem=problem)
