"""Jobs and looks of the tests of Resume: an attempt that was lost, and one that goes on from another."""

from __future__ import annotations

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState
from controller.decisions.inputs import Host, Left, LeftState, Observed
from controller.decisions.job import decide
from controller.decisions.plan import Plan
from tests.unit.builders import HOST, NOW, JobBuilder, job, seen

THERE, LOST_TOO = Left(LeftState.THERE), Left(LeftState.GONE, "its workspace is gone (/x)")
UNREAD = Left(LeftState.UNKNOWN, "/x: Input/output error")


def after(declared: BatchJob, look: Observed, host: Host = HOST) -> tuple[BatchJob, Plan]:
    """The job once the plan is recorded, and the plan."""
    plan = decide(declared, look, host, NOW)
    return declared.model_copy(update={"status": plan.status}), plan


def granted(number: int = 1, **more: object) -> Observed:
    """The job has a slot, and run directories up to `number`."""
    return seen(known=tuple(range(1, number + 1)), granted=True, **more)


def lost(policy: str = "Resume") -> JobBuilder:
    """Attempt 1 is lost, the next one is to go on from it."""
    return job().over(AttemptState.LOST).on_lost(policy).queued("Lost").with_status(resumeFrom=1, losses=1)


def resuming(
    state: AttemptState = AttemptState.STARTING, number: int = 3, source: int = 2, origin: int = 1
) -> BatchJob:
    """Attempt `number` goes on from `source`, in what `origin` began."""
    builder = job().on_lost("Resume").starting(number)
    attempt = builder.status["attempt"] | {"state": state, "resumedFrom": source, "origin": origin}
    return builder.with_status(attempt=attempt).build()
