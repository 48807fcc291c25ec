"""The gate before all admission: what runs is accounted for first, and nothing starts while the host cannot take it.

(requirements 7.3, 7.4, design 9). It opens and shuts for all queues alike; the scheduler asks it at each cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import structlog

from controller.api.keys import Key
from controller.reconcile.index import ATTEMPT

_log = structlog.get_logger("controller.scheduler")


class Gate:
    """Shut when it is made, until `wait_for` is told whom to wait for.

    Args:
        changed: called when something may start that could not before.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._left: dict[Key, None] = {}  # in the order in which they were queued
        self._without_jobs = False
        self._shut: dict[str, str] = {"Starting": "the first pass has not begun"}

    def shut(self, reason: str, message: str) -> None:
        """No admission while `reason` holds."""
        if reason not in self._shut:
            _log.info("admission is shut", reason=reason, message=message)
        self._shut[reason] = message

    def open(self, reason: str) -> None:
        """`reason` holds no longer."""
        if self._shut.pop(reason, None) is not None:
            self._changed()

    def wait_for(self, keys: Iterable[Key]) -> None:
        """No admission until each of `keys` was reconciled once: running attempts are accounted for first (7.4)."""
        self._left = dict.fromkeys(keys)
        self._without_jobs = False
        self.open("Starting")

    def wait_no_longer(self) -> None:
        """Jobs of the gate that cannot be looked at keep their slots, and the others go on without them (7.3).

        Attempts without a job are waited for: it is not known yet in which queue their slots count.
        """
        self._without_jobs = True
        self._changed()

    def accounted(self, key: Key) -> None:
        """What runs of `key` is known, and recorded."""
        if key in self._left:
            del self._left[key]
            if next(self._awaited(), None) is None:
                self._changed()

    def unaccounted(self, key: Key) -> bool:
        """Whether `key` is one of those to wait for and was not accounted for yet, also where nobody waits any more."""
        return key in self._left

    def _awaited(self) -> Iterator[Key]:
        return (key for key in self._left if key.kind == ATTEMPT or not self._without_jobs)

    @property
    def closed_for(self) -> dict[str, str]:
        """Why nothing is admitted: reason -> message; empty while the gate is open."""
        if not (awaited := list(self._awaited())):
            return dict(self._shut)
        first = awaited[0]
        named = f"{first.kind} {first.namespace}/{first.name}" if first.namespace else f"{first.kind} {first.name}"
        return {"Gate": f"{len(awaited)} attempts are not accounted for yet, the first is {named}"} | self._shut
