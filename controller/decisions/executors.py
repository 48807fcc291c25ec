"""Which executor a job's attempts go to, and what of its spec that one cannot do (requirement 4.1)."""

from __future__ import annotations

from controller.api.batchjob import BatchJob, BatchJobSpec, ExecutorName, OnLost
from controller.api.batchjob_status import BatchJobStatus
from controller.api.outside import QUEUE_LABEL
from controller.api.repository import RepositorySpec
from controller.decisions.inputs import Host
from controller.decisions.pod_push import cannot_publish

POD, PROCESS = ExecutorName.POD.value, ExecutorName.PROCESS.value


def chosen(spec: BatchJobSpec, host: Host) -> str:
    """Where the next attempt goes: what the spec names, else the controller's default."""
    return named(spec, host.default_executor)


def named(spec: BatchJobSpec, default: str) -> str:
    """The executor that the spec names, else `default`."""
    return spec.executor.value if spec.executor is not None else default


def outside_queue(job: BatchJob, executor: str) -> str:
    """Name of the queue that limits the next attempt of `job` in place of its JobQueue, "" where there is none (4.1).

    Kueue looks at the batch/v1 Job, whose labels are those of spec.pod.labels over those of the BatchJob.

    Args:
        executor: where that attempt goes; an outside queue knows Pods only.
    """
    if executor != POD:
        return ""
    labels = job.spec.pod.labels if job.spec.pod is not None else {}
    return labels.get(QUEUE_LABEL, job.metadata.labels.get(QUEUE_LABEL, ""))


def place(executor: str, host: Host) -> tuple[str, str]:
    """State directory and host to record with an attempt: none for a Pod, which belongs to the cluster."""
    return ("", "") if executor == POD else (host.state_id, host.name)


def recorded(status: BatchJobStatus, number: int) -> str | None:
    """Where attempt `number` was started, None where the status does not name it."""
    newest = (status.attempt,) if status.attempt is not None else ()
    return next((one.executor for one in (*newest, *status.history) if one.number == number), None)


def executor_of(job: BatchJob, number: int, host: Host) -> str:
    """Where attempt `number` of `job` is or would be."""
    return recorded(job.status, number) or chosen(job.spec, host)


def unsupported(spec: BatchJobSpec, host: Host) -> str | None:
    """What of `spec` cannot work in a Pod, as `field: reason and way out`; None where all of it can."""
    if (refused := cannot_publish(spec)) is not None:
        return refused
    if spec.repository is not None and not host.workspace_image:
        return "spec.repository: no image makes workspaces of Pods here; set HOLDFAST_WORKSPACE_IMAGE"
    if spec.on_lost is OnLost.RESUME and not keeps_work(spec):
        text = "what a Pod leaves goes with it, so there is nothing to resume"
        return f"spec.onLost: {text}; name a PersistentVolumeClaim in spec.pod.workspaceClaim, or use Restart"
    if spec.limits.open_files is not None:
        return "spec.limits.openFiles: Kubernetes has no such limit for a Pod; leave it out"
    return None


def keeps_work(spec: BatchJobSpec) -> bool:
    """Whether workspace and checkpoints of a Pod outlive it."""
    return spec.pod is not None and spec.pod.workspace_claim is not None


def not_in_pods(repository: RepositorySpec) -> tuple[str, str] | None:
    """(reason, message) of what of a Repository cannot work for jobs in Pods, None where all of it can."""
    if repository.prepare is None:
        return None
    text = "spec.prepare of the Repository: what it leaves is on the controller's host, where a Pod cannot get it"
    return "Unsupported", f"{text}; use a Repository without it, and let the job's command prepare"
