"""The Job of an attempt is made at most once: its name is taken by who makes it, or by who makes sure that none is."""

from __future__ import annotations

from datetime import UTC, datetime

from controller.decisions.observed import ExitRecord
from controller.errors import Terminal, Transient, Waiting
from controller.executors.base import AttemptId, LaunchSpec
from controller.executors.pod import names
from controller.executors.pod.cluster import Cluster
from controller.executors.pod.looks import Looks, Owner, proved
from controller.executors.pod.manifest import ended_patch, job_of, voided_job
from controller.executors.pod.seen import Seen


class Maker:
    """See the module; arguments as `PodExecutor` takes them."""

    def __init__(self, cluster: Cluster, looks: Looks, owner: Owner) -> None:
        self._cluster = cluster
        self._looks = looks
        self._owner = owner

    async def launch(self, spec: LaunchSpec) -> None:
        """As `PodExecutor.launch`."""
        if spec.pod is None:
            raise Terminal("InvalidSpec", "spec.pod.image: is required for a Pod")
        if spec.attempt in self._looks.refused:
            return
        if await self._cluster.create_job(spec.namespace, job_of(spec, spec.pod)):
            return
        if not await self._is_ours(spec.attempt, spec.namespace, spec.job):
            name = names.job_name(spec.job, spec.attempt)
            text = f"Job {spec.namespace}/{name} belongs to somebody else; delete it, or make the BatchJob anew"
            raise Terminal("NameConflict", text)

    async def _is_ours(self, attempt: AttemptId, namespace: str, job: str) -> bool:
        """Whether the Job of an attempt's name, which exists, has our label and owner."""
        name = names.job_name(job, attempt)
        found = await self._cluster.job(namespace, name)
        if found is None:
            raise Transient("JobVanished", f"Job {namespace}/{name} was there a moment ago")
        return Seen.of(attempt, [found], []).job is not None

    async def void(self, attempt: AttemptId, message: str) -> bool:
        """As `PodExecutor.void`."""
        seen = await self._looks.look(attempt)
        job = seen.job
        if any(pod.began or pod.over for pod in seen.pods) or (job is None and seen.pods):
            return False
        if job is None:
            return await self._void_unmade(attempt, message)
        if job.finished or job.stopped is not None:
            return False
        if job.voided is None:
            why = proved(seen).pending if seen.pods else ""
            note = {
                "reason": why if why == "ImagePull" else "",
                "message": message,
                "at": datetime.now(UTC).isoformat(),
            }
            await self._cluster.patch_job(job.namespace, job.name, job.uid, ended_patch(names.VOIDED, note))
        for pod in seen.pods:
            await self._cluster.delete_pod(pod.namespace, pod.name, pod.uid)
        return True

    async def _void_unmade(self, attempt: AttemptId, message: str) -> bool:
        """Take the name, so that a launch that is still under way somewhere finds it taken."""
        owner = self._owner(attempt.job_uid)
        if owner is None:
            return True  # nobody launches attempts of a job that is gone
        note = {"reason": "", "message": message, "at": _now()}
        try:
            made = await self._cluster.create_job(owner[0], voided_job(owner[1], attempt, note))
        except (Waiting, Terminal):  # a quota or a webhook refuses it, as it would the launch
            made = False
        else:
            if not made and await self._is_ours(attempt, *owner):
                raise Transient("LaunchedMeanwhile", f"the launch of {attempt} arrived in this moment")
        if not made:  # it cannot be made, and neither can the Job of a launch
            self._looks.refused[attempt] = ExitRecord(None, None, "", message, datetime.now(UTC))
        return True


def _now() -> str:
    return datetime.now(UTC).isoformat()
