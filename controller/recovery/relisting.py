"""Keeps the order of jobs while the watch begins anew, as after a restart of the API server (requirement 2.1).

The LIST that a watch begins with tells jobs one by one and by name, and so does a re-check of the store. From when
either is asked for until an own LIST, begun after the watch's one was answered, is in the store, no job starts that is
younger than what the watch told before.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from controller.api.batchjob import BatchJob
from controller.errors import HoldfastError
from controller.kube.client import Api
from controller.kube.errors import OlderEtcd
from controller.kube.store import Store
from controller.kube.sync import recheck
from controller.kube.watch import LISTED, OnEvent
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import NORMAL, WorkQueue

KIND = BatchJob.names.kind
AGAIN_SECONDS = 0.5  # after a LIST that failed

_log = structlog.get_logger("controller.relisting")


class Relisting:
    """See the module; to be made when the first LIST is in the store, before anything is written.

    Args:
        queue: gets the key of each job that no event told.
        tell: is told every event.
    """

    def __init__(self, api: Api, store: Store, queue: WorkQueue, scheduler: Scheduler, tell: OnEvent) -> None:
        self._api = api
        self._store = store
        self._queue = queue
        self._order = scheduler.known_order
        self._tell = tell
        # In order, by the watch; the answer to a write of ours may be ahead of it.
        self._told = store.highest_version(KIND)
        self._listing = False  # by the watch, and not answered yet
        self._due = asyncio.Event()

    def told(self, kind: str, type_: str, raw: dict[str, Any]) -> None:
        """An event of the watch."""
        if kind == KIND and type_ != LISTED:
            self._told = max(self._told, int(raw["metadata"]["resourceVersion"]))
        self._tell(kind, type_, raw)

    def began(self, kind: str) -> None:
        """The watch of a kind asks for a LIST."""
        if kind == KIND:
            self._listing = True
            self._hold()

    def listed(self, kind: str) -> None:
        """It is answered: of what time it tells is settled."""
        if kind == KIND:
            self._listing = False
            self._due.set()

    def look_again(self) -> None:
        """Have all jobs read, as what a watch did not tell is found by nothing else."""
        self._hold()
        self._due.set()

    async def run(self) -> None:
        """Read all jobs each time, until cancelled.

        Raises:
            OlderEtcd: etcd was replaced: the controller has to end.
        """
        said = ""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._read()
                said = ""
            except OlderEtcd:
                raise
            except HoldfastError as error:
                if said != error.reason:
                    _log.warning("the jobs cannot be listed: new ones wait", reason=error.reason, error=error.message)
                said = error.reason
                self._due.set()
                await asyncio.sleep(AGAIN_SECONDS)

    def _hold(self) -> None:
        self._order.hold_after(self._told)

    async def _read(self) -> None:
        before = self._store.highest_version(KIND)  # the LIST is not older, so all that were made up to here are in it
        await recheck(self._api, self._store, KIND, lambda change: self._queue.add(change.key, NORMAL))
        if not self._listing and not self._due.is_set():
            self._told = max(self._told, before)
            self._order.release()
