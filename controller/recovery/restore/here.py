"""What this machine still has of the attempts of an archive: their run directories, and what follows from them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from controller.api.batchjob import BatchJob
from controller.decisions import status as step
from controller.decisions.inputs import Host
from controller.decisions.observed import Observation
from controller.decisions.restore import Source, job_status, known_of
from controller.executors.process.observe import look
from controller.executors.process.rundir import RunDir, is_attempt_name
from controller.recovery.restore import rules

Object = dict[str, Any]


class Here:
    """See the module.

    Args:
        runs: directory of run directories on this machine.
        host: this machine, as the controller on it sees it.
        source: the archive.
    """

    def __init__(self, runs: Path, host: Host, source: Source) -> None:
        self._runs = runs
        self._host = host
        self._source = source

    def attempt(self, item: Object) -> tuple[str | None, Observation | None]:
        """The active attempt of a job and what its run directory shows, where that is on this machine."""
        name = rules.active_attempt(item)
        if name is None or not is_attempt_name(name) or not (self._runs / name).is_dir():
            return None, None
        return name, look(RunDir.of(str(self._runs), name), self._host.state_id).observation

    def becomes(self, item: Object, job: BatchJob) -> tuple[bool, str]:
        """What becomes of a job that had not finished, and what is known of it: nobody has to look it up.

        Returns:
            Whether its attempt has ended since, and a sentence about it; else it comes back suspended.
        """
        active = rules.active_attempt(item)
        found = self.attempt(item)[1] if active is not None else None
        if active is None or found is None:
            return False, known_of(job) + ("; its run directory is not here" if active is not None else "")
        uid, now = item["metadata"]["uid"], datetime.now(UTC)
        if step.finished(status := job_status(job, uid, 0, self._source, found, self._host, now)):
            return True, f"its attempt {active} has ended since: {status.phase}"
        return False, rules.shown(active, found)

    def status(self, item: Object, uid: str, sequence: int) -> Object:
        """The status that a job is given back under its new uid, as it is sent.

        Raises:
            ValueError: the job in the archive is damaged.
        """
        job, found = BatchJob.model_validate(item), self.attempt(item)[1]
        return job_status(job, uid, sequence, self._source, found, self._host, datetime.now(UTC)).to_json()
