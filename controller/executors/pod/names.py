"""Names, labels and annotations of an attempt's Job: the only link between it and its BatchJob."""

from __future__ import annotations

from controller.api.outside import OUTSIDE_QUEUES, QUEUE_LABEL
from controller.executors.base import AttemptId

ATTEMPT_LABEL = "holdfast.dev/attempt"  # <job uid>.<number>, on the Job and its Pod
UID_LABEL, JOB_LABEL = "holdfast.dev/job-uid", "holdfast.dev/job"
MANAGED_BY = {"app.kubernetes.io/managed-by": "holdfast"}

CARRIED = "holdfast.dev/carried"  # JSON: LaunchSpec.annotations
STOPPED = "holdfast.dev/stopped"  # JSON: reason and time of a stop, written before the first signal
VOIDED = "holdfast.dev/voided"  # JSON: reason and message of what never starts
ENDED = "holdfast.dev/ended"  # JSON: how it ended, for when its Pod is gone
FENCED = "holdfast.dev/fenced"  # on the Pod: why what its command pushed must not be published any more
OUTPUT_BYTES = "holdfast.dev/output-bytes"  # spec.limits.outputBytes

QUEUE_LABELS = (QUEUE_LABEL, f"{OUTSIDE_QUEUES}priority-class")  # taken away from what must not start
CONTAINER = "main"

JOB_PART = 40  # characters of the job's name: the Job's name is a label of its Pod, which has at most 63


def job_name(job: str, attempt: AttemptId) -> str:
    """The Job of an attempt, for ever (design 7): 40 characters of the job's name, 8 of its uid, the number."""
    return f"{job[:JOB_PART].replace('.', '-').rstrip('-')}-{attempt.job_uid.replace('-', '')[:8]}-{attempt.number}"


def labels(job: str, attempt: AttemptId) -> dict[str, str]:
    """What Job and Pod are found by."""
    return {
        **MANAGED_BY,
        ATTEMPT_LABEL: str(attempt),
        UID_LABEL: attempt.job_uid,
        JOB_LABEL: job[:63].rstrip("-."),
    }
