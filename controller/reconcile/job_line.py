"""What a job with a repository waits with: the claim in the line for its lock, and the preparation that it needs."""

from __future__ import annotations

from functools import partial

from controller.api.batchjob import BatchJob
from controller.api.jobbatch import JobBatch
from controller.api.keys import Key
from controller.decisions import status as step
from controller.decisions.preparation import batch_name, is_named_for
from controller.reconcile.children import NameTaken, Object, make_child
from controller.reconcile.parts import Parts
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.repository_pages import Want


class JobLine:
    """Claims and batches have names that follow from the job's uid and the attempt's number: made twice, made once."""

    def __init__(self, parts: Parts, book: RepositoryBook) -> None:
        self._parts = parts
        self._book = book

    async def stand(self, job: BatchJob) -> None:
        """Make what a waiting job waits with: its claim, and the preparation that it needs.

        Raises:
            NameTaken: somebody else has its name; the book says so to whoever asks why the job waits.
            HoldfastError: the API server could not take it.
        """
        want = self._book.want(job.metadata.uid)
        if want is None or step.active(job.status) is not None or job.metadata.deletion_timestamp is not None:
            return
        try:
            await self._make(job, want)
        except NameTaken as taken:
            self._book.taken(job.metadata.uid, (taken.reason, taken.message))
            raise
        self._book.taken(job.metadata.uid, None)

    async def _make(self, job: BatchJob, want: Want) -> None:
        if want.mode is not None and self._book.claim_of(want.attempt) is None:
            await make_child(self._parts, job, *_claim(job, want))
        batch, repository = self._book.batch(want), self._book.declared(want.repository)
        if batch is None or repository is None or repository.spec.prepare is None:
            return
        key = Key("JobBatch", job.metadata.namespace, batch)
        found = self._parts.store.find(JobBatch, key)
        if found is None:
            commit = self._book.commit(want.repository, want.ref or repository.spec.branch)
            spec = {"repository": want.repository[1], "commit": commit, "prepare": repository.spec.prepare.to_json()}
            await make_child(self._parts, repository, key, spec, partial(_prepares, batch))
        elif not is_named_for(found):
            raise NameTaken(key, job.key)


def _prepares(name: str, spec: Object) -> bool:
    """Whether a JobBatch with this spec is the preparation of this name, whoever made it."""
    return batch_name(spec["repository"], spec["commit"], spec["prepare"]["command"]) == name


def _claim(job: BatchJob, want: Want) -> tuple[Key, Object]:
    """The claim of the attempt, by name and spec."""
    number = want.attempt.rpartition(".")[2]
    name = f"{job.metadata.name[:200].rstrip('-.')}-{job.metadata.uid[:8]}-{number}"
    holder = {"kind": "BatchJob", "name": job.metadata.name, "uid": job.metadata.uid, "attempt": want.attempt}
    spec = {"repository": want.repository[1], "mode": str(want.mode), "holder": holder}
    return Key("RepositoryLock", job.metadata.namespace, name), spec
