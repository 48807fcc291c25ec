"""The account of one start: what the first passes found and did, for the RecoveryReport and its metrics (7.1).

Counts are complete, names are the first few of each. Nothing is decided from it: losing it with the process loses a
report, never a job. One event loop, no locks. Who finds something notes it here once, whenever it is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import BatchJobStatus
from controller.decisions.observed import Observation
from controller.decisions.recovery import outcomes
from controller.decisions.restore import came_back_suspended
from controller.telemetry import recovery_metrics

NAMES = 20  # of each outcome that a report lists
RESTORED = "restored"
OUTCOMES = tuple(each for each in recovery_metrics.OUTCOMES if each != "orphaned")  # those are counted by sort
ORPHANED = "orphaned:"  # followed by the sort, one of controller.telemetry.metrics.ORPHANS


@dataclass(slots=True)
class Tally:
    """One outcome: how many, and who came first."""

    count: int = 0
    names: list[str] = field(default_factory=list)


class RecoveryAccount:
    """See the module."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {outcome: Tally() for outcome in OUTCOMES}
        self._changed: Callable[[], None] = lambda: None
        self._awaited: set[str] = set()  # uids of jobs that held a slot, of whose attempt it is not known what became
        self._closed = False
        self._restored: set[str] = set()  # uids
        self.memory_bytes = 0
        self.disk_bytes = 0

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have `changed` called after each note; it must be quick and raise nothing."""
        self._changed = changed

    def await_attempts(self, uids: Iterable[str]) -> None:
        """These jobs held a slot when the controller started."""
        self._awaited.update(uids)

    def looked_at(self, job: BatchJob, decided: BatchJobStatus, found: Observation | None) -> None:
        """Note what became of the attempt of a job that held a slot at the start, once it is known."""
        if job.metadata.uid not in self._awaited:
            return
        became = outcomes(job.status, decided, found)
        for outcome in became:
            self.note(outcome, f"{job.metadata.namespace}/{job.metadata.name}")
        if became:
            self._awaited.discard(job.metadata.uid)

    def restored(self, job: BatchJob) -> None:
        """Note a job that a restore left suspended: once, also after the start, as a restore may run at any time."""
        if came_back_suspended(job) and job.metadata.uid not in self._restored:
            self._restored.add(job.metadata.uid)
            self._count(RESTORED, f"{job.metadata.namespace}/{job.metadata.name}")

    def close(self) -> None:
        """The start is over: what is found from now on belongs to the daily work."""
        self._closed = True
        self._awaited.clear()

    def note(self, outcome: str, name: str) -> None:
        """Count one more.

        Args:
            outcome: of OUTCOMES, or `orphaned:` and the sort, such as orphaned:process.
            name: what a person would look for: `namespace/name` of an object, the name of a directory, a path.

        Raises:
            ValueError: there is no such outcome.
        """
        if outcome not in self._tallies and not outcome.startswith(ORPHANED):
            raise ValueError(f"not an outcome of a recovery: {outcome!r}")
        if not self._closed:
            self._count(outcome, name)

    def _count(self, outcome: str, name: str) -> None:
        tally = self._tallies.setdefault(outcome, Tally())
        tally.count += 1
        if len(tally.names) < NAMES:
            tally.names.append(name)
        self._changed()

    def reclaimed(self, *, memory_bytes: int = 0, disk_bytes: int = 0) -> None:
        """What ending orphans gave back; adds up."""
        if self._closed:
            return
        self.memory_bytes += memory_bytes
        self.disk_bytes += disk_bytes
        self._changed()

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """By outcome; every one of OUTCOMES is there."""
        return self._tallies

    def count(self, outcome: str) -> int:
        """How many of an outcome; `orphaned` is all sorts together."""
        if outcome == ORPHANED.rstrip(":"):
            return sum(tally.count for name, tally in self._tallies.items() if name.startswith(ORPHANED))
        return self._tallies[outcome].count if outcome in self._tallies else 0
