"""What is done for one job, action by action (design 1, act). Whether and when is decided in `decisions/`."""

from __future__ import annotations

from controller.api.batchjob import BatchJob
from controller.decisions import status as step
from controller.decisions.executors import POD, chosen
from controller.decisions.plan import (
    Action,
    Delete,
    Fence,
    Launch,
    MakeWorkspace,
    Publish,
    Release,
    Stop,
    StopPublishing,
    Supervise,
    Void,
)
from controller.errors import Terminal
from controller.executors.base import AttemptId
from controller.kube.events import Reference
from controller.reconcile.environment import Environment, resolve
from controller.reconcile.job_repositories import JobRepositories
from controller.reconcile.launch import launch_spec
from controller.reconcile.parts import Parts
from controller.reconcile.resumption import Resumption


class JobActions:
    """Called by the reconciler of jobs, with the job's key held."""

    def __init__(self, parts: Parts, repositories: JobRepositories, resumption: Resumption) -> None:
        self._parts = parts
        self._repositories = repositories
        self._resumption = resumption

    async def environment(self, job: BatchJob) -> Environment:
        """What the job names; nothing for a Pod, which refers to it: values of Secrets are not read for that one.

        Raises:
            Waiting: an object that it names is not there.
        """
        newest = step.active(job.status)
        where = newest.executor if newest is not None else chosen(job.spec, self._parts.host)
        return Environment() if where == POD else await resolve(self._parts.api, job)

    async def do(self, job: BatchJob, action: Action, environment: Environment | None) -> None:
        """Carry out one action.

        Args:
            environment: of the command, where it was resolved already.

        Raises:
            HoldfastError: as its reaction says.
        """
        parts, uid = self._parts, job.metadata.uid
        match action:
            case Launch(number):
                attempt = AttemptId(uid, number)
                await self._launch(job, attempt, environment or await self.environment(job))
            case Stop(number, reason, grace):
                await parts.executor.stop(AttemptId(uid, number), reason, grace)
            case Void(number, message):
                parts.index.add(AttemptId(uid, number))
                await parts.executor.void(AttemptId(uid, number), message)
            case Supervise(number):
                await parts.executor.ensure_supervised(AttemptId(uid, number))
            case Release(number, keep_record):
                await parts.executor.release(AttemptId(uid, number), keep_record)
                await self._resumption.release(job, number)
                if job.spec.repository is not None:
                    await self._repositories.release(job, number)
            case MakeWorkspace(number):
                await self._repositories.make_workspace(job, number)
            case Publish(number):
                await self._repositories.publish(job, number)
            case StopPublishing(number):
                await self._repositories.stop_publishing(job, number)
            case Fence(number, message):
                await parts.executor.fence(AttemptId(uid, number), message)
            case Delete():
                await parts.api.delete(*job.key, uid)

    async def _launch(self, job: BatchJob, attempt: AttemptId, environment: Environment) -> None:
        parts = self._parts
        if environment.skipped:
            text = f"keys that are no names of variables were skipped: {', '.join(environment.skipped)}"
            parts.events.record(Reference.to(job), "Warning", "EnvironmentSkipped", text)
        parts.index.add(attempt)
        result = "transient"
        try:
            with parts.metrics.launch_seconds.time():
                spec = launch_spec(job, attempt, environment, parts.host)
                spec = await self._resumption.complete(self._repositories.complete(spec, job), job)
                await parts.executor.launch(spec)
            result = "ok"
        except Terminal:
            result = "terminal"
            raise
        finally:
            parts.metrics.launches.labels(result).inc()
            if parts.scheduler.owner(attempt.job_uid) is None:  # deleted while it was launched
                parts.scheduler.orphaned(attempt, (job.metadata.namespace, job.spec.queue))
