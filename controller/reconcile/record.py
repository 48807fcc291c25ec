"""Record: at most one PATCH of a job's status, only if something changed, always against the version it was read at."""

from __future__ import annotations

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import BatchJobStatus
from controller.api.keys import Key
from controller.errors import Waiting
from controller.kube.client import Api
from controller.kube.errors import Conflict, NotFound
from controller.kube.store import Change, Store
from controller.reconcile.merge import difference


class StatusWriter:
    """Writes the status of BatchJobs and takes the answer into the store at once."""

    def __init__(self, api: Api, store: Store) -> None:
        self._api = api
        self._store = store
        self._in_flight: dict[Key, BatchJobStatus] = {}

    async def write(self, job: BatchJob, status: BatchJobStatus) -> BatchJob:
        """The job as it is recorded now; `job` itself where `status` says nothing new.

        Raises:
            Conflict: somebody wrote since `job` was read; the store has the newer one now.
            Waiting: the object is gone; the watch will say so.
            Transient: the API server could not take it.
        """
        patch = {} if status is job.status else difference(job.status.to_json(), status.to_json())
        if not patch:
            return job
        meta = job.metadata
        key = Key("BatchJob", meta.namespace, meta.name)
        self._in_flight[key] = status
        try:
            raw = await self._api.patch_status(
                "BatchJob", meta.namespace, meta.name, meta.uid, meta.resource_version, patch
            )
        except Conflict:
            self._store.update("BatchJob", await self._api.get("BatchJob", meta.namespace, meta.name))
            raise
        except NotFound:
            raise Waiting("Deleted", f"{key} is gone; the watch will say so") from None
        finally:
            del self._in_flight[key]
        self._store.update("BatchJob", raw)
        new = self._store.job(key)
        if new is None or new.metadata.uid != meta.uid:
            raise Waiting("Deleted", f"{key} was deleted while it was recorded")
        return new

    def is_echo(self, change: Change) -> bool:
        """Whether an event tells only what is being written at this moment: it often overtakes the answer."""
        written = self._in_flight.get(change.key)
        new, old = change.new, change.old
        if written is None or not isinstance(new, BatchJob) or not isinstance(old, BatchJob):
            return False
        return new.status == written and new.spec == old.spec and new.metadata.uid == old.metadata.uid
