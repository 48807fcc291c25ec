"""PodExecutor: attempts as Jobs of the cluster, which outlive the controller by themselves.

The Job is the record of an attempt: its name keeps a second one from being made, its annotations carry what a wiped
status is rebuilt from, why it was stopped, and how it ended. It stays until its BatchJob is gone. What runs is read
from a view that may be late; that something is over, or was never there, is only said after an exact look.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog

from controller.decisions.observed import Evidence, Observation
from controller.errors import HoldfastError, Transient, Waiting
from controller.executors.base import AttemptId, LaunchSpec, Usage
from controller.executors.pod import names
from controller.executors.pod.cluster import Cluster
from controller.executors.pod.collector import Collector
from controller.executors.pod.elsewhere import KeptElsewhere
from controller.executors.pod.ends import to_note
from controller.executors.pod.looks import Looks, Owner, attempt_of, proved
from controller.executors.pod.maker import Maker
from controller.executors.pod.manifest import NEVER, annotated, ended_patch
from controller.executors.pod.place import OutputPlace
from controller.executors.pod.reading import OVER
from controller.executors.pod.seen import Seen, signature
from controller.files.remote_calls import apart

GRACE_SECONDS = 30.0  # of an attempt that is stopped for what it printed
STOP_AGAIN_SECONDS = 5.0

_log = structlog.get_logger("controller.pods")


class PodExecutor:
    """Implements `controller.executors.base.Executor` for a cluster.

    Args:
        cluster: the API server; its view has been filled.
        place: where output is kept.
        owner: namespace and name of the BatchJob with a uid, None where it is not known.
        remove_pods: Pods go once their output is kept; otherwise they stay as long as their Job, for `kubectl logs`.
    """

    def __init__(self, cluster: Cluster, place: OutputPlace, owner: Owner, *, remove_pods: bool) -> None:
        self._cluster = cluster
        self._place = place
        self._looks = Looks(cluster, place, owner)
        self._maker = Maker(cluster, self._looks, owner)
        self._remove_pods = remove_pods
        self._collector = Collector(cluster, place, self._printed_too_much)
        self._archive = KeptElsewhere(place, self._wake)
        self._wakes: list[Callable[[AttemptId], None]] = []
        self._told: dict[AttemptId, object] = {}
        self._stops: set[asyncio.Task[None]] = set()
        cluster.subscribe(self._changed)

    def subscribe(self, wake: Callable[[AttemptId], None]) -> None:
        """`wake` is called when what is told of an attempt's Job or Pod changed."""
        self._wakes.append(wake)

    def reattach(self) -> None:
        """After a start: go on taking over the output of what runs."""
        for attempt in self._looks.listed():
            self._follow(self._looks.known(attempt))

    async def close(self) -> None:
        """Stop following; Jobs go on."""
        for task in self._stops:
            task.cancel()
        await asyncio.gather(*self._stops, return_exceptions=True)
        await self._archive.close()
        await self._collector.close()

    async def observe(self, attempt: AttemptId) -> Observation:
        """Look at one attempt; what cannot be read is UNKNOWN with a message."""
        return await self._looks.observe(attempt)

    async def annotations(self, attempt: AttemptId) -> Mapping[str, str] | None:
        """What the attempt's LaunchSpec carried; None where there is no readable record of it."""
        return await self._looks.annotations(attempt)

    # --- act

    async def launch(self, spec: LaunchSpec) -> None:
        """Make the Job unless it was made or voided before.

        Raises:
            Terminal: the manifest is refused, or its name belongs to somebody else.
            Waiting: a quota or a right is missing.
            Transient: it may start when tried again.
        """
        await self._maker.launch(spec)

    async def stop(self, attempt: AttemptId, reason: str, grace_seconds: float) -> None:
        """Write down that it is stopped, then TERM, grace, KILL; nothing to do without a Job and a Pod.

        A Pod that began is deleted by us, so that the grace period is the one asked for, and stays until the job
        controller has counted it: then its Job has failed. Before that the Job itself is told to make none.

        Raises:
            Transient, Waiting: the API server could not take it.
        """
        seen = await self._looks.look(attempt)
        job = seen.job
        if job is not None and job.stopped is None and not job.finished:
            held = job.suspended and job.voided is None
            note = {"reason": "Preempted" if held else reason, "at": datetime.now(UTC).isoformat()}
            began = any(pod.began and not pod.over for pod in seen.pods)
            patch = annotated if began else ended_patch
            await self._cluster.patch_job(job.namespace, job.name, job.uid, patch(names.STOPPED, note))
        for pod in seen.pods:
            if not pod.over:
                await self._cluster.delete_pod(pod.namespace, pod.name, pod.uid, math.ceil(grace_seconds))

    async def void(self, attempt: AttemptId, message: str) -> bool:
        """Make sure that an attempt that is not proved started never starts; False where it may have started.

        Raises:
            Transient, Waiting: the API server could not take it.
        """
        return await self._maker.void(attempt, message)

    async def usage(self, attempt: AttemptId) -> Usage:
        """Its Pods that run; what they take is the node's to tell."""
        return Usage(sum(pod.began and not pod.over for pod in self._looks.known(attempt).pods), 0)

    async def disk_bytes(self, attempt: AttemptId) -> int:
        """What its output takes on this host."""
        return self._place.size(attempt)

    async def fence(self, attempt: AttemptId, message: str) -> None:
        """Write it on the Pod: what publishes reads it when it begins. Raises Transient, Waiting."""
        for pod in (await self._looks.look(attempt)).pods:
            if pod.publishes and not (pod.over or pod.fenced):
                note = {"metadata": {"annotations": {names.FENCED: message}}}
                await self._cluster.patch_pod(pod.namespace, pod.name, pod.uid, note)

    async def ensure_supervised(self, attempt: AttemptId) -> bool:
        """Nothing to do: the kubelet supervises."""
        return False

    async def release(self, attempt: AttemptId, keep_record: bool) -> None:
        """Keep the output, then let the Pod go; without `keep_record` the Job and the output go too.

        Raises:
            Waiting: a Pod of it is or may be alive.
            Transient: the output could not be kept, or the API server could not take it.
        """
        seen = await self._looks.look(attempt)
        found = proved(seen)
        if found.evidence not in OVER or found.processes_left:
            raise Waiting("PodAlive", f"a Pod of {attempt} is or may be alive", 5.0)
        if not keep_record:
            await self._remove(seen)
            return
        if seen.job is None:
            return
        if not (seen.job.finished or seen.job.suspended):
            await self._cluster.patch_job(seen.job.namespace, seen.job.name, seen.job.uid, {"spec": NEVER})
        if found.evidence is not Evidence.NEVER_STARTED:
            await self._keep_output(seen)
        await self._record_end(seen, found)
        for pod in seen.pods if self._remove_pods else ():
            await self._cluster.delete_pod(pod.namespace, pod.name, pod.uid)

    async def _keep_output(self, seen: Seen) -> None:
        """A kubelet has nothing of a command that never began, or that it does not know any more."""
        printed = next((pod for pod in seen.pods if pod.began), None)
        if printed is None and seen.pods:
            await self._collector.leave(seen.attempt)
        await self._collector.finish(seen.attempt, printed, seen.job.output_bytes if seen.job is not None else None)

    async def _record_end(self, seen: Seen, found: Observation) -> None:
        """A success that published nothing needs no record beside its Job's condition; what was voided has one."""
        job, end, published = seen.job, found.exit, found.publication
        if job is None or end is None or job.ended is not None or not seen.pods:
            return
        if job.complete is not None and (published is None or not published.commit):
            return
        note = to_note(end, found.started_at, found.evidence is Evidence.NEVER_STARTED, published)
        await self._cluster.patch_job(job.namespace, job.name, job.uid, annotated(names.ENDED, note))

    async def _remove(self, seen: Seen) -> None:
        if seen.job is not None:
            await self._cluster.delete_job(seen.job.namespace, seen.job.name, seen.job.uid)
        await self._collector.forget(seen.attempt)
        self._looks.refused.pop(seen.attempt, None)
        self._told.pop(seen.attempt, None)
        try:
            await (apart if self._place.elsewhere else asyncio.to_thread)(self._place.remove, seen.attempt)
        except OSError as error:
            raise Transient("OutputNotRemoved", str(error)) from error
        self._archive.forget(seen.attempt)

    # --- what there is

    async def list_attempts(self) -> list[AttemptId]:
        """All attempts with a Job, a Pod or kept output; raises Transient.

        What is kept on another machine that does not answer is not among them: it wakes us once it was read.
        """
        try:
            kept = await asyncio.to_thread(self._place.attempts_here)
        except OSError as error:
            raise Transient("OutputUnreadable", str(error)) from error
        return sorted({*self._looks.listed(), *kept, *await self._archive.attempts()}, key=str)

    async def unreleased(self) -> list[AttemptId]:
        """Attempts that run, and ended ones whose output or Pod `release` has not dealt with yet."""
        return [attempt for attempt in self._looks.listed() if await self._is_unreleased(self._looks.known(attempt))]

    async def _is_unreleased(self, seen: Seen) -> bool:
        if seen.job is None or proved(seen).evidence not in OVER:
            return True
        if self._remove_pods or any(not pod.over for pod in seen.pods):
            return bool(seen.pods)
        return bool(seen.pods) and seen.job.ended is None and seen.job.complete is None

    async def foreign_entries(self) -> list[str]:
        """None: Jobs without our label are not looked at."""
        return []

    async def quarantine(self, name: str, asked: str = "") -> str | None:
        """Nothing is set aside: an object of the cluster is not damaged."""
        return None

    def place(self, name: str) -> str:
        """Where an attempt is found, for people."""
        return f"Job with label {names.ATTEMPT_LABEL}={name}"

    async def clean_leftovers(self, older_than_seconds: float = 600) -> list[str]:
        """A crash leaves nothing half-made: a Job is there or not."""
        return []

    # --- inside

    def _changed(self, value: str) -> None:
        attempt = attempt_of(value)
        if attempt is None:
            return
        seen = self._looks.known(attempt)
        self._follow(seen)
        now = signature(seen)
        if self._told.get(attempt) == now:
            return
        self._told[attempt] = now
        self._wake(attempt)

    def _wake(self, attempt: AttemptId) -> None:
        for wake in self._wakes:
            wake(attempt)

    def _follow(self, seen: Seen) -> None:
        running = next((pod for pod in seen.pods if pod.began and not pod.over), None)
        if running is not None:
            self._collector.follow(seen.attempt, running, seen.job.output_bytes if seen.job is not None else None)

    def _printed_too_much(self, attempt: AttemptId) -> None:
        task = asyncio.create_task(self._stop_printing(attempt), name=f"output limit {attempt}")
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)

    async def _stop_printing(self, attempt: AttemptId) -> None:
        while True:
            try:
                return await self.stop(attempt, "OutputLimit", GRACE_SECONDS)
            except HoldfastError as error:
                _log.warning("an attempt over its limit of output is not stopped yet", error=error.message)
                await asyncio.sleep(STOP_AGAIN_SECONDS)
