"""The composition root: the only place where the parts of the controller are put together.

Order of a start: lock the state directory, read the cluster, check that both belong together, find what runs, then
work. The first pass is the daily loop; admission waits until every running attempt is accounted for.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from controller.api.keys import Key
from controller.api.names import KINDS
from controller.decisions.binding import Identity
from controller.decisions.inputs import Host
from controller.errors import HoldfastError, Terminal
from controller.executors.base import AttemptId
from controller.executors.process.executor import ProcessExecutor
from controller.kube.client import Api
from controller.kube.events import Recorder
from controller.kube.store import Store
from controller.kube.watch import run_watch
from controller.reconcile.census import Census
from controller.reconcile.first_pass import First, first_keys
from controller.reconcile.index import AttemptIndex
from controller.reconcile.intake import Intake
from controller.reconcile.jobs import JobReconciler
from controller.reconcile.mirrors import resolver
from controller.reconcile.orphans import OrphanReconciler, attempt_key
from controller.reconcile.parts import Parts
from controller.reconcile.queues import QueueReconciler
from controller.reconcile.record import StatusWriter
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.repository_side import repository_side
from controller.reconcile.router import Router
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workers import Workers
from controller.reconcile.workqueue import HIGH, NORMAL, WorkQueue
from controller.recovery.binding import HomeLock
from controller.recovery.disk import DiskWatch
from controller.recovery.join import Joined, join
from controller.recovery.repository_chores import RepositoryChores
from controller.recovery.stopwatch import Stopwatch
from controller.recovery.upkeep import Upkeep
from controller.repositories.places import Places
from controller.settings import Settings
from controller.telemetry.health import Health
from controller.telemetry.log import configure
from controller.telemetry.metrics import Metrics
from controller.web.server import Server
from controller.web.views import queue_rows

EXIT_LOCKED, EXIT_FAILED = 3, 1

_log = structlog.get_logger("controller.app")


class App:
    """One controller process, from its start to its stop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(version("holdfast"))
        self.store = Store(self.metrics)
        self.queue = WorkQueue()
        self.index = AttemptIndex()
        self.scheduler = Scheduler(self.queue, self.index, settings.max_running)
        self.book = RepositoryBook(self.queue, self.scheduler, self.store, resolver(Places(settings.home)))
        self.store.listen(self.book.observe)  # before the scheduler, which asks it
        self.store.listen(self.scheduler.observe)
        self.scheduler.also_ask(self.book)
        self.store.listen(Census(self.metrics).observe)
        self.health = Health()
        self.stopping = asyncio.Event()
        self.failure: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT; returns the exit status."""
        self._catch_signals()
        config = self.settings.kubeconfig
        async with await Api.connect(
            config, self.metrics, timeout_seconds=self.settings.request_timeout_seconds, version=version("holdfast")
        ) as api:
            server = Server(self.settings, self.health, self.metrics, self._queue_rows)
            await server.start()
            try:
                await self._work(api)
            finally:
                await server.stop()
        if self.failure is not None:
            _log.error("the controller ends", error=str(self.failure), exc_info=self.failure)
        return EXIT_FAILED if self.failure is not None else 0

    async def _work(self, api: Api) -> None:
        self.health.readiness("first pass", lambda: "the first pass is not over")
        joined = await self._unless_stopped(join(api, self.settings, self.store, KINDS, self.metrics, self.health))
        if joined is None:
            return
        executor = ProcessExecutor(
            self.settings.runs, joined.identity.state_id, self.settings.sweep_seconds, home=self.settings.job_home
        )
        events = Recorder(api, self.metrics)
        parts = self._parts(api, executor, events, joined.identity)
        intake = Intake(self.store, self.queue, self.scheduler, parts.writer)
        gits = ProcessExecutor(
            self.settings.operations, joined.identity.state_id, self.settings.sweep_seconds, home="private"
        )
        side = repository_side(parts, self.book, gits, self.settings)
        jobs = JobReconciler(parts, side.jobs)
        orphans = OrphanReconciler(api, self.store, executor, self.index, self.scheduler, self.metrics)
        queues = QueueReconciler(parts)
        router = Router(
            {
                "BatchJob": jobs.reconcile,
                "JobQueue": queues.reconcile,
                "Attempt": orphans.reconcile,
                **side.reconcilers,
            }
        )
        stopwatch = Stopwatch(self.metrics, self.queue, lambda: bool(self.scheduler.closed_for))
        stopwatch.listed(joined.listed_at, joined.list_cpu_seconds)
        reconcile = stopwatch.watching(router.reconcile)
        workers = Workers(self.queue, reconcile, self.settings.workers, self.metrics)
        await gits.reattach()
        await side.operations.load()
        await self._first_pass(executor, orphans, intake)
        stopwatch.filled()
        workers.start()
        events.start()
        self.health.liveness("workers", workers.stalled)
        self.health.readiness("first pass", self._closed)
        self.health.readiness("ownerless attempts", orphans.asks)
        self._background(self.scheduler.run(), "scheduler")
        upkeep = self._upkeep(api, executor, orphans, jobs, workers, joined)
        self._background(upkeep.run(), "upkeep")
        chores = RepositoryChores(parts, side.operations, self.settings.keep_failed_workspaces_seconds)
        self._background(chores.run(), "repository-chores")
        self._background(self._watch(intake, upkeep), "watch")
        await self.stopping.wait()
        _log.info("stopping: running jobs go on")
        await workers.stop(self.settings.stop_grace_seconds)
        await events.flush(2.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        upkeep.remember()

    def _closed(self) -> str | None:
        return "; ".join(f"{reason}: {message}" for reason, message in self.scheduler.closed_for.items()) or None

    async def _first_pass(self, executor: ProcessExecutor, orphans: OrphanReconciler, intake: Intake) -> None:
        """Find what runs, fill the books, queue every key that has something to do (requirement 7.4)."""
        began = time.monotonic()
        await executor.reattach()
        self.index.load(await executor.list_attempts())
        first: First = first_keys(self.store, self.scheduler, orphans)
        executor.subscribe(intake.ended)
        for attempt in first.ownerless:
            self.scheduler.hold(attempt, ("", ""))
            self.queue.add(attempt_key(attempt), NORMAL)
        for key in first.held:
            self.queue.add(key, HIGH)
        for key in first.others:
            self.queue.add(key, NORMAL)
        self.scheduler.wait_for({*first.held, *map(attempt_key, first.ownerless)})
        await orphans.sweep(self.queue)
        took = f"{(time.monotonic() - began) * 1000:.1f}"
        _log.info("books are filled", attempts=len(self.index.attempts()), held=len(first.held), milliseconds=took)

    def _parts(self, api: Api, executor: ProcessExecutor, events: Recorder, identity: Identity) -> Parts:
        host = Host(
            identity.state_id,
            socket.gethostname(),
            self.settings.running_record_delay_ms / 1000,
            self.settings.start_timeout_seconds,
        )
        return Parts(
            api=api,
            store=self.store,
            queue=self.queue,
            writer=StatusWriter(api, self.store),
            executor=executor,
            index=self.index,
            scheduler=self.scheduler,
            events=events,
            metrics=self.metrics,
            host=host,
            now=_now,
            monotonic=time.monotonic,
            output_location=lambda attempt: f"{host.name}:{self._output(attempt)}",
        )

    def _upkeep(
        self,
        api: Api,
        executor: ProcessExecutor,
        orphans: OrphanReconciler,
        jobs: JobReconciler,
        workers: Workers,
        joined: Joined,
    ) -> Upkeep:
        def evict(key: Key) -> None:
            job = self.store.job(key)
            if job is not None:
                jobs.evict(job.metadata.uid, "OutputLimit")
                self.queue.add(key, HIGH)

        home, least = self.settings.home, self.settings.min_free_bytes
        disk = DiskWatch(home, least, self.scheduler, self.metrics, self._writers, evict)
        return Upkeep(
            api, self.settings, self.store, self.queue, self.scheduler, orphans, disk, workers, self.metrics, joined
        )

    def _writers(self) -> list[tuple[int, Key]]:
        found = []
        for uid, key in self.scheduler.held_keys():
            job = self.store.job(key)
            if job is not None and job.status.attempt is not None:
                path = self._output(AttemptId(uid, job.status.attempt.number))
                with contextlib.suppress(OSError):  # no output yet, or its directory cannot be read
                    found.append((path.stat().st_size, key))
        return found

    def _output(self, attempt: AttemptId) -> Path:
        return self.settings.runs / str(attempt) / "output.log"

    async def _watch(self, intake: Intake, upkeep: Upkeep) -> None:
        await run_watch(
            self.settings.kubeconfig,
            intake.told,
            self.stopping,
            kinds=KINDS,
            on_list=upkeep.listed_anew,
            install_signals=self._catch_signals,
            metrics=self.metrics,
            version=version("holdfast"),
        )

    def _queue_rows(self, namespace: str | None, queue: str | None) -> list[dict[str, Any]]:
        return queue_rows(self.scheduler, namespace, queue, _now())

    async def _unless_stopped(self, work: Coroutine[Any, Any, Joined]) -> Joined | None:
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None

    def _background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A background task must not end while the controller works: better exit and be started anew than limp."""
        if self.stopping.is_set() or task.cancelled():
            return
        self.failure = task.exception() or RuntimeError(f"{task.get_name()} ended")
        self.stopping.set()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)


def _now() -> datetime:
    return datetime.now(UTC)


def main() -> int:
    """Run a controller with the settings of the environment; returns the exit status."""
    settings = Settings()
    configure(settings.log_level, settings.log_format)
    try:
        lock = HomeLock(settings.home)
    except Terminal as error:
        _log.error("cannot start", reason=error.reason, error=error.message)
        return EXIT_LOCKED if error.reason == "StateDirectoryLocked" else EXIT_FAILED
    gc.freeze()  # what was imported is never garbage, and 10,000 objects make cycles rarely: 40 % off the first LIST
    gc.set_threshold(50_000, 20, 50)
    try:
        # Not uvloop: a connect that is cancelled in the TLS handshake, as with a server that stands still, makes it
        # close a descriptor a second time that is somebody else's by then (MagicStack/uvloop issue 653).
        return asyncio.run(_run(settings))
    except HoldfastError as error:
        _log.error("cannot go on", reason=error.reason, error=error.message)
        return EXIT_FAILED
    finally:
        lock.release()


async def _run(settings: Settings) -> int:
    return await App(settings).run()


if __name__ == "__main__":
    sys.exit(main())
