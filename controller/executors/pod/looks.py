"""Looks at attempts: quick ones from a view that may be late, exact ones where something is to be proved.

That an attempt runs or waits may be told late. That it is over, or that there is nothing of it, is said only after Job
and Pods were read from etcd.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from controller.decisions.executors import POD
from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.errors import HoldfastError, Transient
from controller.executors.base import AttemptId
from controller.executors.pod.cluster import Cluster
from controller.executors.pod.pending import pending
from controller.executors.pod.place import OutputPlace
from controller.executors.pod.reading import OVER, read
from controller.executors.pod.seen import Seen
from controller.files.remote_calls import apart

WHY_SECONDS = 3.0  # a Job without a Pod for longer has a reason that its Events tell

Owner = Callable[[str], tuple[str, str] | None]


class Looks:
    """See the module; arguments as `PodExecutor` takes them.

    Attributes:
        refused: attempts that were voided where no Job could be made for them; losing it voids them again.
    """

    def __init__(self, cluster: Cluster, place: OutputPlace, owner: Owner) -> None:
        self._cluster = cluster
        self._place = place
        self._owner = owner
        self.refused: dict[AttemptId, ExitRecord] = {}

    async def observe(self, attempt: AttemptId) -> Observation:
        """Look at one attempt; what cannot be read is UNKNOWN with a message."""
        try:
            seen = self.known(attempt)
            if seen.job is None or proved(seen).evidence in OVER:
                seen = await self.look(attempt)
            found = proved(seen)
            if found.evidence is Evidence.ABSENT:
                found = await self._without_job(attempt, found)
            if found.evidence is Evidence.LAUNCHING:
                found = await self._why_no_pod(seen, found)
        except HoldfastError as error:
            return Observation(Evidence.UNKNOWN, message=f"{error.reason}: {error.message}", executor=POD)
        return replace(found, output_bytes=self._place.size(attempt))

    async def _without_job(self, attempt: AttemptId, found: Observation) -> Observation:
        if (end := self.refused.get(attempt)) is not None:
            return replace(found, evidence=Evidence.NEVER_STARTED, exit=end)
        if await self._has_output(attempt):
            return replace(found, evidence=Evidence.GONE, message="its Job was deleted")
        return found

    async def _has_output(self, attempt: AttemptId) -> bool:
        try:
            return await (apart if self._place.elsewhere else asyncio.to_thread)(self._place.has, attempt)
        except OSError as error:
            raise Transient("OutputUnreadable", str(error)) from error

    async def _why_no_pod(self, seen: Seen, found: Observation) -> Observation:
        job = seen.job
        if found.pending or job is None or seen.pods or job.created is None:
            return found
        if (datetime.now(UTC) - job.created).total_seconds() < WHY_SECONDS:
            return found
        said = await self._cluster.warnings(job.namespace, job.uid)
        return pending(job, None, said[-1] if said else "")

    async def annotations(self, attempt: AttemptId) -> Mapping[str, str] | None:
        """What the attempt's LaunchSpec carried; None where there is no readable record of it."""
        seen = self.known(attempt)
        if seen.job is None:
            try:
                seen = await self.look(attempt)
            except HoldfastError:
                return None
        return seen.job.carried if seen.job is not None else None

    def listed(self) -> list[AttemptId]:
        """Attempts with a Job or a Pod in the view."""
        return [attempt for value in self._cluster.groups() if (attempt := attempt_of(value)) is not None]

    def known(self, attempt: AttemptId) -> Seen:
        """The view of an attempt."""
        return Seen.of(attempt, *self._cluster.known(str(attempt)), self._cluster.last_pod(str(attempt)))

    async def look(self, attempt: AttemptId) -> Seen:
        """An exact look. Raises Transient, Waiting."""
        owner = self._owner(attempt.job_uid)
        jobs, pods = await self._cluster.look(owner[0] if owner is not None else None, str(attempt))
        return Seen.of(attempt, jobs, pods, self._cluster.last_pod(str(attempt)))


def proved(seen: Seen) -> Observation:
    """What a look proves now."""
    return read(seen.job, seen.pods, datetime.now(UTC), seen.last)


def attempt_of(value: str) -> AttemptId | None:
    """The attempt that a label names; None where somebody changed it."""
    try:
        return AttemptId.parse(value)
    except ValueError:
        return None
