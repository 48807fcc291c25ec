"""The sequence of a job that was edited before it was first seen (design 4).

Its resourceVersion has moved, but etcd still knows when it was created: a LIST at an exact older version tells whether
it existed then, so a bisection between neighbours finds its create revision.
"""

from __future__ import annotations

from controller.api.batchjob import BatchJob
from controller.kube.client import Api
from controller.kube.errors import Expired

FIRST_STEP = 64  # versions; doubled until the object did not exist yet


async def create_revision(api: Api, job: BatchJob) -> int | None:
    """The resourceVersion that `job` was created at; None where etcd has forgotten it (compaction).

    Raises:
        Transient: the API server could not answer.
    """
    existed, step = job.metadata.version, FIRST_STEP
    absent = max(1, existed - step)
    try:
        while await _exists(api, job, absent):
            existed, step = absent, step * 2
            if absent == 1:
                return 1
            absent = max(1, absent - step)
        while existed - absent > 1:
            middle = (existed + absent) // 2
            if await _exists(api, job, middle):
                existed = middle
            else:
                absent = middle
    except Expired:
        return None
    return existed


async def _exists(api: Api, job: BatchJob, version: int) -> bool:
    listing = await api.list(
        "BatchJob",
        job.metadata.namespace,
        field_selector=f"metadata.name={job.metadata.name}",
        resource_version=version,
        resource_version_match="Exact",
        metadata_only=True,
    )
    return any(item["metadata"]["uid"] == job.metadata.uid for item in listing.items)
