"""The chore that makes the Snapshots that the schedule wants; what is due is decided in `decisions/schedule.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import structlog

from controller.api.keys import API_VERSION, Key
from controller.api.model import format_time
from controller.api.snapshot import SCHEDULED_FOR, Snapshot
from controller.decisions.schedule import due, name_of, previous, scheduled_for
from controller.errors import HoldfastError
from controller.kube.errors import AlreadyExists
from controller.reconcile.parts import Parts

_log = structlog.get_logger("controller.snapshots")


@dataclass(slots=True)
class Schedule:
    """See the module.

    Args:
        expression: cron syntax; "" for no schedule.
        namespace: where the Snapshots are made.
        asked: moments that this process has asked for; losing them costs nothing, as names follow from the moments.
    """

    parts: Parts
    expression: str
    namespace: str
    asked: list[datetime] = field(default_factory=list)

    async def follow(self) -> None:
        """Make the Snapshot that is due, if one is."""
        self.parts.metrics.snapshots.scheduled.set(1 if self.expression else 0)
        if not self.expression:
            return
        now = self.parts.now()
        self.parts.metrics.snapshots.due.set(previous(self.expression, now).timestamp())
        moment = due(self.expression, [*self.asked, *self._made()], now)
        if moment is None:
            return
        key = Key("Snapshot", self.namespace, name_of(moment))
        meta = {"name": key.name, "namespace": key.namespace, "annotations": {SCHEDULED_FOR: format_time(moment)}}
        body = {"apiVersion": API_VERSION, "kind": key.kind, "metadata": meta, "spec": {}}
        try:
            made = await self.parts.api.create(key.kind, key.namespace, body)
        except AlreadyExists:
            self.asked = [moment]  # of an earlier controller, and the watch is behind
            return
        except HoldfastError as error:
            _log.warning("the schedule's Snapshot could not be made", reason=error.reason, error=error.message)
            return
        self.asked = [moment]
        self.parts.store.update(key.kind, made)
        self.parts.queue.add(key)

    def _made(self) -> list[datetime]:
        found = [scheduled_for(each) for _, each in self.parts.store.items("Snapshot") if isinstance(each, Snapshot)]
        return [moment for moment in found if moment is not None]
