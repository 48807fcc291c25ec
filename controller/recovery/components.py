"""The checks behind the components of GET /health: each looks at the thing itself, not at what was thought of it."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from controller.errors import HoldfastError
from controller.kube.lease import Lease
from controller.reconcile.callbacks import CallbackReconciler
from controller.reconcile.parts import Parts
from controller.reconcile.repository_census import figures
from controller.reconcile.workers import Workers
from controller.recovery.binding import LOCK, HomeLock
from controller.recovery.recovery import Recovery
from controller.settings import Settings
from controller.telemetry.components import Components, Finding, State

RECHECKS_MISSED = 3  # the store is too old when so many re-checks in a row brought nothing
SHOWN = 5  # names in a message


class Checks:
    """See the module; one method per component."""

    def __init__(
        self,
        parts: Parts,
        settings: Settings,
        lock: HomeLock,
        lease: Lease | None,
        workers: Workers,
        callbacks: CallbackReconciler,
        recovery: Recovery,
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._lock = lock
        self._lease = lease
        self._workers = workers
        self._callbacks = callbacks
        self._recovery = recovery

    def register(self, components: Components) -> None:
        """All of them."""
        for name, check in {
            "api": self.api,
            "leader": self.leader,
            "store": self.store,
            "queue": self.queue,
            "executor": self.executor,
            "locks": self.locks,
            "callbacks": self.callbacks,
            "recovery": self.recovery,
            "disk": self.disk,
        }.items():
            components.register(name, check)

    async def api(self) -> Finding:
        """The API server's own /readyz, and the rights that it refused to us last."""
        if await self._parts.api.ready():
            missing = self._parts.metrics.rights.missing
            if missing:
                text = f"the API server refuses: {', '.join(missing[:SHOWN])}; the chart's rbac.yaml has the rights"
                return Finding(State.DEGRADED, text)
            return Finding()
        return Finding(State.FAILED, "the API server does not call itself ready; running jobs go on")

    async def leader(self) -> Finding:
        """The Lease, and on one host the lock of the state directory, which is the election there (design 9)."""
        if self._lease is not None and not self._lease.leads:
            return Finding(State.FAILED, f"the Lease {self._lease.name} could not be renewed: nothing is written")
        if await asyncio.to_thread(self._lock.intact):
            return Finding(message=f"holds {self._settings.home / LOCK}")
        text = f"{self._settings.home / LOCK} is not the file that was locked: the state directory was replaced"
        return Finding(State.FAILED, text)

    async def store(self) -> Finding:
        """How long nothing was heard of the API server: the re-check hears of it also where nothing changes."""
        age = self._parts.store.age()
        stale = age > RECHECKS_MISSED * self._settings.relist_seconds
        return Finding(State.FAILED if stale else State.OK, f"last heard of the API server {age:.0f} s ago")

    async def queue(self) -> Finding:
        """The same as /healthz asks, and what keeps admission shut."""
        if (stalled := self._workers.stalled()) is not None:
            return Finding(State.FAILED, stalled)
        shut = self._parts.scheduler.gate.closed_for
        if shut:
            return Finding(State.DEGRADED, "; ".join(f"{reason}: {message}" for reason, message in shut.items()))
        return Finding(message=f"{self._parts.queue.depth().ready} keys are ready")

    async def executor(self) -> Finding:
        """Whether the run directories can be read."""
        try:
            found = await self._parts.executor.list_attempts()
        except HoldfastError as error:
            return Finding(State.FAILED, error.message)
        return Finding(message=f"{len(found)} run directories")

    async def locks(self) -> Finding:
        """Locks whose record cannot be rebuilt or is damaged, and holders that are silent."""
        found = figures(self._parts.store)
        unsound = [each.name for each in found if "LockUnsound" in each.alerts]
        fenced = sum(each.fenced for each in found)
        if unsound:
            return Finding(State.DEGRADED, f"nothing is granted of {', '.join(unsound[:SHOWN])}")
        if fenced:
            return Finding(State.DEGRADED, f"{fenced} holders are silent: see `holdfast locks`")
        return Finding(message=f"{sum(len(each.holders) for each in found)} held")

    async def callbacks(self) -> Finding:
        """Hosts that failed time after time."""
        open_circuits, pending, dead = self._callbacks.standing()
        text = f"{pending} pending, {dead} given up"
        if open_circuits:
            return Finding(State.DEGRADED, f"{open_circuits} hosts failed time after time; {text}")
        return Finding(message=text)

    async def recovery(self) -> Finding:
        """The phases of this start."""
        if (why := self._recovery.phases.degraded()) is not None:
            return Finding(State.DEGRADED, why)
        trouble = self._recovery.report.trouble
        if trouble is not None:
            return Finding(State.DEGRADED, f"its RecoveryReport cannot be written: {trouble}")
        return Finding(message=self._recovery.phases.result.value)

    async def disk(self) -> Finding:
        """Asked in a thread: a file system that hangs must not hold anybody up."""
        return await asyncio.to_thread(_disk, self._settings.home, self._settings.min_free_bytes)


def _disk(home: Path, least: int) -> Finding:
    free = shutil.disk_usage(home).free
    if not os.access(home, os.W_OK | os.X_OK):
        return Finding(State.FAILED, f"{home} cannot be written to")
    text = f"{home} has {free} bytes free, minFreeBytes is {least}"
    return Finding(State.DEGRADED if free < least else State.OK, text)
