"""The orphans of workspaces: those of attempts that are over, and of jobs that are gone (requirements 5.3, 7.6)."""

from __future__ import annotations

import asyncio
import time

from controller.api.batchjob import BatchJob, DecisionAction
from controller.api.batchjob_status import Attempt, AttemptState
from controller.decisions.orphan import is_over
from controller.executors.base import AttemptId
from controller.reconcile.operations import Operations
from controller.reconcile.parts import Parts
from controller.recovery.orphans import Orphan, uids_of_jobs
from controller.repositories.cleanup import Found, list_workspaces, remove_workspace


class WorkspaceOrphans:
    """Workspaces of attempts that are over.

    Args:
        keep_failed_seconds: how long those of attempts that did not succeed stay.
    """

    name = "workspace"

    def __init__(self, parts: Parts, operations: Operations, keep_failed_seconds: float) -> None:
        self._parts = parts
        self._places = operations.places
        self._keep_failed = keep_failed_seconds

    async def find(self) -> list[Orphan]:
        """See `Sort`."""
        present: set[str] | None = None
        orphans = []
        for found in await asyncio.to_thread(list_workspaces, self._places):
            attempt = AttemptId.parse(found.name)
            key = self._parts.scheduler.owner(attempt.job_uid)
            job = self._parts.store.job(key) if key is not None else None
            if job is not None:
                proof = self._useless(job, attempt, found)
            else:
                present = await uids_of_jobs(self._parts) if present is None else present
                proof = await self._ownerless(attempt, present)
            if proof is not None:
                orphans.append(
                    Orphan(
                        self.name,
                        found.name,
                        proof,
                        "remove it",
                        str(found.path),
                        found.used_at or None,
                        at_once=job is not None,
                    )
                )
        return orphans

    async def remove(self, orphan: Orphan) -> bool:
        """See `Sort`."""
        await asyncio.to_thread(remove_workspace, self._places, orphan.name)
        return True

    async def _ownerless(self, attempt: AttemptId, present: set[str]) -> str | None:
        if attempt.job_uid in present or not is_over(await self._parts.executor.observe(attempt)):
            return None
        return "no BatchJob has its uid (uncached LIST), and nothing of the attempt runs"

    def _useless(self, job: BatchJob, attempt: AttemptId, found: Found) -> str | None:
        newest = job.status.attempt
        if newest is None or newest.number < attempt.number or not recorded_over(newest, attempt.number):
            return None
        known = next((each for each in (*job.status.history, newest) if each.number == attempt.number), None)
        if known is None or known.state is AttemptState.SUCCEEDED:
            return "its attempt is recorded as over"
        if given_up_for_good(job):
            return "a person decided: Cleanup"
        since = known.finished_at.timestamp() if known.finished_at is not None else found.used_at
        kept = time.time() - since <= self._keep_failed
        return None if kept else f"its attempt did not succeed, more than {self._keep_failed:.0f} s ago"


def given_up_for_good(job: BatchJob) -> bool:
    """Whether a person's answer, which was carried out, was to keep nothing of it."""
    answer, newest = job.spec.decision, job.status.attempt
    if answer is None or newest is None or answer.action is not DecisionAction.CLEANUP:
        return False
    return answer.attempt == newest.number == job.status.decided


def recorded_over(newest: Attempt, number: int) -> bool:
    """Whether attempt `number`, which is recorded, is over."""
    return newest.number > number or newest.state.over
