"""The books of the queues: who waits in which order, who holds a slot.

Derived from the store and the run directories, never written anywhere: losing them costs one pass over the store.
A change of an object moves its entry; a cycle reads only as many entries as it admits.
"""

from __future__ import annotations

import bisect
import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import Phase
from controller.api.jobqueue import JobQueue
from controller.decisions.admission import QueueName, QueueView
from controller.decisions.eta import typical_seconds, wait_seconds
from controller.decisions.order import Candidate
from controller.decisions.placement import Place

DEFAULT_QUEUE = "default"  # works without being made (design 3)
RECENT_RUNS = 50  # run times per queue that an estimate is made from


@dataclass(slots=True)
class Account:
    """One queue: its declaration, who waits, who holds a slot, how long jobs took lately."""

    declared: JobQueue | None = None
    waiting: list[Candidate] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_RUNS))

    def ahead_of(self, priority: int) -> list[Candidate]:
        """Those that wait with a higher priority."""
        return self.waiting[: bisect.bisect_left(self.waiting, -priority, key=lambda waiting: waiting.order[0])]


class Books:
    """Entries by uid; at most one per job."""

    def __init__(self) -> None:
        self.accounts: dict[QueueName, Account] = {}
        self._entries: dict[str, tuple[QueueName, Candidate | None]] = {}
        self.held_total = 0

    def account(self, name: QueueName) -> Account:
        """The account of a queue, opened where there is none."""
        found = self.accounts.get(name)
        if found is None:
            found = self.accounts[name] = Account()
        return found

    def declare(self, name: QueueName, queue: JobQueue | None) -> None:
        """A JobQueue was created, changed or (None) deleted."""
        self.account(name).declared = queue

    def exists(self, name: QueueName) -> bool:
        """Whether jobs of this queue may start at all."""
        return name[1] == DEFAULT_QUEUE or self.account(name).declared is not None

    def enter(self, job: BatchJob, place: Place, candidate: Candidate | None) -> bool:
        """Put a job where it stands now; True where its entry changed."""
        uid, name = job.metadata.uid, (job.metadata.namespace, job.spec.queue)
        waiting = candidate if place is Place.WAITING else None
        entry = (name, waiting) if place is not Place.NEITHER and (waiting or place is Place.HELD) else None
        if self._entries.get(uid) == entry:
            return False
        self.remove(uid)
        if entry is None:
            return True
        self._entries[uid] = entry
        account = self.account(name)
        if waiting is not None:
            bisect.insort(account.waiting, waiting)
        else:
            account.held.add(uid)
            self.held_total += 1
        return True

    def remove(self, uid: str) -> None:
        """The job left the books: it ended, is held back, or was deleted."""
        entry = self._entries.pop(uid, None)
        if entry is None:
            return
        name, waiting = entry
        account = self.account(name)
        if waiting is None:
            account.held.discard(uid)
            self.held_total -= 1
            return
        at = bisect.bisect_left(account.waiting, waiting)
        if at < len(account.waiting) and account.waiting[at] == waiting:
            del account.waiting[at]

    def hold(self, uid: str, name: QueueName) -> None:
        """Count a slot for something without an object: an attempt whose BatchJob was deleted while it runs."""
        self.remove(uid)
        self._entries[uid] = (name, None)
        self.account(name).held.add(uid)
        self.held_total += 1

    def ran(self, job: BatchJob) -> None:
        """Learn from a job that succeeded how long jobs of its queue take."""
        attempt = job.status.attempt
        if job.status.phase is Phase.SUCCEEDED and attempt and attempt.started_at and attempt.finished_at:
            seconds = (attempt.finished_at - attempt.started_at).total_seconds()
            self.account((job.metadata.namespace, job.spec.queue)).recent.append(max(0.0, seconds))

    def views(self, granted: Mapping[str, QueueName], unplaced: Mapping[QueueName, int]) -> list[QueueView]:
        """Every queue with candidates as the cycle sees it.

        Args:
            granted: admissions not yet recorded, by uid.
            unplaced: queues in which a job's place is not known, with the highest priority of such a job: only what
                has a higher one is certainly before it, and only that is a candidate.
        """
        extra: dict[QueueName, int] = {}
        for name in granted.values():
            extra[name] = extra.get(name, 0) + 1
        return [
            QueueView(
                name,
                account.declared.spec.concurrency if account.declared else None,
                (account.declared.spec.paused if account.declared else False) or not self.exists(name),
                len(account.held) + extra.get(name, 0),
                account.ahead_of(unplaced[name]) if name in unplaced else account.waiting,
            )
            for name, account in self.accounts.items()
            if account.waiting
        ]

    def in_line(self, namespace: str) -> Iterator[Candidate]:
        """Who waits in any queue of a namespace, in order; read only as far as asked."""
        return heapq.merge(*(account.waiting for name, account in self.accounts.items() if name[0] == namespace))

    def queue_of(self, uid: str) -> QueueName | None:
        """The queue that a job is in, None where it is not in the books."""
        entry = self._entries.get(uid)
        return entry[0] if entry is not None else None

    def position(self, uid: str) -> int | None:
        """0-based place among those that wait in its queue, None where it does not wait."""
        entry = self._entries.get(uid)
        if entry is None or entry[1] is None:
            return None
        return bisect.bisect_left(self.account(entry[0]).waiting, entry[1])

    def eta(self, name: QueueName, position: int, host_limit: int) -> float | None:
        """Seconds until the job at `position` of the queue starts, None where nothing starts."""
        account = self.account(name)
        spec = account.declared.spec if account.declared else None
        if not self.exists(name) or (spec is not None and spec.paused):
            return None
        slots = host_limit if spec is None or spec.concurrency is None else min(spec.concurrency, host_limit)
        return wait_seconds(position, slots, typical_seconds(account.recent))
