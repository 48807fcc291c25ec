"""From a declared job to what an executor needs to run one attempt of it."""

from __future__ import annotations

from collections.abc import Mapping

from controller.api.batchjob import BatchJob
from controller.api.outside import OUTSIDE_QUEUES, QUEUE_LABEL
from controller.api.units import duration_seconds, quantity_value
from controller.decisions import status as step
from controller.decisions.executors import POD, executor_of
from controller.decisions.inputs import Host
from controller.decisions.job import counters
from controller.executors.base import AttemptId, LaunchSpec, Limits, PodClaim, PodRequest
from controller.reconcile.environment import Environment


def launch_spec(job: BatchJob, attempt: AttemptId, environment: Environment, host: Host) -> LaunchSpec:
    """All that the executor needs for `attempt` of `job`.

    The annotations name the owner and carry the counters, so that a wiped status can be rebuilt and an ownerless run
    directory can be told from one whose job is merely not listed.
    """
    owner = {"namespace": job.metadata.namespace, "name": job.metadata.name, "queue": job.spec.queue}
    if outside := _outside_queue(job):
        owner["outsideQueue"] = outside
    return LaunchSpec(
        attempt=attempt,
        namespace=job.metadata.namespace,
        job=job.metadata.name,
        argv=command_of(job),
        env=environment.plain,
        secret_env=environment.secret,
        working_dir=job.spec.working_dir,
        limits=limits(job),
        annotations=owner | counters(job.status),
        pod=_pod(job, attempt) if executor_of(job, attempt.number, host) == POD else None,
    )


def command_of(job: BatchJob) -> tuple[str, ...]:
    """What the active attempt runs: spec.resumeCommand where it goes on from a lost one, else command and args."""
    active = step.active(job.status)
    if active is not None and active.resumed_from is not None and job.spec.resume_command is not None:
        return job.spec.resume_command
    return (*job.spec.command, *job.spec.args)


def _pod(job: BatchJob, attempt: AttemptId) -> PodRequest | None:
    """None where the job names no image, which was refused before."""
    if job.spec.pod is None:
        return None
    labels = {name: value for name, value in job.metadata.labels.items() if name.startswith(OUTSIDE_QUEUES)}
    own, queue = job.spec.pod.labels, _outside_queue(job)
    use = job.spec.pod.model_copy(update={"labels": _in_queue(own, queue) if QUEUE_LABEL in own else own})
    return PodRequest(use, job.spec.env, job.spec.env_from, _in_queue(labels, queue), claim=_claim(job, attempt))


def _outside_queue(job: BatchJob) -> str:
    """As it is recorded: labels may have changed since, and what holds no slot must not run without any limit."""
    newest = job.status.attempt
    return newest.outside_queue if newest is not None else ""


def _in_queue(labels: Mapping[str, str], queue: str) -> dict[str, str]:
    others = {name: value for name, value in labels.items() if name != QUEUE_LABEL}
    return others | ({QUEUE_LABEL: queue} if queue else {})


def _claim(job: BatchJob, attempt: AttemptId) -> PodClaim | None:
    """Where the attempt's work is kept beyond its Pod; the path follows from the uid and the origin alone."""
    if job.spec.pod is None or job.spec.pod.workspace_claim is None:
        return None
    active = step.active(job.status)
    origin = step.origin(active) if active is not None and active.number == attempt.number else attempt.number
    return PodClaim(job.spec.pod.workspace_claim, f"holdfast/{attempt.job_uid}.{origin}")


def limits(job: BatchJob) -> Limits:
    """spec.limits, spec.deadline and spec.gracePeriod in bytes, cores and seconds."""
    declared = job.spec.limits
    return Limits(
        memory_bytes=int(quantity_value(declared.memory)) if declared.memory else None,
        cpu=float(quantity_value(declared.cpu)) if declared.cpu else None,
        open_files=declared.open_files,
        output_bytes=int(quantity_value(declared.output_bytes)),
        deadline_seconds=duration_seconds(job.spec.deadline) if job.spec.deadline else None,
        grace_seconds=duration_seconds(job.spec.grace_period),
    )
