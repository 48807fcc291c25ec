"""What repositories leave behind and nobody uses any more: operations, workspaces, bases, mirrors (requirement 7.6).

A fallback and a chore, every now and then: what is urgent is done by the reconcilers. An owner is gone only where an
uncached read proves it; a mirror that holds pushes which upstream does not have is kept for a person.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Attempt, AttemptState
from controller.api.jobbatch import JobBatch
from controller.api.keys import Key
from controller.api.kinds import MODELS
from controller.api.repository import Repository
from controller.decisions.orphan import is_over
from controller.errors import HoldfastError
from controller.executors.base import AttemptId
from controller.kube.errors import NotFound
from controller.kube.kinds import SERVED
from controller.reconcile.operations import OWNER_KIND, OWNER_NAME, OWNER_NAMESPACE, OWNER_UID, Operations
from controller.reconcile.parts import Parts
from controller.reconcile.workqueue import LOW
from controller.recovery.phases import Step
from controller.repositories.cleanup import (
    Found,
    clean_leftovers,
    list_bases,
    list_repositories,
    list_results,
    list_set_aside,
    list_workspaces,
    remove_base,
    remove_repository,
    remove_result,
    remove_workspace,
)
from controller.repositories.places import base_key
from controller.repositories.refs import HEADS, UPSTREAM, list_refs

CHORE_SECONDS = 60.0
AGAIN_SECONDS = 10.0  # after one that failed
UNUSED_BASE_SECONDS = 24 * 3600.0
DELETED_MIRROR_SECONDS = 24 * 3600.0
DELETED = "deleted"  # beside mirror.git: its mtime is when the Repository was first found to be gone

_log = structlog.get_logger("controller.repositories")


class RepositoryChores:
    """See the module.

    Args:
        keep_failed_seconds: how long workspaces of attempts that did not succeed stay.
        step: of the recovery, which is over when all of it went well once.
    """

    def __init__(self, parts: Parts, operations: Operations, keep_failed_seconds: float, step: Step) -> None:
        self._parts = parts
        self._operations = operations
        self._places = operations.places
        self._keep_failed = keep_failed_seconds
        self._step = step

    async def run(self) -> None:
        """Sweep until cancelled; what fails is logged and tried again the next time."""
        while True:
            well = True
            for chore in (self._tidy, self._operations_left, self._workspaces, self._repositories, self._leftovers):
                try:
                    await chore()
                except (HoldfastError, OSError) as error:
                    well = False
                    self._step.failed(str(error))
                    _log.warning("a chore of the repositories failed", chore=chore.__name__, error=str(error))
            if well:
                self._step.done()
            for key in self._parts.store.keys("RepositoryLock"):
                self._parts.queue.add(key, LOW)
            await asyncio.sleep(CHORE_SECONDS if well else AGAIN_SECONDS)

    async def _tidy(self) -> None:
        """Go on with what a crash interrupted: run directories half removed, ended operations not released."""
        executor = self._operations.executor
        for name in await executor.clean_leftovers():
            self._removed("temp_file", name)
        for operation in await executor.unreleased():
            if is_over(await executor.observe(operation)):
                # Its end and its result stay: who has not recorded them yet still can.
                await executor.release(operation, keep_record=True)

    async def _operations_left(self) -> None:
        for operation in self._operations.all():
            says = await self._operations.executor.annotations(operation)
            if says is None or await self._needed(operation, says):
                continue
            seen = await self._operations.executor.observe(operation)
            if is_over(seen):
                await self._operations.forget(operation)
                self._removed("operation", str(operation))
            else:
                await self._operations.stop(operation)

    async def _needed(self, operation: AttemptId, says: Mapping[str, str]) -> bool:
        kind, uid = says.get(OWNER_KIND, ""), says.get(OWNER_UID, "")
        key = Key(kind, says.get(OWNER_NAMESPACE, ""), says.get(OWNER_NAME, ""))
        if kind not in MODELS:
            return True
        found = self._parts.store.find(MODELS[kind], key)
        if found is None or found.metadata.uid != uid:
            return not await self._parts.api.get_uncached_gone(*key, uid)
        if not isinstance(found, BatchJob):
            return True
        newest = found.status.attempt
        return newest is None or newest.number < operation.number or not _over(newest, operation.number)

    async def _workspaces(self) -> None:
        present: set[str] | None = None
        for found in await asyncio.to_thread(list_workspaces, self._places):
            attempt = AttemptId.parse(found.name)
            key = self._parts.scheduler.owner(attempt.job_uid)
            job = self._parts.store.job(key) if key is not None else None
            if job is None:
                if present is None:
                    listing = await self._parts.api.list("BatchJob", metadata_only=True)
                    present = {item["metadata"]["uid"] for item in listing.items}
                useless = attempt.job_uid not in present and is_over(await self._parts.executor.observe(attempt))
            else:
                useless = self._useless(job, attempt, found)
            if useless:
                await asyncio.to_thread(remove_workspace, self._places, found.name)
                self._removed("workspace", found.name)

    def _useless(self, job: BatchJob, attempt: AttemptId, found: Found) -> bool:
        newest = job.status.attempt
        if newest is None or newest.number < attempt.number or not _over(newest, attempt.number):
            return False
        known = next((each for each in (*job.status.history, newest) if each.number == attempt.number), None)
        if known is None or known.state is AttemptState.SUCCEEDED:
            return True
        since = known.finished_at.timestamp() if known.finished_at is not None else found.used_at
        return time.time() - since > self._keep_failed

    async def _repositories(self) -> None:
        for namespace, name in await asyncio.to_thread(list_repositories, self._places):
            await self._bases(namespace, name)
            repository = self._parts.store.find(Repository, Key("Repository", namespace, name))
            directory = self._places.repository(namespace, name)
            if repository is not None:
                await asyncio.to_thread((directory / DELETED).unlink, missing_ok=True)
            elif await self._gone(namespace, name) and await asyncio.to_thread(_long_deleted, directory):
                await self._remove_mirror(namespace, name)

    async def _gone(self, namespace: str, name: str) -> bool:
        """Whether no Repository has this name: mirrors are keyed by it, not by a uid (design 5)."""
        try:
            await self._parts.api.get("Repository", namespace, name)
        except NotFound as error:
            return error.names(SERVED["Repository"].plural, name)
        return False

    async def _bases(self, namespace: str, name: str) -> None:
        batches = [batch for _, batch in self._parts.store.items("JobBatch") if isinstance(batch, JobBatch)]
        used = {
            base_key(batch.spec.commit, batch.spec.prepare.command)
            for batch in batches
            if (batch.metadata.namespace, batch.spec.repository) == (namespace, name)
        }
        for found in await asyncio.to_thread(list_bases, self._places, namespace, name):
            if found.name in used or time.time() - found.used_at < UNUSED_BASE_SECONDS:
                continue
            if await asyncio.to_thread(remove_base, self._places, namespace, name, found.name):
                self._removed("base", f"{namespace}/{name}/{found.name}")

    async def _remove_mirror(self, namespace: str, name: str) -> None:
        kept = await asyncio.to_thread(self._unpublished, namespace, name)
        if kept:
            text = "its Repository is deleted, but it holds pushes that upstream does not have: remove it by hand"
            _log.warning(text, namespace=namespace, repository=name, refs=kept[:10])
            return
        await asyncio.to_thread(remove_repository, self._places, namespace, name)
        self._removed("mirror", f"{namespace}/{name}")

    def _unpublished(self, namespace: str, name: str) -> list[str]:
        aside = [path.name for path in list_set_aside(self._places, namespace, name)]
        mirror = self._places.mirror(namespace, name)
        if not mirror.exists():
            return aside
        heads, upstream = list_refs(mirror, HEADS), list_refs(mirror, UPSTREAM)
        return aside + [branch for branch, commit in heads.items() if upstream.get(branch) != commit]

    async def _leftovers(self) -> None:
        live = {str(operation) for operation in self._operations.all()}
        results = await asyncio.to_thread(list_results, self._places)
        # Read after them: an operation has a run directory before it has a result, and loses it first.
        known = {str(operation) for operation in await self._operations.executor.list_attempts()}
        for name in sorted(results - known):
            await asyncio.to_thread(remove_result, self._places, name)
            self._removed("temp_file", name)
        for path in await asyncio.to_thread(clean_leftovers, self._places, live, now=time.time()):
            self._removed("temp_file", str(path))

    def _removed(self, what: str, name: str) -> None:
        self._parts.metrics.orphans_removed.labels(what).inc()
        _log.info("removed what nobody uses any more", what=what, name=name)


def _over(newest: Attempt, number: int) -> bool:
    """Whether attempt `number`, which is recorded, is over."""
    return newest.number > number or newest.state.over


def _long_deleted(directory: Path) -> bool:
    mark = directory / DELETED
    try:
        return time.time() - mark.stat().st_mtime > DELETED_MIRROR_SECONDS
    except FileNotFoundError:
        mark.touch(mode=0o600)
        return False
