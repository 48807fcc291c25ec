"""What a restored object is like (requirement 7.10). Pure: (archived object, what the machine shows) -> object, status.

Promises: what had finished stays finished; what had not comes back suspended, with its last attempt closed, so that
nothing starts before a person says so; where the run directory of that attempt proves its end, the daily decision says
what follows from it. Order, counters, deliveries and their ids stay; numbers of attempts are never reused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Attempt, AttemptState, BatchJobStatus, Phase
from controller.api.conditions import with_condition, within_bound
from controller.api.restored import CONDITION, REASON
from controller.decisions import job as daily
from controller.decisions import status as step
from controller.decisions.inputs import Host, Observed
from controller.decisions.observed import Evidence, Observation

Object = dict[str, Any]

ORDERED = ("BatchJob", "RepositoryLock")  # who waits in line


@dataclass(frozen=True, slots=True)
class Source:
    """The archive: its id, and when it was taken."""

    id: str
    taken_at: datetime

    @property
    def told(self) -> str:
        """For conditions."""
        return f"from archive {self.id} of {self.taken_at:%Y-%m-%d %H:%M} UTC"


def sequences(waiting: Iterable[tuple[int, str, str]]) -> Mapping[str, int]:
    """The new sequence of each, by uid: -n..-1 in the old order, in front of whatever is created later (design 4).

    Args:
        waiting: old sequence, creationTimestamp, uid.
    """
    ordered = [uid for _, _, uid in sorted(waiting)]
    return {uid: place - len(ordered) for place, uid in enumerate(ordered)}


def old_sequence(item: Object) -> int:
    """The place that an archived object had: recorded, or the version of one that nobody had looked at."""
    recorded = (item.get("status") or {}).get("sequence")
    return int(recorded if recorded is not None else item["metadata"].get("resourceVersion") or 0)


def job_status(
    job: BatchJob, uid: str, sequence: int, source: Source, found: Observation | None, host: Host, now: datetime
) -> BatchJobStatus:
    """The status of a restored job.

    Args:
        job: as archived.
        uid: its new one.
        sequence: its new one.
        found: what the run directory of its active attempt shows, None where there is none on this machine.
        host: this machine, as the controller on it sees it.
        now: wall clock, timezone-aware UTC.
    """
    meta = job.metadata.model_copy(update={"uid": uid, "generation": 1, "creation_timestamp": now})
    job = job.model_copy(update={"metadata": meta, "status": _renamed(job.status, uid, sequence)})
    if not step.finished(job.status):
        job = job.model_copy(update={"status": _followed(job, found, host, now)})
    ended = step.finished(job.status)
    status = job.status if ended else _suspended(job, source, now)
    text = source.told if ended else f"{source.told}: {known_of(job)}; {_way_on(job)}"
    conditions = with_condition(status.conditions, CONDITION, "True", "FromArchive", text, 1, now)
    return within_bound(status.model_copy(update={"conditions": conditions}))[0]


def known_of(job: BatchJob) -> str:
    """What an archive knows of a job that had not finished when it was taken."""
    active, phase = step.active(job.status), job.status.phase
    if active is not None:
        return f"attempt {active.number} was {active.state}, and whether it ended is not known"
    if phase is Phase.WAITING:
        return "it waited for a decision"
    return "a person had suspended it" if phase is Phase.SUSPENDED else f"it was {phase or 'new'}"


def _way_on(job: BatchJob) -> str:
    where = f"-n {job.metadata.namespace} {job.metadata.name}"
    if job.status.phase is Phase.WAITING:
        return f"`holdfast decide {where} restart`, then `holdfast resume {where}` let it go on"
    return f"`holdfast resume {where}` lets it go on"


def came_back_suspended(job: BatchJob) -> bool:
    """Whether a restore left `job` suspended, and nobody has let it go on since."""
    return job.status.phase is Phase.SUSPENDED and job.status.reason == REASON


def _renamed(status: BatchJobStatus, uid: str, sequence: int) -> BatchJobStatus:
    """Attempts are named after the uid; conditions were decided from a generation that is 1 again."""
    conditions = tuple(each.model_copy(update={"observed_generation": 1}) for each in status.conditions)
    update: dict[str, object] = {"sequence": sequence, "conditions": conditions}
    update["history"] = tuple(_attempt(each, uid) for each in status.history)
    if status.attempt is not None:
        update["attempt"] = _attempt(status.attempt, uid)
    if status.observed_generation is not None:
        update["observed_generation"] = 1
    return status.model_copy(update=update)


def _attempt(attempt: Attempt, uid: str) -> Attempt:
    return attempt.model_copy(update={"id": f"{uid}.{attempt.number}"})


def _followed(job: BatchJob, found: Observation | None, host: Host, now: datetime) -> BatchJobStatus:
    """What the daily decision makes of a proved end, with the callbacks that it entails; else as it was."""
    active = step.active(job.status)
    if active is None or found is None or found.evidence is not Evidence.ENDED or found.processes_left:
        return job.status
    if job.spec.repository is not None and job.spec.repository.push.rank > 0:
        return job.status  # whether its push arrived is not known here
    # Its exit record is here, so it was started here, whatever this directory is called now.
    ours = job.status.model_copy(update={"attempt": active.model_copy(update={"state_id": host.state_id})})
    seen = Observed(attempt=found, known=(active.number,), sequence=job.status.sequence)
    plan = daily.decide(job.model_copy(update={"status": ours}), seen, host, now)
    return plan.status if step.finished(plan.status) else job.status


def _suspended(job: BatchJob, source: Source, now: datetime) -> BatchJobStatus:
    status, active = job.status, step.active(job.status)
    if status.phase is Phase.WAITING and active is None:
        return status  # it waits for a person as it is
    if active is not None:
        text = f"it was {active.state} when the archive was taken; whether it ended is not known here"
        lost = {"state": AttemptState.LOST, "reason": "Restored", "message": text, "finished_at": source.taken_at}
        status = step.with_attempt(status, **lost)
    rows = [("Running", "False"), ("NeedsDecision", "False"), ("LockGranted", "False")]
    there = {each.type for each in status.conditions}
    for kind, _ in rows:
        if kind in there:
            status = step.mark(job, status, now, (kind, "False", "Restored", source.told))
    text = f"restored {source.told}: it starts when spec.suspend is false (holdfast resume)"
    status = step.mark(job, status, now, ("Admitted", "False", "Restored", text))
    update = {"phase": Phase.SUSPENDED, "reason": REASON, "queue_position": None, "estimated_start_time": None}
    return status.model_copy(update={**update, "retry_at": None})
