"""What the reconciler of jobs does about a job's repository: its workspace, its publication; `line` before that.

Observed here, decided in `decisions/job_repository.py`. Claims, batches and operations have names that follow from the
job's uid and the attempt's number, so making one twice makes it once.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState
from controller.api.jobbatch import JobBatch
from controller.api.keys import Key
from controller.api.repository import Repository
from controller.api.repository_use import RepositoryUse
from controller.decisions import status as step
from controller.decisions.inputs import RepositoryView, Step, StepState
from controller.decisions.job_repository import NO_SOUND_MIRROR, is_mended_by_waiting
from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import is_over
from controller.decisions.resume import keeps_checkpoints
from controller.errors import Terminal, Transient, Waiting
from controller.executors.base import AttemptId, LaunchSpec
from controller.reconcile.job_line import JobLine
from controller.reconcile.lock_sources import carried
from controller.reconcile.operations import Operations, Owner, Purpose
from controller.reconcile.parts import Parts
from controller.reconcile.pod_checkouts import AUTHOR, PodCheckouts
from controller.reconcile.publications import Publications, outlives_its_job_end
from controller.reconcile.remotes import Remotes
from controller.reconcile.repeats import Repeats
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.resumption import workspace_of
from controller.repositories import requests
from controller.repositories.cleanup import remove_workspace
from controller.repositories.facts import Damaged, read_workspace, survived
from controller.repositories.names import BadName
from controller.repositories.places import base_key

WORKSPACE_SECONDS = 3600.0


class JobRepositories:
    """Called by the reconciler of jobs, with the job's key held."""

    def __init__(self, parts: Parts, book: RepositoryBook, operations: Operations, remotes: Remotes) -> None:
        self._parts = parts
        self._book = book
        self._operations = operations
        self._repeats = Repeats(parts.monotonic)
        self._publications = Publications(parts, book, operations, remotes, self._repeats)
        self._pods = PodCheckouts(parts, book, remotes)
        self._places = operations.places
        self.line = JobLine(parts, book)

    # --- observe

    async def view(self, job: BatchJob, found: Observation | None) -> RepositoryView | None:
        """What the job needs besides a slot; None for a job without a repository.

        Args:
            found: what was observed of its active attempt.

        Raises:
            Transient: something could not be read.
        """
        use, want = job.spec.repository, self._book.want(job.metadata.uid)
        if use is None or want is None:
            return None
        active, used = step.active(job.status), job.status.repository
        if active is None:
            commit = self._pods.commit(job)
            batch = (self._book.batch(want) or "") if commit is None else ""
            return RepositoryView(want.mode is not None, self._book.token(want.attempt), batch=batch, commit=commit)
        attempt = AttemptId(job.metadata.uid, active.number)
        batch = used.batch if used is not None else ""
        made = await self._workspace(job, attempt, found)
        holds = self._book.holds(str(attempt), active.lock_token)
        published = await self._publications.step(job, use, want, attempt, found)
        not_ready = self._publications.not_ready(want) if published is not None else ""
        return RepositoryView(
            want.mode is not None, active.lock_token, holds, batch, made, published, not_ready=not_ready
        )

    async def _workspace(self, job: BatchJob, attempt: AttemptId, found: Observation | None) -> Step:
        used = job.status.repository
        begun = found is not None and found.evidence is not Evidence.ABSENT
        if (in_pod := await self._pods.step(job, attempt, begun=begun)) is not None:
            return in_pod
        active = step.active(job.status)
        if active is not None and active.resumed_from is not None:
            return await self._resumed(job, active.number)
        if begun and used is not None and used.commit:
            return Step(StepState.DONE, commit=used.commit)
        operation = _workspace_operation(attempt)
        made = self._repeats.paused(operation, (await self._operations.look(operation, job.key)).step())
        if made.reason in NO_SOUND_MIRROR and (want := self._book.want(job.metadata.uid)) is not None:
            self._parts.queue.add(Key("Repository", *want.repository))  # it has it verified, or cloned
        if made.state is not StepState.DONE or begun:
            return made
        try:
            facts = await asyncio.to_thread(read_workspace, self._places.workspace(str(attempt)))
        except (Damaged, OSError) as error:
            return Step(StepState.UNKNOWN, message=str(error))
        # One of an earlier boot was never synced: it is made anew before its first use.
        return made if facts is not None and survived(facts) else Step(StepState.ABSENT)

    async def _resumed(self, job: BatchJob, number: int) -> Step:
        """A workspace that the attempt goes on in is not made: whether it is there is looked at apart (resumption)."""
        workspace = workspace_of(job, self._places, number)
        try:
            facts = await asyncio.to_thread(read_workspace, workspace)
        except Damaged:  # it is the job's own: what it does to the file is its affair
            facts = None
        except OSError as error:
            return Step(StepState.UNKNOWN, message=f"{error.filename or workspace}: {error.strerror}")
        return Step(StepState.DONE, commit=facts.commit if facts is not None else "")

    # --- act

    async def make_workspace(self, job: BatchJob, number: int) -> None:
        """Begin the operation that makes the checkout.

        Raises:
            Waiting: the repository or its preparation is not there (any more).
        """
        repository, use = self._declared(job)
        attempt, used = AttemptId(job.metadata.uid, number), job.status.repository
        commit = key = ""
        if used is not None and used.batch:
            batch = self._parts.store.find(JobBatch, Key("JobBatch", job.metadata.namespace, used.batch))
            if batch is None:
                raise Waiting("BatchNotFound", f"JobBatch {used.batch} is gone", 5.0)
            commit, key = batch.spec.commit, base_key(batch.spec.commit, batch.spec.prepare.command)
        operation = _workspace_operation(attempt)
        found = (await self._operations.look(operation, job.key)).step()
        if found.state is StepState.DONE or is_mended_by_waiting(found):
            await self._operations.forget(operation)  # it was made, and is not there any more; or could not be made yet
            self._repeats.begun(operation)
        target = requests.Target(self._places, job.metadata.namespace, use.name, str(operation), WORKSPACE_SECONDS)
        ref = use.ref or repository.spec.branch
        try:
            durable = keeps_checkpoints(job)
            request = requests.workspace(target, str(attempt), ref, commit, key, AUTHOR, durable=durable)
        except BadName as error:
            raise Terminal("BadRef", str(error)) from error
        await self._operations.begin(operation, Owner(job.key, job.metadata.uid), request)

    async def publish(self, job: BatchJob, number: int) -> None:
        """Begin the operation that publishes what the attempt pushed.

        Raises:
            Waiting: the repository is not there, or not to be reached.
        """
        await self._publications.begin(job, *self._declared(job), number)

    async def stop_publishing(self, job: BatchJob, number: int) -> None:
        """End the operation that publishes, where it runs."""
        await self._publications.stop(job, number)

    async def release(self, job: BatchJob, number: int) -> None:
        """The attempt is over: as `tidy`; its workspace is removed at once if it succeeded.

        Raises:
            Waiting: an operation of it still runs; it is being stopped.
        """
        await self.tidy(job)
        newest = job.status.attempt
        if newest is not None and newest.number == number and newest.state is AttemptState.SUCCEEDED:
            try:
                workspace = workspace_of(job, self._places, number).name
                await asyncio.to_thread(remove_workspace, self._places, workspace)
            except OSError as error:
                raise Transient("WorkspaceNotRemoved", f"{error.filename}: {error.strerror}") from error
        self._book.refs_changed((job.metadata.namespace, job.spec.repository.name if job.spec.repository else ""))

    async def tidy(self, job: BatchJob) -> None:
        """Forget the operations of all attempts that are over, in every pass until they are; stop the ones that run.

        How the newest attempt was published is kept as long as its exit record: a wiped status is rebuilt from both.

        Raises:
            Waiting: one still runs.
        """
        newest, uid = job.status.attempt, job.metadata.uid
        if job.spec.repository is None or newest is None:
            return
        last = newest.number if newest.state.over else newest.number - 1
        for purpose in (Purpose.WORKSPACE, Purpose.PUBLISH):
            for number in self._operations.known(purpose, uid) or ():
                operation = Operations.name(purpose, uid, number)
                if number <= last and outlives_its_job_end(job, operation):
                    await self._publications.keep(operation)
                elif number <= last:
                    await self._forget(operation)

    async def _forget(self, operation: AttemptId) -> None:
        if not is_over(await self._operations.executor.observe(operation)):
            await self._operations.stop(operation)
            raise Waiting("OperationRuns", f"operation {operation} is being stopped", 1.0)
        self._repeats.forget(operation)
        await self._operations.forget(operation)

    def complete(self, spec: LaunchSpec, job: BatchJob) -> LaunchSpec:
        """`spec` with workspace, token, and what a lock record is rebuilt from; as it is for a job without one.

        Raises:
            Waiting, Terminal: the workspace of a Pod cannot be declared.
        """
        use, active = job.spec.repository, step.active(job.status)
        if use is None or active is None:
            return spec
        if spec.pod is not None:
            spec, workspace = self._pods.complete(spec, spec.pod, job)
        else:
            workspace = str(workspace_of(job, self._places, spec.attempt.number))
        ours = {"HOLDFAST_REPOSITORY": use.name, "HOLDFAST_WORKSPACE": workspace}
        if active.lock_token is not None:
            ours["HOLDFAST_LOCK_TOKEN"] = str(active.lock_token)
        claim = self._book.claim_of(str(spec.attempt)) or ("", "")
        whose = carried(use.name, claim, use.lock.mode) if use.lock.mode is not None else {}
        return replace(
            spec,
            env={**spec.env, **ours},
            working_dir=spec.working_dir or workspace,
            annotations={**spec.annotations, **whose},
        )

    def never(self, job: BatchJob) -> tuple[str, str] | None:
        """Why the job can never start where it is to run."""
        return self._pods.never(job)

    def why(self, uid: str) -> tuple[str, str] | None:
        """Why the job cannot start: it never may, or it could not when it was last looked at in its turn."""
        return self._book.refused(uid) or self._book.why(uid)

    def _declared(self, job: BatchJob) -> tuple[Repository, RepositoryUse]:
        use = job.spec.repository
        assert use is not None
        repository = self._book.declared((job.metadata.namespace, use.name))
        if repository is None:
            raise Waiting("RepositoryNotFound", f"there is no Repository {use.name}", 5.0)
        return repository, use


def _workspace_operation(attempt: AttemptId) -> AttemptId:
    return Operations.name(Purpose.WORKSPACE, attempt.job_uid, attempt.number)
