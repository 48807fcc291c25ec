"""The sequence of a job that was edited before it was first seen (design 4).

Its resourceVersion has moved, but etcd still knows when it was created: a LIST at an exact older version tells whether
it existed then, so a bisection between neighbours finds its create revision.
"""

from __future__ import annotations

import structlog

from controller.api.batchjob import BatchJob
from controller.api.kind import Kind
from controller.errors import Terminal
from controller.kube.client import Api
from controller.kube.errors import Expired, Unreachable
from controller.kube.events import Recorder, Reference
from controller.kube.store import Store
from controller.reconcile.scheduler import Scheduler

FIRST_STEP = 64  # versions; doubled until the object did not exist yet
TRIES = 5  # of a look-up that fails for anything but an API server that is away; then the place is estimated

_log = structlog.get_logger("controller.sequence")


class PlaceFinder:
    """Finds the place of a job out, or estimates it: until then nobody of its queue starts who may be behind it."""

    def __init__(self, api: Api, store: Store, scheduler: Scheduler, events: Recorder) -> None:
        self._api = api
        self._store = store
        self._scheduler = scheduler
        self._events = events
        self._tries: dict[str, int] = {}  # by uid; losing it costs some more tries

    async def find(self, job: BatchJob) -> None:
        """Tell the scheduler the sequence of `job`.

        Raises:
            Transient, Waiting: it could not be looked up; after TRIES times it is estimated, but never because the
                API server is away.
        """
        uid = job.metadata.uid
        tries = self._tries[uid] = self._tries.get(uid, 0) + 1  # counted before, so that a defect counts too
        found, why = None, "its creation could not be looked up"
        if tries <= TRIES:
            try:
                found, why = await create_revision(self._api, job), "etcd was compacted"
            except Unreachable:
                self._tries[uid] -= 1
                raise
            except Terminal as error:
                _log.error("the API server refuses to tell a job's place", reason=error.reason, error=error.message)
        del self._tries[uid]
        if found is None:
            found = self._before_later_ones(job)
            text = f"its place in the queue is estimated: it was edited before it was first seen, and {why}"
            self._events.record(Reference.to(job), "Warning", "SequenceEstimated", text)
        self._scheduler.set_sequence(job, found)

    def _before_later_ones(self, job: BatchJob) -> int:
        """The smallest sequence of any job created later: where the exact one is forgotten (design 4)."""
        created, numbers = job.metadata.creation_timestamp, [job.metadata.version]
        for _, other in self._store.items("BatchJob"):
            if isinstance(other, BatchJob) and created and (other.metadata.creation_timestamp or created) > created:
                number = self._scheduler.sequence(other)
                numbers += [number] if number is not None else []
        return min(numbers)


async def create_revision(api: Api, item: Kind) -> int | None:
    """The resourceVersion that `item` was created at; None where etcd has forgotten it (compaction).

    Raises:
        Transient: the API server could not answer.
    """
    existed, step = item.metadata.version, FIRST_STEP
    absent = max(1, existed - step)
    try:
        while await _exists(api, item, absent):
            existed, step = absent, step * 2
            if absent == 1:
                return 1
            absent = max(1, absent - step)
        while existed - absent > 1:
            middle = (existed + absent) // 2
            if await _exists(api, item, middle):
                existed = middle
            else:
                absent = middle
    except Expired:
        return None
    return existed


async def _exists(api: Api, item: Kind, version: int) -> bool:
    listing = await api.list(
        item.key.kind,
        item.metadata.namespace,
        field_selector=f"metadata.name={item.metadata.name}",
        resource_version=version,
        resource_version_match="Exact",
        metadata_only=True,
    )
    return any(found["metadata"]["uid"] == item.metadata.uid for found in listing.items)
