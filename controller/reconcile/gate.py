"""The gate before all admission: what runs is accounted for first, and nothing starts while the host cannot take it.

(requirements 7.3, 7.4, design 9). It opens and shuts for all queues alike; the scheduler asks it at each cycle.
"""

from __future__ import annotations

from collections.abc import Callable

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
        self._awaited: set[Key] = set()
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

    def wait_for(self, keys: set[Key]) -> None:
        """No admission until each of `keys` was reconciled once: running attempts are accounted for first (7.4)."""
        self._awaited = set(keys)
        self.open("Starting")

    def wait_no_longer(self) -> None:
        """Jobs of the gate that cannot be looked at keep their slots, and the others go on without them (7.3).

        Attempts without a job are waited for: it is not known yet in which queue their slots count.
        """
        self._awaited = {key for key in self._awaited if key.kind == ATTEMPT}
        self._changed()

    def accounted(self, key: Key) -> None:
        """`key` had its first successful reconcile."""
        if key in self._awaited:
            self._awaited.discard(key)
            if not self._awaited:
                self._changed()

    @property
    def closed_for(self) -> dict[str, str]:
        """Why nothing is admitted: reason -> message; empty while the gate is open."""
        waits = {"Gate": f"{len(self._awaited)} attempts are not accounted for yet"} if self._awaited else {}
        return waits | self._shut
