"""What Job and Pods prove about an attempt (design 7). Pure: given what was read, and the moment.

An attempt is over only where its Job has a terminal condition, or was stopped, voided or deleted by us or by others,
and no Pod of it is left that is not over: Kubernetes itself makes no second Pod then. A Pod that was deleted and does
not go proves nothing: its node may be cut off, and the command may run there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from controller.decisions.executors import POD
from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.executors.pod.ends import end_of, never_began, recorded_end
from controller.executors.pod.pending import pending
from controller.executors.pod.published import UNASKED, publication_of
from controller.executors.pod.views import JobView, PodView

OVERDUE = timedelta(seconds=30)  # after the grace period of a deleted Pod: its kubelet does not answer

OVER = frozenset({Evidence.ENDED, Evidence.GONE, Evidence.NEVER_STARTED, Evidence.ABSENT})


def read(job: JobView | None, pods: Sequence[PodView], now: datetime, last: PodView | None = None) -> Observation:
    """What is proved about the attempt that they belong to.

    Args:
        last: the last state of a Pod of it that was deleted.
    """
    left = [pod for pod in pods if not pod.over]
    if left:
        return _with_pod(job, left[0], now)
    over = next((pod for pod in pods if pod.over), None) or (last if last is not None and last.began else None)
    if job is None:
        return Observation(Evidence.ABSENT, executor=POD)
    if job.voided is not None and (over is None or not over.began):
        return _ended(Evidence.NEVER_STARTED, _record(job.voided.reason, job.voided.message, job.voided.at or now))
    if job.ended is not None and (over is None or job.finished):
        found = recorded_end(job.ended, now)
        return _ended(Evidence.NEVER_STARTED if job.ended.never_started else Evidence.ENDED, found, job, over)
    if job.finished or job.stopped is not None or job.voided is not None:
        return _without_pod(job, over, now)
    if job.deleting:
        return Observation(Evidence.GONE, message="its Job is being deleted", executor=POD, supervised=True)
    if over is not None and over.began and job.suspended:
        text = "an outside queue took its place away: its Job is suspended, and must not go on"
        return Observation(Evidence.GONE, message=text, processes_left=1, supervised=True, executor=POD)
    if over is not None:
        text = "the command is over; its Job is not closed yet"
        return Observation(
            Evidence.ALIVE,
            started_at=_started(job, over),
            supervised=True,
            message=text,
            executor=POD,
            publication=publication_of(over),
        )
    return pending(job, None)


def _with_pod(job: JobView | None, pod: PodView, now: datetime) -> Observation:
    """A Pod of it may run."""
    if pod.gone_by is not None and now > pod.gone_by + OVERDUE:
        text = (
            f"Pod {pod.name} was deleted and should be gone since {pod.gone_by:%H:%M:%S} UTC, but node {pod.node} does "
            "not confirm it; if the node is gone for good, delete it or taint it out-of-service"
        )
        return Observation(Evidence.UNKNOWN, message=text, executor=POD, supervised=True)
    deleted = pod.gone_by is not None  # our note on the Job alone ends nothing: a crash may have come after it
    ends = job is None or job.stopped is not None or job.deleting or (job.finished and deleted)
    if pod.began or ends or job is None:
        return Observation(
            Evidence.ALIVE,
            started_at=pod.running_since or (pod.terminated.started_at if pod.terminated else None),
            stop_requested=deleted or (job is not None and job.deleting),
            supervised=True,
            host=pod.node,
            executor=POD,
            publication=publication_of(pod),
            fenced=pod.fenced,
        )
    # Also where it is being deleted: an outside queue that takes a place away deletes a Pod that had not begun.
    return pending(job, pod)


def _without_pod(job: JobView, pod: PodView | None, now: datetime) -> Observation:
    """It is over; a Pod that is over tells how, unless it was never seen."""
    if pod is not None:
        evidence, record = end_of(job, pod, now)
        return _ended(evidence, record, job, pod)
    if job.complete is not None:
        return _ended(Evidence.ENDED, ExitRecord(0, None, "", "", job.complete.at or now), job)
    note = job.stopped or job.voided
    if note is not None:
        text = note.message or "stopped; its exit code is not known"
        return _ended(Evidence.ENDED, _record(note.reason, text, note.at or now), job)
    why = job.failed.message if job.failed is not None else ""
    return Observation(Evidence.GONE, message=f"its Pod is gone: {why}".removesuffix(": "), executor=POD)


def _record(reason: str, message: str, at: datetime) -> ExitRecord:
    return ExitRecord(None, None, reason, message, at)


def _ended(
    evidence: Evidence, record: ExitRecord, job: JobView | None = None, pod: PodView | None = None
) -> Observation:
    started = None if evidence is Evidence.NEVER_STARTED else _started(job, pod)
    host = pod.node if pod is not None else ""
    begun = pod is None or not never_began(pod)
    published = publication_of(pod) if pod is not None else None
    if published is None and job is not None and job.ended is not None:
        published = job.ended.publication
    elif published is None and pod is None and job is not None and job.complete is not None and job.publishes:
        published = UNASKED
    told = Observation(evidence, record, started, supervised=True, host=host, executor=POD, publication=published)
    return told if begun else replace(told, began=False, started_at=None)


def _started(job: JobView | None, pod: PodView | None) -> datetime | None:
    if pod is not None and pod.terminated is not None and pod.terminated.started_at is not None:
        return pod.terminated.started_at
    if job is not None and job.ended is not None:
        return job.ended.started_at
    return job.started_at if job is not None else None
