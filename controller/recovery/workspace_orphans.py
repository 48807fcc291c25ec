"""The orphans of what attempts work in: workspaces and checkpoints, of attempts that are over and of jobs that are gone
(requirements 3.5, 5.3, 7.6)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from controller.decisions.orphan import is_over, useless
from controller.executors.base import AttemptId
from controller.reconcile.parts import Parts
from controller.recovery.orphans import Orphan, uids_of_jobs
from controller.repositories.checkpoints import list_checkpoints, remove_checkpoints
from controller.repositories.cleanup import list_workspaces, remove_workspace
from controller.repositories.places import Places


class _Found(Protocol):
    """What is there: the name of the attempt that began it, its path, and when it was last used (epoch seconds)."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def used_at(self) -> float: ...


class WorkOrphans:
    """Directories that are named after the attempt that began them; others may have gone on in them.

    Args:
        name: of the sort.
        listed: all that are there; raises OSError.
        remove: one of them, by name; raises OSError.
        kept_seconds: how long those of attempts that did not succeed stay.
    """

    def __init__(
        self,
        parts: Parts,
        name: str,
        listed: Callable[[], Sequence[_Found]],
        remove: Callable[[str], None],
        kept_seconds: float,
    ) -> None:
        self.name = name
        self._parts = parts
        self._listed = listed
        self._remove = remove
        self._kept_seconds = kept_seconds

    async def find(self) -> list[Orphan]:
        """See `Sort`."""
        present: set[str] | None = None
        orphans = []
        for found in await asyncio.to_thread(self._listed):
            attempt = AttemptId.parse(found.name)
            key = self._parts.scheduler.owner(attempt.job_uid)
            job = self._parts.store.job(key) if key is not None else None
            if job is not None:
                proof = useless(job, attempt.number, found.used_at, self._kept_seconds, time.time())
            else:
                present = await uids_of_jobs(self._parts) if present is None else present
                proof = await self._ownerless(attempt, present)
            if proof is not None:
                path, since = str(found.path), found.used_at or None
                orphans.append(Orphan(self.name, found.name, proof, "remove it", path, since, at_once=job is not None))
        return orphans

    async def remove(self, orphan: Orphan) -> bool:
        """See `Sort`."""
        await asyncio.to_thread(self._remove, orphan.name)
        return True

    async def _ownerless(self, attempt: AttemptId, present: set[str]) -> str | None:
        """Any attempt of the job may work in it: it goes when none of them does."""
        uid = attempt.job_uid
        known = self._parts.index.known(uid)
        if uid in present or known is None:
            return None
        for number in {*known, attempt.number}:
            if not is_over(await self._parts.executor.observe(AttemptId(uid, number))):
                return None
        return "no BatchJob has its uid (uncached LIST), and no attempt of it runs"


def workspace_orphans(parts: Parts, places: Places, kept_seconds: float) -> WorkOrphans:
    """Those of checkouts."""
    listed, remove = partial(list_workspaces, places), partial(remove_workspace, places)
    return WorkOrphans(parts, "workspace", listed, remove, kept_seconds)


def checkpoint_orphans(parts: Parts, places: Places, kept_seconds: float) -> WorkOrphans:
    """Those of checkpoints."""
    listed, remove = partial(list_checkpoints, places), partial(remove_checkpoints, places)
    return WorkOrphans(parts, "checkpoint", listed, remove, kept_seconds)
