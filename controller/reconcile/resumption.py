"""What attempts of this host go on in when one is lost: looked at, given to the command, removed (requirement 3.5).

Decided in `decisions/resume.py`. The paths follow from the job's uid and the origin that is recorded with the attempt.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Attempt, AttemptState
from controller.decisions import status as step
from controller.decisions.executors import POD, chosen
from controller.decisions.inputs import Left, LeftState
from controller.decisions.observed import Evidence, Observation
from controller.decisions.resume import keeps_checkpoints
from controller.errors import Transient
from controller.executors.base import LaunchSpec
from controller.executors.pod import claim
from controller.reconcile.parts import Parts
from controller.repositories import checkpoints
from controller.repositories.operations.stale import remove_stale
from controller.repositories.places import Places

CHECKPOINTS, FROM = "HOLDFAST_CHECKPOINT_DIR", "HOLDFAST_RESUMED_FROM"


class Resumption:
    """Called by the reconciler of jobs, with the job's key held."""

    def __init__(self, parts: Parts, places: Places) -> None:
        self._parts = parts
        self._places = places

    async def look(self, job: BatchJob, found: Observation | None, *, granted: bool) -> Left | None:
        """What is there of the attempt that the next one resumes, or the one that is about to be launched.

        Args:
            found: what was observed of the active attempt.
            granted: the job has a slot.

        Returns:
            None where nothing is to be resumed now, or the executor itself has to look.
        """
        status, active = job.status, step.active(job.status)
        newest = status.attempt
        if newest is None or newest.executor == POD:
            return None
        if active is not None:
            begins = active.state is AttemptState.STARTING and found is not None and found.evidence is Evidence.ABSENT
            wanted = begins and active.resumed_from is not None
        else:
            wanted = granted and status.resume_from is not None and chosen(job.spec, self._parts.host) != POD
        return await asyncio.to_thread(self._look, job, newest) if wanted else None

    def _look(self, job: BatchJob, attempt: Attempt) -> Left:
        """Whole or nothing: a checkpoint without its checkout, or the other way round, belongs to nothing."""
        name = _name(job, attempt)
        wanted = {"checkpoint directory": self._places.checkpoint(name)}
        if job.spec.repository is not None:
            wanted["workspace"] = self._places.workspace(name)
        try:
            gone = [
                f"its {what} is gone ({path})" for what, path in wanted.items() if not checkpoints.is_directory(path)
            ]
        except OSError as error:
            return Left(LeftState.UNKNOWN, f"what is to be resumed cannot be read: {error.filename}: {error.strerror}")
        return Left(LeftState.GONE, "; ".join(gone)) if gone else Left(LeftState.THERE)

    async def complete(self, spec: LaunchSpec, job: BatchJob) -> LaunchSpec:
        """`spec` with checkpoint directory, and what a resuming attempt runs; as it is for a job that is never resumed.

        Raises:
            Transient: the directory could not be made, or is gone since it was looked at.
        """
        active = step.active(job.status)
        if active is None:
            return spec
        if active.executor == POD:
            kept = spec.pod is not None and spec.pod.claim is not None
            return _told(spec, active, claim.CHECKPOINTS, claim.WORKSPACE) if kept else spec
        if not (keeps_checkpoints(job) or active.resumed_from):
            return spec
        name = _name(job, active)
        try:
            await asyncio.to_thread(self._ready, job, active, name)
        except OSError as error:
            raise Transient("CheckpointsNotReady", f"{error.filename}: {error.strerror}") from error
        saved, work = checkpoints.saved(self._places, name), checkpoints.work(self._places, name)
        return _told(spec, active, str(saved), str(work))

    def _ready(self, job: BatchJob, active: Attempt, name: str) -> None:
        if active.resumed_from is None:
            checkpoints.make(self._places, name)
            return
        left = self._look(job, active)
        if left.state is not LeftState.THERE:
            raise FileNotFoundError(2, left.message, str(self._places.checkpoint(name)))
        if job.spec.repository is not None:  # the processes that held these locks of git are proved to be over
            remove_stale(self._places.workspace(name) / ".git")
            remove_stale(self._places.mirror(job.metadata.namespace, job.spec.repository.name))

    async def release(self, job: BatchJob, number: int) -> None:
        """The attempt is over: its checkpoints are removed at once if it succeeded; else as its workspace is.

        Raises:
            Transient: they could not be removed.
        """
        newest = job.status.attempt
        if newest is None or newest.number != number or newest.state is not AttemptState.SUCCEEDED:
            return
        if not (keeps_checkpoints(job) or newest.resumed_from):
            return
        try:
            await asyncio.to_thread(checkpoints.remove_checkpoints, self._places, _name(job, newest))
        except OSError as error:
            raise Transient("CheckpointsNotRemoved", f"{error.filename}: {error.strerror}") from error


def _told(spec: LaunchSpec, attempt: Attempt, saved: str, work: str) -> LaunchSpec:
    """`spec` with what the command is told; it works in `work` where nothing else says where."""
    ours = {CHECKPOINTS: saved}
    if attempt.resumed_from is not None:
        ours[FROM] = str(attempt.resumed_from)
    return replace(spec, env={**spec.env, **ours}, working_dir=spec.working_dir or work)


def workspace_of(job: BatchJob, places: Places, number: int) -> Path:
    """The checkout that attempt `number`, the newest or not recorded any more, works in."""
    newest = job.status.attempt
    origin = step.origin(newest) if newest is not None and newest.number == number else number
    return places.workspace(f"{job.metadata.uid}.{origin}")


def _name(job: BatchJob, attempt: Attempt) -> str:
    return f"{job.metadata.uid}.{step.origin(attempt)}"
