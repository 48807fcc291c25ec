"""The orphans of repositories: operations, bases, mirrors, results (requirement 7.6).

A fallback: what is urgent is done by the reconcilers. An owner is gone only where an uncached read proves it; a mirror
that holds pushes which upstream does not have is kept for a person.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from controller.api.batchjob import BatchJob
from controller.api.jobbatch import JobBatch
from controller.api.keys import Key
from controller.api.kinds import MODELS
from controller.api.repository import Repository
from controller.decisions.observed import Evidence
from controller.decisions.orphan import is_over, is_recorded_over
from controller.executors.base import AttemptId
from controller.files.usage import used_at
from controller.kube.errors import NotFound
from controller.kube.kinds import SERVED
from controller.reconcile.operations import OWNER_KIND, OWNER_NAME, OWNER_NAMESPACE, OWNER_UID, Operations
from controller.reconcile.parts import Parts
from controller.reconcile.publications import outlives_its_job_end
from controller.recovery.orphans import Orphan
from controller.repositories.cleanup import (
    list_bases,
    list_repositories,
    list_results,
    list_set_aside,
    remove_base,
    remove_repository,
    remove_result,
)
from controller.repositories.places import base_key
from controller.repositories.refs import HEADS, UPSTREAM, list_refs

UNUSED_BASE_SECONDS = 24 * 3600.0
DELETED_MIRROR_SECONDS = 24 * 3600.0
DELETED = "deleted"  # beside mirror.git: its mtime is when the Repository was first found to be gone


class OperationOrphans:
    """Operations that nobody needs: stopped, then removed with what they said."""

    name = "operation"

    def __init__(self, parts: Parts, operations: Operations) -> None:
        self._parts = parts
        self._operations = operations

    async def find(self) -> list[Orphan]:
        """See `Sort`."""
        executor, found = self._operations.executor, []
        for operation in self._operations.all():
            says = await executor.annotations(operation)
            path = executor.place(str(operation))
            if says is None:
                found += await self._damaged(operation, path)
                continue
            if (proof := await self._useless(operation, says)) is None:
                continue
            found.append(
                Orphan(self.name, str(operation), proof, "stop it, then remove it", path, used_at(path), at_once=True)
            )
        return found

    async def remove(self, orphan: Orphan) -> bool:
        """See `Sort`."""
        operation = AttemptId.parse(orphan.name)
        executor = self._operations.executor
        if await executor.annotations(operation) is None:
            if (reason := await executor.quarantine(orphan.name)) is not None:
                self._parts.metrics.integrity.set_aside(executor.place(orphan.name), reason)
                self._operations.lost(operation)
            return reason is not None
        if is_over(await executor.observe(operation)):
            await self._operations.forget(operation)
            return True
        await self._operations.stop(operation)
        return False

    async def _damaged(self, operation: AttemptId, path: str) -> list[Orphan]:
        """One whose record cannot be read: set aside where nothing of it is alive; who needs it begins it again."""
        seen = await self._operations.executor.observe(operation)
        if seen.evidence is not Evidence.UNKNOWN:
            return []
        return [
            Orphan(self.name, str(operation), f"it is damaged ({seen.message})", "set it aside", path, used_at(path))
        ]

    async def _useless(self, operation: AttemptId, says: Mapping[str, str]) -> str | None:
        """Why nobody needs it, None where somebody may."""
        kind, uid = says.get(OWNER_KIND, ""), says.get(OWNER_UID, "")
        key = Key(kind, says.get(OWNER_NAMESPACE, ""), says.get(OWNER_NAME, ""))
        if kind not in MODELS:
            return None
        found = self._parts.store.find(MODELS[kind], key)
        if found is None or found.metadata.uid != uid:
            gone = await self._parts.api.get_uncached_gone(*key, uid)
            return f"{key} with uid {uid} is gone (uncached GET)" if gone else None
        if not isinstance(found, BatchJob):
            return None
        if not is_recorded_over(found.status, operation.number) or outlives_its_job_end(found, operation):
            return None
        return f"attempt {operation.number} of {key} is recorded as over"


class BaseOrphans:
    """Prepared checkouts that no JobBatch names and nobody copied for a day."""

    name = "base"

    def __init__(self, parts: Parts, operations: Operations) -> None:
        self._parts = parts
        self._places = operations.places

    async def find(self) -> list[Orphan]:
        """See `Sort`."""
        batches = [batch for _, batch in self._parts.store.items("JobBatch") if isinstance(batch, JobBatch)]
        used = {
            (batch.metadata.namespace, batch.spec.repository, base_key(batch.spec.commit, batch.spec.prepare.command))
            for batch in batches
        }
        orphans = []
        for namespace, name in await asyncio.to_thread(list_repositories, self._places):
            for found in await asyncio.to_thread(list_bases, self._places, namespace, name):
                unused = time.time() - found.used_at >= UNUSED_BASE_SECONDS
                if unused and (namespace, name, found.name) not in used:
                    text = f"{namespace}/{name}/{found.name}"
                    proof = "no JobBatch names it, and nobody copied it for a day"
                    orphans.append(
                        Orphan(self.name, text, proof, "remove it", str(found.path), found.used_at, at_once=True)
                    )
        return orphans

    async def remove(self, orphan: Orphan) -> bool:
        """See `Sort`."""
        namespace, name, key = orphan.name.split("/")
        return await asyncio.to_thread(remove_base, self._places, namespace, name, key)


class MirrorOrphans:
    """Mirrors of Repositories that were deleted a day ago."""

    name = "mirror"

    def __init__(self, parts: Parts, operations: Operations) -> None:
        self._parts = parts
        self._places = operations.places

    async def find(self) -> list[Orphan]:
        """See `Sort`."""
        orphans = []
        for namespace, name in await asyncio.to_thread(list_repositories, self._places):
            directory = self._places.repository(namespace, name)
            if self._parts.store.find(Repository, Key("Repository", namespace, name)) is not None:
                await asyncio.to_thread((directory / DELETED).unlink, missing_ok=True)
            elif await self._gone(namespace, name) and await asyncio.to_thread(_long_deleted, directory):
                orphans.append(await self._orphan(namespace, name, directory))
        return orphans

    async def _orphan(self, namespace: str, name: str, directory: Path) -> Orphan:
        kept = await asyncio.to_thread(self._unpublished, namespace, name)
        proof = "its Repository is gone for more than a day (uncached GET)"
        plan = f"it holds pushes that upstream does not have ({', '.join(kept[:3])}): rm -r {directory}"
        return Orphan(
            self.name,
            f"{namespace}/{name}",
            proof,
            plan if kept else "remove it",
            str(directory),
            used_at(directory / DELETED),
            at_once=True,
            stays=bool(kept),
        )

    async def remove(self, orphan: Orphan) -> bool:
        """See `Sort`."""
        namespace, name = orphan.name.split("/")
        await asyncio.to_thread(remove_repository, self._places, namespace, name)
        return True

    async def _gone(self, namespace: str, name: str) -> bool:
        """Whether no Repository has this name: mirrors are keyed by it, not by a uid (design 5)."""
        try:
            await self._parts.api.get("Repository", namespace, name)
        except NotFound as error:
            return error.names(SERVED["Repository"].plural, name)
        return False

    def _unpublished(self, namespace: str, name: str) -> list[str]:
        aside = [path.name for path in list_set_aside(self._places, namespace, name)]
        mirror = self._places.mirror(namespace, name)
        if not mirror.exists():
            return aside
        heads, upstream = list_refs(mirror, HEADS), list_refs(mirror, UPSTREAM)
        return aside + [branch for branch, commit in heads.items() if upstream.get(branch) != commit]


class ResultOrphans:
    """What operations said whose run directories are gone."""

    name = "result"

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def find(self) -> list[Orphan]:
        """See `Sort`."""
        places = self._operations.places
        results = await asyncio.to_thread(list_results, places)
        # Read after them: an operation has a run directory before it has a result, and loses it first.
        known = {str(operation) for operation in await self._operations.executor.list_attempts()}
        proof = "its operation has no run directory any more"
        paths = {name: str(places.result(name)) for name in sorted(results - known)}
        return [
            Orphan(self.name, name, proof, "remove it", path, used_at(path), at_once=True)
            for name, path in paths.items()
        ]

    async def remove(self, orphan: Orphan) -> bool:
        """See `Sort`."""
        await asyncio.to_thread(remove_result, self._operations.places, orphan.name)
        return True


def _long_deleted(directory: Path) -> bool:
    mark = directory / DELETED
    try:
        return time.time() - mark.stat().st_mtime > DELETED_MIRROR_SECONDS
    except FileNotFoundError:
        mark.touch(mode=0o600)
        return False
