"""The reconciler of RepositoryLock: its status is a projection of Repository.status.lock (design 5).

A person's claim gets its place in line here, once, from its creation. A job's claim is made by the job's reconciler for
one attempt, and deleted here when that attempt can need it no more and its holder entry is gone.
"""

from __future__ import annotations

from controller.api.batchjob import BatchJob
from controller.api.conditions import ConditionStatus, with_condition
from controller.api.keys import Key
from controller.api.repository import Holder, Repository
from controller.api.repositorylock import ClaimPhase, RepositoryLock, RepositoryLockStatus
from controller.decisions import status as step
from controller.errors import Waiting
from controller.kube.errors import NotFound
from controller.kube.events import Reference
from controller.reconcile.parts import Parts
from controller.reconcile.sequence import create_revision
from controller.reconcile.workers import GONE, Result


class ClaimReconciler:
    """Called by the workers with a key, never twice at once for the same claim."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def reconcile(self, key: Key) -> Result:
        """One look at one claim.

        Raises:
            HoldfastError: as its reaction says.
        """
        claim = self._parts.store.find(RepositoryLock, key)
        if claim is None:
            return GONE
        holder = self._holder(claim)
        if holder is None and claim.spec.holder.attempt and self._useless(claim):
            await self._delete(claim)
            return Result()
        status = await self._status(claim, holder)
        if status.phase is not claim.status.phase and status.phase is not None:
            self._tell(claim, status)
        await self._parts.writer.write(claim, status)
        return Result()

    def _holder(self, claim: RepositoryLock) -> Holder | None:
        key = Key("Repository", claim.metadata.namespace, claim.spec.repository)
        repository = self._parts.store.find(Repository, key)
        lock = repository.status.lock if repository is not None else None
        return next((held for held in lock.holders if held.uid == claim.metadata.uid), None) if lock else None

    def _useless(self, claim: RepositoryLock) -> bool:
        """Whether its attempt is over, or will never be; a job that is not listed proves nothing."""
        key = self._parts.scheduler.owner(claim.spec.holder.uid)
        job = self._parts.store.find(BatchJob, key) if key is not None else None
        if job is None:
            return False  # its owner reference removes it
        use = job.spec.repository
        if use is None or (use.name, use.lock.mode) != (claim.spec.repository, claim.spec.mode):
            return True  # the job was edited while it waited: it gets another one
        number = int(claim.spec.holder.attempt.rpartition(".")[2])
        newest = job.status.attempt
        if step.finished(job.status) or newest is None:
            return step.finished(job.status)
        return newest.number > number or (newest.number == number and newest.state.over)

    async def _delete(self, claim: RepositoryLock) -> None:
        meta = claim.metadata
        try:
            await self._parts.api.delete("RepositoryLock", meta.namespace, meta.name, meta.uid)
        except NotFound:
            raise Waiting("Deleted", f"RepositoryLock {meta.name} is gone; the watch will say so") from None

    async def _status(self, claim: RepositoryLock, holder: Holder | None) -> RepositoryLockStatus:
        status, person = claim.status, not claim.spec.holder.attempt
        if holder is not None:
            fenced = holder.fenced_at is not None
            phase, reason = (ClaimPhase.FENCED, "Silent") if fenced else (ClaimPhase.HELD, "Granted")
            granted = {"token": holder.token, "granted_at": holder.granted_at}
            return self._marked(claim, status.model_copy(update={"phase": phase, "reason": reason, **granted}))
        if status.phase in (ClaimPhase.HELD, ClaimPhase.FENCED):
            over = {"phase": ClaimPhase.RELEASED, "reason": self._why(claim), "released_at": self._parts.now()}
            return self._marked(claim, status.model_copy(update=over))
        if not person or status.phase is not None:
            return status
        sequence = status.sequence if status.sequence is not None else await self._sequence(claim)
        first = {"phase": ClaimPhase.WAITING, "reason": "Waiting", "sequence": sequence}
        return self._marked(claim, status.model_copy(update=first))

    async def _sequence(self, claim: RepositoryLock) -> int:
        """Its creation revision; the version where etcd has forgotten it: behind everybody who is known."""
        found = await create_revision(self._parts.api, claim)
        return found if found is not None else claim.metadata.version

    def _why(self, claim: RepositoryLock) -> str:
        return "ForceReleased" if claim.spec.force_release == claim.metadata.uid else "Expired"

    def _marked(self, claim: RepositoryLock, status: RepositoryLockStatus) -> RepositoryLockStatus:
        held = status.phase is ClaimPhase.HELD
        value: ConditionStatus = "True" if held else "False"
        text = f"fencing token {status.token}" if held else f"{status.phase}: {status.reason}"
        conditions = with_condition(
            status.conditions, "Granted", value, status.reason, text, claim.metadata.generation, self._parts.now()
        )
        return status.model_copy(update={"conditions": conditions})

    def _tell(self, claim: RepositoryLock, status: RepositoryLockStatus) -> None:
        warning = status.phase is ClaimPhase.FENCED or status.reason == "ForceReleased"
        text = f"{claim.spec.mode} lock of Repository {claim.spec.repository}: {status.phase} ({status.reason})"
        self._parts.events.record(Reference.to(claim), "Warning" if warning else "Normal", str(status.phase), text)
