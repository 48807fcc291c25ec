"""What is done now and then: look at running attempts, re-check the store, free space, orphans, remember the version.

Every one of these is a fallback or a chore; what is urgent is woken by an event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from controller.api.names import KINDS
from controller.decisions.binding import Identity
from controller.errors import HoldfastError
from controller.files.atomic import remove_stale_temps
from controller.kube.client import Api
from controller.kube.errors import OlderEtcd
from controller.kube.store import Store
from controller.kube.sync import recheck
from controller.reconcile.orphans import OrphanReconciler
from controller.reconcile.repository_census import figures
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workers import Workers
from controller.reconcile.workqueue import LOW, WorkQueue
from controller.recovery.binding import adopt_requested, adopted, write_identity
from controller.recovery.disk import DiskWatch
from controller.recovery.join import Joined
from controller.settings import Settings
from controller.telemetry.metrics import DEGRADED_REASONS, Metrics

TICK_SECONDS = 1.0
DISK_SECONDS = 5.0
REMEMBER_SECONDS = 30.0
ORPHAN_SECONDS = 600.0
RECHECK_AFTER_LIST = 3.0  # seconds: after the LIST's own events were told

_log = structlog.get_logger("controller.upkeep")


class Upkeep:
    """See the module."""

    def __init__(
        self,
        api: Api,
        settings: Settings,
        store: Store,
        queue: WorkQueue,
        scheduler: Scheduler,
        orphans: OrphanReconciler,
        disk: DiskWatch,
        workers: Workers,
        metrics: Metrics,
        joined: Joined,
    ) -> None:
        self._api = api
        self._settings = settings
        self._store = store
        self._queue = queue
        self._scheduler = scheduler
        self._orphans = orphans
        self._disk = disk
        self._workers = workers
        self._metrics = metrics
        self._identity: Identity = joined.identity
        self._due: dict[str, float] = {}

    async def run(self) -> None:
        """Tick until cancelled."""
        self._remove_temps()
        while True:
            self._follow_adopt()
            self._every("disk", DISK_SECONDS, self._disk.look)
            self._every("attempts", self._settings.sweep_seconds, self._look_at_attempts)
            self._every("remember", REMEMBER_SECONDS, self.remember)
            if self._is_due("orphans", ORPHAN_SECONDS, at_once=False):
                await self._orphans.sweep(self._queue)
            if self._is_due("tidy", ORPHAN_SECONDS, at_once=True):
                await self._tidy()
            if self._is_due("recheck", self._settings.relist_seconds, at_once=False):
                await self._recheck()
            self._gauges()
            await asyncio.sleep(TICK_SECONDS)

    def listed_anew(self, kind: str) -> None:
        """The watch of `kind` began with a LIST: deletions before it were not told, so the re-check comes soon."""
        self._due["recheck"] = min(self._due.get("recheck", float("inf")), time.monotonic() + RECHECK_AFTER_LIST)

    def remember(self) -> None:
        """Keep the highest resourceVersion seen, so that an older backup of etcd is noticed at the next start."""
        highest = max(self._store.highest_version(kind) for kind in KINDS)
        if highest <= self._identity.highest_version:
            return
        identity = replace(self._identity, highest_version=highest)
        try:
            write_identity(self._settings.home, identity)
        except OSError as error:
            _log.error("cannot write to the state directory", error=str(error), path=str(self._settings.home))
            return
        self._identity = identity

    def _look_at_attempts(self) -> None:
        """Also at jobs with a slot that is not recorded yet: their own backoff may have outgrown the outage."""
        for key in (*(key for _, key in self._scheduler.held_keys()), *self._scheduler.granted_keys()):
            self._queue.add(key, LOW)

    def _remove_temps(self) -> None:
        try:
            remove_stale_temps(self._settings.home, now=time.time())
        except OSError as error:
            _log.error("cannot tidy up the state directory", path=str(error.filename), error=str(error))

    def _follow_adopt(self) -> None:
        """The directory is bound, so `holdfast adopt` can only speak of attempts whose jobs are gone."""
        if not adopt_requested(self._settings.home):
            return
        try:
            adopted(self._settings.home)
        except OSError as error:
            _log.error("cannot take the request to adopt away", path=str(error.filename), error=str(error))
            return
        _log.warning("adopted: running attempts without a BatchJob are ended")
        self._orphans.adopt(self._queue)

    async def _tidy(self) -> None:
        try:
            await self._orphans.tidy(self._queue)
        except HoldfastError as error:
            _log.warning("cannot tidy up the run directories", reason=error.reason, error=error.message)

    async def _recheck(self) -> None:
        for kind in KINDS:
            try:
                changes = await recheck(self._api, self._store, kind)
            except OlderEtcd:
                raise  # the controller ends; the next start is degraded and says why
            except HoldfastError as error:
                _log.warning("the re-check failed", kind=kind, reason=error.reason, error=error.message)
                continue
            for change in changes:
                self._queue.add(change.key, LOW)

    def _gauges(self) -> None:
        self._workers.observe()
        closed = self._scheduler.closed_for
        self._metrics.repositories.show(figures(self._store))
        self._metrics.gate_open.set(0 if closed else 1)
        ownerless = "ManyOwnerless" if self._orphans.held_for_a_person else None
        self._metrics.set_degraded(ownerless or next((why for why in closed if why in DEGRADED_REASONS), None))
        for (namespace, name), account in self._scheduler.books.accounts.items():
            if account.declared is None and not account.waiting and not account.held:
                self._metrics.drop_queue(f"{namespace}/{name}")
            else:
                self._metrics.set_queue(f"{namespace}/{name}", len(account.waiting), len(account.held))

    def _every(self, name: str, seconds: float, work: Callable[[], object], *, at_once: bool = True) -> None:
        if self._is_due(name, seconds, at_once=at_once):
            work()

    def _is_due(self, name: str, seconds: float, *, at_once: bool) -> bool:
        now = time.monotonic()
        due = self._due.get(name, now if at_once else now + seconds)
        self._due[name] = now + seconds if now >= due else due
        return now >= due
