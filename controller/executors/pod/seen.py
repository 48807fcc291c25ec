"""One look at an attempt's Job and Pods, parsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from controller.executors.base import AttemptId
from controller.executors.pod.views import JobView, PodView, Told, job_view, pod_view

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """See the module.

    Args:
        last: the last state of a Pod that was deleted not long ago.
    """

    attempt: AttemptId
    job: JobView | None
    pods: tuple[PodView, ...]
    last: PodView | None = None

    @classmethod
    def of(cls, attempt: AttemptId, jobs: Sequence[Object], pods: Sequence[Object], last: Object | None = None) -> Seen:
        """Parse what was read; of several Jobs the one that its BatchJob owns counts."""
        views = [job_view(raw) for raw in jobs]
        own = next((view for view in views if _owned(view, attempt)), None)
        deleted = pod_view(last) if last is not None else None
        return cls(attempt, own, tuple(pod_view(raw) for raw in pods), deleted)


def _owned(view: JobView, attempt: AttemptId) -> bool:
    return view.attempt == str(attempt) and attempt.job_uid in view.owners


def signature(seen: Seen) -> object:
    """What a reconciler could decide otherwise about; a kubelet writes much else."""
    job = seen.job
    pods = [
        (
            *(pod.uid, pod.phase, pod.node, pod.gone_by, pod.unschedulable is None, _reason(pod.waiting), pod.began),
            *(pod.terminated, _reason(pod.publish_waits), pod.publish_ended),
        )
        for pod in seen.pods
    ]
    if job is None:
        return (None, pods)
    return (job.uid, job.deleting, job.suspended, job.complete, job.failed, job.stopped, job.voided, pods)


def _reason(waiting: Told | None) -> str:
    return waiting.reason if waiting is not None else ""
