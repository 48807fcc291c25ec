"""One controller from its start to its stop.

Order of a start: read the cluster, check that it and the state directory belong together, find what runs, then work.
The first pass is the daily loop; admission waits until every running attempt is accounted for.
"""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from typing import Any

import structlog

from controller.api.names import KINDS
from controller.app.background import Background, unless
from controller.app.chores import RECHECK, RECHECK_AFTER_LIST, chores
from controller.app.foundation import lay
from controller.app.kinds import listen
from controller.app.leadership import candidacy, stand_by
from controller.app.orphans import sweeper
from controller.app.works import Works, now, put_together
from controller.executors.process.strays import attempts_carried
from controller.files.remote_calls import cancel_calls
from controller.kube.client import Api
from controller.kube.lease import Lease
from controller.kube.watch import run_watch
from controller.reconcile.first_pass import first_pass
from controller.recovery.binding import HomeLock
from controller.recovery.clean_stop import mark_clean_stop, take_previous_stop
from controller.recovery.components import Checks
from controller.recovery.crds import check_served
from controller.recovery.integrity import check_files, keep_checking_runs
from controller.recovery.join import join
from controller.recovery.orphan_desk import OrphanDesk
from controller.recovery.repository_chores import RepositoryChores
from controller.recovery.upkeep import Upkeep
from controller.settings import Settings
from controller.telemetry.audit_controller import controller_line, tell_checks
from controller.telemetry.components import Finding
from controller.web.orphans import OrphanPages
from controller.web.pages import Pages
from controller.web.server import Server
from controller.web.views import queue_rows

LAND_SECONDS = 5.0  # for the callbacks that are being sent when it stops
FLUSH_SECONDS = 2.0  # for the Events that wait when it stops

_log = structlog.get_logger("controller.app")


class App:
    """See the module.

    Args:
        lock: of the state directory.
    """

    def __init__(self, settings: Settings, lock: HomeLock) -> None:
        self._settings = settings
        self._lock = lock
        self._lease: Lease | None = None
        self._fits = False
        self._pages = Pages()
        self._base = lay(settings)
        listen(self._base)
        self._stopping = asyncio.Event()
        self._desk = OrphanDesk(self._why_not_ready)
        self._background = Background(self._stopping)

    async def run(self) -> BaseException | None:
        """Work until SIGTERM or SIGINT; returns what else ended it.

        Raises:
            Terminal: no kubeconfig can be read, or the address of the HTTP server is taken.
            Transient: the state directory cannot be read.
        """
        self._catch_signals()
        self._base.audit.say(controller_line("Started", message=f"version {self._base.version}"))
        try:
            await asyncio.to_thread(check_files, self._settings.home, self._base.metrics.integrity)
            await self._serve()
        finally:
            await self._close_journal()
        return self._background.failure

    async def _serve(self) -> None:
        base, limit = self._base, self._settings.call_seconds
        scope = base.settings.watch_namespace or None
        connecting = Api.connect(
            self._settings.kubeconfig, base.metrics, timeout_seconds=limit, version=base.agent, scope=scope
        )
        self._previous = take_previous_stop(self._settings.home, now())
        async with await connecting as api:
            more = (OrphanPages(self._desk),)
            server = Server(self._settings, base.health, base.metrics, self._queue_rows, self._pages.all(), more)
            # One that stands by is ready, one that does not know yet whether it can work is not.
            base.health.readiness("kinds", lambda: "it is not known yet whether the API server has the kinds")
            await server.start()
            try:
                self._fits = await unless(self._stopping, check_served(api)) or False
                base.health.readiness("kinds", None)
                async with candidacy(base, api) as lease:
                    await self._lead(api, lease)
            finally:
                await server.stop()

    async def _lead(self, api: Api, lease: Lease | None) -> None:
        """Work once nobody else does."""
        stood_by: float | None = 0.0
        self._lease = lease
        if lease is not None:
            self._pages.components.register("leader", partial(_standing_by, lease))
            waiting = stand_by(self._base, api, lease, self._catch_signals)
            stood_by = await unless(self._stopping, waiting)
        if stood_by is None:
            return
        if lease is not None:
            self._base.audit.say(controller_line("Leading", message=f"after {stood_by:.1f} s of standing by"))
            self._background.start(lease.keep(), "lease")
        await self._work(api, stood_by)

    async def _close_journal(self) -> None:
        await self._background.cancel()
        failure = self._background.failure
        self._base.audit.say(controller_line("Stopped", message=str(failure or "")))
        await self._base.audit.close(FLUSH_SECONDS)

    async def _work(self, api: Api, stood_by: float) -> None:
        base = self._base
        base.health.readiness("first pass", lambda: "the first pass is not over")
        self._background.start(tell_checks(base.audit, base.health), "audit")
        scan = asyncio.create_task(attempts_carried(), name="attempts-carried")
        joining = join(api, self._settings, base.store, KINDS, base.metrics, base.health)
        joined = await unless(self._stopping, joining)
        if joined is None or (not self._fits and await unless(self._stopping, check_served(api)) is None):
            scan.cancel()
            return
        works = put_together(base, api, joined, self._previous, stood_by)
        await self._start(works, await scan)
        await self._stopping.wait()
        await self._stop(works)

    async def _start(self, works: Works, carried: set[str]) -> None:
        await works.gits.reattach(carried)
        await works.sides.repositories.operations.load()
        await works.attempts.reattach(carried)
        queued = await first_pass(works.parts, works.intake, works.ownerless)
        works.stopwatch.filled()
        works.recovery.begin(queued)
        works.workers.start()
        works.parts.events.start()
        health = self._base.health
        health.liveness("workers", works.workers.stalled)
        health.readiness("first pass", self._closed)
        health.readiness("ownerless attempts", works.ownerless.asks)
        Checks(
            works.parts,
            self._settings,
            self._lock,
            self._lease,
            works.workers,
            works.sides.callbacks,
            works.recovery,
        ).register(self._pages.components)
        self._pages.startup_log = works.recovery.report.history
        upkeep = Upkeep(chores(works, self._settings), self._base.metrics)
        self._background.start(self._base.scheduler.run(), "scheduler")
        self._background.start(upkeep.run(), "upkeep")
        checking = keep_checking_runs(self._settings.home, self._base.metrics.integrity)
        self._background.start(checking, "integrity")
        repositories = RepositoryChores(works.parts, works.sides.repositories.operations)
        sweeping = sweeper(works, self._settings)
        self._desk.open(sweeping, works.orphans)
        self._background.start(sweeping.run(), "orphans")
        self._background.start(repositories.run(), "repository-chores")
        self._background.start(works.relisting.run(), "relisting")
        self._background.start(self._watch(works, upkeep), "watch")
        if works.attempts.cluster is not None:
            self._background.start(works.attempts.cluster.run(), "workloads")

    async def _stop(self, works: Works) -> None:
        _log.info("stopping: running jobs go on")
        self._base.audit.say(controller_line("Stopping", message="running jobs go on"))
        cut_off = await works.sides.callbacks.land(LAND_SECONDS)
        if cut_off:
            _log.info("callbacks were cut off: they are sent again after the next start", count=cut_off)
        cancel_calls()  # uploads, which may take long: the next start makes them anew
        await works.sides.snapshots.stop()
        drained = await works.workers.stop(self._settings.stop_grace_seconds)
        await works.sides.sender.aclose()
        await works.parts.events.flush(FLUSH_SECONDS)
        await self._background.cancel()
        await works.attempts.close()
        cancel_calls()
        works.highest.remember()
        if drained and self._background.failure is None:
            mark_clean_stop(self._settings.home, now())

    async def _watch(self, works: Works, upkeep: Upkeep) -> None:
        """A watch that begins with a LIST was not told the deletions before it, so the re-check comes soon."""

        def began(kind: str) -> None:
            works.relisting.began(kind)
            upkeep.soon(RECHECK, RECHECK_AFTER_LIST)

        await run_watch(
            self._settings.kubeconfig,
            works.relisting.told,
            self._stopping,
            namespaces=self._base.namespaces,
            kinds=KINDS,
            on_list=began,
            on_listed=works.relisting.listed,
            install_signals=self._catch_signals,
            metrics=self._base.metrics,
            version=self._base.agent,
        )

    def _closed(self) -> str | None:
        closed = self._base.scheduler.gate.closed_for
        return "; ".join(f"{reason}: {message}" for reason, message in closed.items()) or None

    def _queue_rows(self, namespace: str | None, queue: str | None) -> list[dict[str, Any]]:
        return queue_rows(self._base.scheduler, namespace, queue, now())

    def _why_not_ready(self) -> str | None:
        return "; ".join(filter(None, self._base.health.readyz().checks.values())) or None

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)


async def _standing_by(lease: Lease) -> Finding:
    return Finding(message=f"stands by: {lease.holder or 'nobody'} holds the Lease {lease.name}")
