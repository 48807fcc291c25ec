"""Builders of Repositories, JobBatches and what was read about their operations; nothing here decides anything."""

from __future__ import annotations

from typing import Any

from controller.api.jobbatch import JobBatch
from controller.api.repository import Operation, OperationState, Repository, RepositoryStatus
from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.decisions.operation import Run
from tests.unit.builders import START, at

COMMIT = "a" * 40


def repository(status: RepositoryStatus | None = None, generation: int = 1, **spec: Any) -> Repository:
    """One Repository: fetched every 5 min, 30 min per operation."""
    meta = {"name": "shop", "namespace": "default", "uid": "r", "resourceVersion": "5", "generation": generation}
    made = Repository.model_validate({"metadata": meta, "spec": {"url": "https://example.org/shop.git"} | spec})
    status = status or RepositoryStatus(observed_generation=generation)
    return made.model_copy(update={"status": status})


def operation(
    number: int, kind: str, state: str = "Succeeded", start: float = 0, end: float = 10, **more: Any
) -> Operation:
    """One operation; moments are seconds after START."""
    finished = None if state == "Starting" else at(end)
    return Operation.model_validate(
        {"number": number, "type": kind, "state": state, "startedAt": at(start), "finishedAt": finished} | more
    )


def status(*activities: Operation, **more: Any) -> RepositoryStatus:
    """A recorded status: the last activity is the newest operation unless one is given."""
    failures = 0
    for each in activities:
        failures = failures + 1 if each.state is OperationState.FAILED else 0
    known = {"activities": activities, "operation": activities[-1] if activities else None, "failures": failures}
    return RepositoryStatus(**({"observed_generation": 1} | known | more))


def ended(code: int | None = 0, reason: str = "", message: str = "", finish: float = 20, left: int = 0) -> Observation:
    """An operation with an exit record."""
    record = ExitRecord(code=code, signal=None, reason=reason, message=message, finished_at=at(finish))
    return Observation(Evidence.ENDED, exit=record, started_at=START, processes_left=left)


def run(found: Observation | Evidence | None = None, **more: Any) -> Run:
    """What was read about the newest operation; a run directory of number 1 unless said otherwise."""
    seen = Observation(found) if isinstance(found, Evidence) else found
    return Run(found=seen, **({"known": (1,) if found is not None else ()} | more))


def batch(recorded: Any = None, generation: int = 1, **prepare: Any) -> JobBatch:
    """One JobBatch with two repeats."""
    meta = {"name": "b", "namespace": "default", "uid": "b", "resourceVersion": "5", "generation": generation}
    spec = {"repository": "shop", "commit": COMMIT, "prepare": {"command": ["make"]} | prepare}
    made = JobBatch.model_validate({"metadata": meta, "spec": spec})
    return made if recorded is None else made.model_copy(update={"status": recorded})
