"""What a launch waits for, and whether that is for others to end (requirement 4.1)."""

from __future__ import annotations

from controller.decisions.executors import POD
from controller.decisions.observed import Evidence, Observation
from controller.executors.pod.views import JobView, PodView

IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"})
# Waits that need nothing but time.
QUIET = frozenset({"", "ContainerCreating", "PodInitializing"})


def pending(job: JobView, pod: PodView | None, why_no_pod: str = "") -> Observation:
    """LAUNCHING, with the reason where there is one.

    Args:
        pod: None where there is none yet.
        why_no_pod: what the job controller says about that.
    """
    reason, message, held = _reason(job, pod, why_no_pod)
    host = pod.node if pod is not None else ""
    return Observation(
        Evidence.LAUNCHING,
        supervised=True,
        message=message,
        pending=reason,
        held=held,
        host=host,
        executor=POD,
    )


def _reason(job: JobView, pod: PodView | None, why_no_pod: str) -> tuple[str, str, bool]:
    if job.suspended:
        return "Suspended", f"Job {job.name} is held back by an outside queue (spec.suspend)", True
    if pod is None:
        if not why_no_pod:
            return "", "", True
        return ("QuotaExceeded" if "exceeded quota" in why_no_pod else "PodNotCreated"), why_no_pod, True
    if pod.unschedulable is not None:
        return pod.unschedulable.reason or "Unschedulable", pod.unschedulable.message, True
    waiting = pod.waiting
    if waiting is None or waiting.reason in QUIET:
        return "", "", True
    text = f"{waiting.reason}: {waiting.message}".removesuffix(": ")
    if waiting.reason in IMAGE:
        return "ImagePull", text, False
    if waiting.reason == "CreateContainerConfigError" and "not found" in waiting.message:
        return "EnvironmentNotFound", text, True  # a ConfigMap or Secret may still come, as on a host
    return waiting.reason, text, False
