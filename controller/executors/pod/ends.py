"""How a Pod that is over ended: exit code and reason, in the words that the process executor uses too."""

from __future__ import annotations

import json
from datetime import datetime

from controller.decisions.observed import Evidence, ExitRecord, Publication
from controller.executors.pod.published import publication_note, publication_of
from controller.executors.pod.views import NOT_BEGUN, JobView, Note, PodView, Terminated

# Reasons of the condition DisruptionTarget (KEP-3329): what took the Pod's place away.
DISRUPTED = {
    "PreemptionByScheduler": "Preempted",
    "DeletionByTaintManager": "NodeLost",
    "DeletionByPodGC": "NodeLost",
    "EvictionByEvictionAPI": "Evicted",
    "TerminationByKubelet": "Evicted",
}
# Of containerd (internal/cri/server, restart.go) when it is back and its container has no task any more: the code with
# that, 255, is its own, and what the command ended with is lost.
RUNTIME_FORGOT = "Unknown"
SHUTDOWN = frozenset({"NodeShutdown", "Shutdown", "Terminated"})  # status.reason of a Pod that a node's shutdown ended
FORGOTTEN = "it ended while its node's container runtime was away, which does not know how"
# What container runtimes say when a command cannot be started; the first text that is found counts.
START_FAILURES = (
    ("chdir to cwd", "BadWorkingDirectory"),
    ("mkdir", "BadWorkingDirectory"),
    ("no such file or directory", "CommandNotFound"),
    ("executable file not found", "CommandNotFound"),
    ("permission denied", "NotExecutable"),
    ("exec format error", "NotExecutable"),
    ("is a directory", "NotExecutable"),
    ("argument list too long", "ArgumentListTooLong"),
)


def end_of(job: JobView, pod: PodView, now: datetime) -> tuple[Evidence, ExitRecord]:
    """ENDED or NEVER_STARTED, and the record.

    Args:
        pod: it is over; or its last known state, which may not have been.
    """
    ended = pod.terminated
    at = (ended.finished_at if ended is not None else None) or _closed(job) or now
    code = ended.code if ended is not None and ended.reason not in (*NOT_BEGUN, RUNTIME_FORGOT) else None
    published = publication_of(pod)
    if published is not None and published.succeeded:  # whatever was asked for in its last moment
        return Evidence.ENDED, ExitRecord(0, None, "", "", at)
    last = at if published is None else _published_at(job, pod, now)
    note = job.stopped or job.voided
    if note is not None and _was_over(job, pod, last, note):
        note = None
    if code == 0 and note is None and job.complete is not None:
        return Evidence.ENDED, ExitRecord(0, None, "", "", at)
    if note is not None:
        return Evidence.ENDED, ExitRecord(code, None, note.reason, note.message, note.at or at if code is None else at)
    reason, message = _taken_away(pod)
    if reason:
        return Evidence.ENDED, ExitRecord(code, None, reason, message, at)
    if pod.setup is not None and not pod.began:
        return Evidence.NEVER_STARTED, ExitRecord(
            None, None, *_without_workspace(pod.setup), pod.setup.finished_at or at
        )
    if ended is not None and ended.reason in ("StartError", "ContainerCannotRun"):
        return Evidence.NEVER_STARTED, ExitRecord(None, None, _start_failure(ended), ended.message, at)
    if ended is None and not pod.began:  # refused by its kubelet: OutOfcpu, NodeAffinity, UnexpectedAdmissionError
        return Evidence.NEVER_STARTED, ExitRecord(None, None, "", f"{pod.reason}: {pod.message}", at)
    if ended is not None and ended.reason == RUNTIME_FORGOT:
        return Evidence.ENDED, ExitRecord(None, None, "ExitCodeUnknown", FORGOTTEN, at)
    if ended is not None and ended.reason == "OOMKilled":
        return Evidence.ENDED, ExitRecord(code, None, "OOMKilled", "it used more memory than its limit", at)
    return Evidence.ENDED, ExitRecord(code, None, "" if code is not None else "NodeLost", "", at)


def _was_over(job: JobView, pod: PodView, last: datetime, note: Note) -> bool:
    """Whether it had ended by itself when it was to be stopped: times of Pods are whole seconds of their node's clock,
    which may be behind ours, so they count only where the stop ended nothing."""
    ended_nothing = job.complete is not None or pod.gone_by is None
    return ended_nothing and note.at is not None and last < note.at.replace(microsecond=0)


def never_began(pod: PodView) -> bool:
    """Whether it is proved of a Pod that is over that its command was never let go.

    Where its node is lost that is not: its kubelet may have begun it and told nobody.
    """
    lost = pod.disrupted is not None and DISRUPTED.get(pod.disrupted.reason) == "NodeLost"
    if pod.began or pod.terminated is not None or lost or pod.reason == "NodeLost":
        return False
    return not pod.node or pod.waiting is not None


def _published_at(job: JobView, pod: PodView, now: datetime) -> datetime:
    """When the publication of a command that had succeeded was over."""
    ended = pod.publish_ended
    return (ended.finished_at if ended is not None else None) or _closed(job) or now


def _taken_away(pod: PodView) -> tuple[str, str]:
    """Why something else than the command ended it; empty where nothing did."""
    if pod.reason == "DeadlineExceeded":
        publishing = " while what it pushed was published" if publication_of(pod) is not None else ""
        return "DeadlineExceeded", f"it ran for longer than spec.deadline{publishing}"
    if pod.reason in SHUTDOWN:
        return "NodeShutdown", pod.message or f"node {pod.node} was shut down"
    if pod.disrupted is not None:
        return DISRUPTED.get(pod.disrupted.reason, "Disrupted"), pod.disrupted.message
    if pod.reason == "Evicted":  # without a disruption: for what it used itself
        return "StorageLimitExceeded", pod.message
    if pod.reason == "NodeLost":
        return "NodeLost", pod.message
    if pod.gone_by is not None:
        return "PodDeleted", f"Pod {pod.name} was deleted"
    return "", ""


def _without_workspace(ended: Terminated) -> tuple[str, str]:
    """Why there is no workspace: what its container said, else how that ended."""
    try:
        said = json.loads(ended.message)
        return str(said["reason"])[:128], str(said["message"])
    except (ValueError, TypeError, KeyError):
        pass
    if ended.reason == "OOMKilled":
        return "WorkspaceFailed", "making the workspace took more memory than the limit of the Pod"
    text = f"making the workspace ended with exit code {ended.code}: {ended.reason} {ended.message[:500]}".rstrip()
    return "WorkspaceFailed", text


def _start_failure(ended: Terminated) -> str:
    return next((reason for text, reason in START_FAILURES if text in ended.message), "StartFailed")


def _closed(job: JobView) -> datetime | None:
    closed = job.complete or job.failed
    return closed.at if closed is not None else None


def recorded_end(note: Note, now: datetime) -> ExitRecord:
    """The end that was written into the Job before its Pod was removed."""
    return ExitRecord(note.code, None, note.reason, note.message, note.at or now)


def to_note(
    record: ExitRecord, started_at: datetime | None, never_started: bool, published: Publication | None
) -> dict[str, object]:
    """The inverse, as JSON."""
    return {
        "code": record.code,
        "reason": record.reason,
        "message": record.message,
        "at": record.finished_at.isoformat(),
        "startedAt": started_at.isoformat() if started_at is not None else None,
        "neverStarted": never_started,
        "publication": publication_note(published),
    }
