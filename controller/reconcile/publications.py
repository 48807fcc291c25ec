"""Publishing what an attempt on this host has pushed to the mirror: observed, begun, stopped, kept (requirement 5.5).

The operation has a name that follows from the attempt, and what it said outlives the job's end: as long as the attempt
has an exit record, a status that was wiped is rebuilt with how its publication ended (requirement 1.3).
"""

from __future__ import annotations

import asyncio

from controller.api.batchjob import BatchJob
from controller.api.conditions import find, is_true
from controller.api.repository import Repository
from controller.api.repository_use import Push, RepositoryUse
from controller.decisions.executors import POD, executor_of
from controller.decisions.inputs import Step, StepState
from controller.decisions.job_repository import is_mended_by_waiting
from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import is_over
from controller.errors import Transient, Waiting
from controller.executors.base import AttemptId
from controller.kube.errors import NotFound
from controller.kube.kinds import SERVED
from controller.reconcile.operations import Operations, Owner, Purpose
from controller.reconcile.parts import Parts
from controller.reconcile.pod_pushes import publication_step
from controller.reconcile.remotes import Remotes
from controller.reconcile.repeats import Repeats
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.repository_pages import Want
from controller.repositories import requests
from controller.repositories.names import BadName
from controller.repositories.refs import HEADS, UPSTREAM, read_head


class Publications:
    """Called by what works on a job's repository, with the job's key held."""

    def __init__(
        self, parts: Parts, book: RepositoryBook, operations: Operations, remotes: Remotes, repeats: Repeats
    ) -> None:
        self._parts = parts
        self._book = book
        self._operations = operations
        self._remotes = remotes
        self._repeats = repeats

    def not_ready(self, want: Want) -> str:
        """Why nothing can be published now, "" where it can: the mirror may be half-made or damaged (5.2)."""
        repository = self._book.declared(want.repository)
        if repository is None or is_true(repository.status.conditions, "Ready"):
            return ""
        ready = find(repository.status.conditions, "Ready")
        why = f": {ready.message}" if ready is not None and ready.message else ""
        return f"Repository {want.repository[1]} is not ready{why}"

    async def step(
        self, job: BatchJob, use: RepositoryUse, want: Want, attempt: AttemptId, found: Observation | None
    ) -> Step | None:
        """How far it is; None: nothing is to be published, or not yet.

        Args:
            found: what was observed of the attempt.

        Raises:
            Transient: something could not be read.
        """
        if executor_of(job, attempt.number, self._parts.host) == POD:
            return publication_step(found)
        ended = found.exit if found is not None and found.evidence is Evidence.ENDED else None
        if use.push is not Push.UPSTREAM or ended is None or ended.code != 0:
            return None
        operation = publish_operation(attempt)
        done = self._repeats.paused(operation, (await self._operations.look(operation, job.key)).step())
        if done.state is not StepState.ABSENT:
            return done
        repository = self._book.declared(want.repository)
        if repository is None:
            return await self._undeclared(*want.repository)
        if self.not_ready(want):
            return done  # what the mirror has, or has not, says nothing now
        head = await asyncio.to_thread(self._pushed, want, use.ref or repository.spec.branch)
        return done if head is not None else None

    async def _undeclared(self, namespace: str, name: str) -> Step:
        """Nobody can publish without the Repository; that it is not in the store proves nothing."""
        try:
            await self._parts.api.get("Repository", namespace, name)
        except NotFound as error:
            if error.names(SERVED["Repository"].plural, name):
                text = f"Repository {name} was deleted: what it pushed stays in the mirror"
                return Step(StepState.FAILED, "RepositoryNotFound", text, final=True)
        return Step(StepState.UNKNOWN, message=f"Repository {name} is not in the store")

    def _pushed(self, want: Want, branch: str) -> str | None:
        """The commit of the branch in the mirror that upstream does not have; None where there is none."""
        mirror = self._operations.places.mirror(*want.repository)
        try:
            head = read_head(mirror, branch, HEADS)
            return head if head is not None and head != read_head(mirror, branch, UPSTREAM) else None
        except BadName:
            return None
        except OSError as error:
            raise Transient("MirrorUnreadable", f"{error.filename or mirror}: {error.strerror}") from error

    async def begin(self, job: BatchJob, repository: Repository, use: RepositoryUse, number: int) -> None:
        """Begin the operation that publishes what the attempt pushed.

        Raises:
            Waiting, Transient: as the executor and the remote's credentials say.
        """
        branch, operation = use.ref or repository.spec.branch, publish_operation(AttemptId(job.metadata.uid, number))
        if is_mended_by_waiting((await self._operations.look(operation, job.key)).step()):
            await self._operations.forget(operation)
            self._repeats.begun(operation)
        want = self._book.want(job.metadata.uid)
        commit = await asyncio.to_thread(self._pushed, want, branch) if want is not None else None
        if commit is None:
            return
        remote = await self._remotes.remote(repository)
        places, deadline = self._operations.places, self._remotes.deadline(repository)
        target = requests.Target(places, job.metadata.namespace, use.name, str(operation), deadline)
        await self._operations.begin(
            operation, Owner(job.key, job.metadata.uid), requests.publish(target, remote, branch, commit)
        )

    async def stop(self, job: BatchJob, number: int) -> None:
        """End the operation, where it runs."""
        await self._operations.stop(publish_operation(AttemptId(job.metadata.uid, number)))

    async def keep(self, operation: AttemptId) -> None:
        """What it said stays, its working files go.

        Raises:
            Waiting: it still runs; it is being stopped.
        """
        if not is_over(await self._operations.executor.observe(operation)):
            await self._operations.stop(operation)
            raise Waiting("OperationRuns", f"operation {operation} is being stopped", 1.0)
        self._repeats.forget(operation)
        await self._operations.executor.release(operation, keep_record=True)


def publish_operation(attempt: AttemptId) -> AttemptId:
    """The operation that publishes what `attempt` pushed."""
    return Operations.name(Purpose.PUBLISH, attempt.job_uid, attempt.number)


def outlives_its_job_end(job: BatchJob, operation: AttemptId) -> bool:
    """Whether it published, or tried to, what the newest attempt pushed: it goes with that one's run directory."""
    newest = job.status.attempt
    return newest is not None and operation == publish_operation(AttemptId(job.metadata.uid, newest.number))
