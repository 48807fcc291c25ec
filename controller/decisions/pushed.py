"""Since when a mirror may lack what a Pod has published: its next fetch has to be later (requirement 5.5)."""

from __future__ import annotations

from datetime import datetime

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState
from controller.api.conditions import find
from controller.api.repository_use import Push
from controller.decisions.executors import POD
from controller.decisions.observed import COMMIT_UNKNOWN


def pushed_at(job: BatchJob) -> datetime | None:
    """When the end of an attempt was recorded that has, or may have, changed the remote from a Pod; None: none has."""
    newest, use = job.status.attempt, job.spec.repository
    if newest is None or use is None or newest.executor != POD or use.push is not Push.UPSTREAM:
        return None
    published = job.status.repository is not None and job.status.repository.published
    unsure = newest.state is AttemptState.LOST or (newest.exit_code == 0 and newest.state is not AttemptState.SUCCEEDED)
    told = {kind: find(job.status.conditions, kind) for kind in ("Running", "Published")}
    unknown = told["Published"] is not None and told["Published"].reason == COMMIT_UNKNOWN
    if not (newest.state.over and (published or unsure or unknown)):
        return None
    times = [job.status.finished_at, *(one.last_transition_time for one in told.values() if one is not None)]
    return max((at for at in times if at is not None), default=None)
