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
    """One queue: its declaration, who waits, who holds a slot, how long jobs took lately.

    Args:
        waiting: all that wait, in order.
        waiting_outside: those of them that an outside queue limits.
        outside: uids of what was started and holds no slot, because an outside queue limits it.
    """

    declared: JobQueue | None = None
    waiting: list[Candidate] = field(default_factory=list)
    waiting_outside: list[Candidate] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_RUNS))

    @property
    def used(self) -> bool:
        """Whether anybody declares it, or waits or runs in it."""
        return bool(self.declared or self.waiting or self.held or self.outside)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where one job stands: it waits as `waiting`, or it was started; with or without a slot of the queue."""

    queue: QueueName
    waiting: Candidate | None
    slot: bool


class Books:
    """Entries by uid; at most one per job."""

    def __init__(self) -> None:
        self.accounts: dict[QueueName, Account] = {}
        self._entries: dict[str, _Entry] = {}
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
        entry = None
        if place in (Place.HELD, Place.OUTSIDE):
            entry = _Entry(name, None, place is Place.HELD)
        elif place is Place.WAITING and candidate is not None:
            entry = _Entry(name, candidate, not candidate.outside)
        if self._entries.get(uid) == entry:
            return False
        self.remove(uid)
        if entry is not None:
            self._put(uid, entry)
        return True

    def _put(self, uid: str, entry: _Entry) -> None:
        self._entries[uid] = entry
        account = self.account(entry.queue)
        if entry.waiting is not None:
            bisect.insort(account.waiting, entry.waiting)
            if not entry.slot:
                bisect.insort(account.waiting_outside, entry.waiting)
        elif entry.slot:
            account.held.add(uid)
            self.held_total += 1
        else:
            account.outside.add(uid)

    def remove(self, uid: str) -> None:
        """The job left the books: it ended, is held back, or was deleted."""
        entry = self._entries.pop(uid, None)
        if entry is None:
            return
        account = self.account(entry.queue)
        if entry.waiting is not None:
            _take_out(account.waiting, entry.waiting)
            _take_out(account.waiting_outside, entry.waiting)
        elif entry.slot:
            account.held.discard(uid)
            self.held_total -= 1
        else:
            account.outside.discard(uid)

    def hold(self, uid: str, name: QueueName, place: Place = Place.HELD) -> None:
        """Count something without an object as HELD or OUTSIDE: its BatchJob was deleted while its attempt runs."""
        self.remove(uid)
        self._put(uid, _Entry(name, None, place is Place.HELD))

    def ran(self, job: BatchJob) -> None:
        """Learn from a job that succeeded how long jobs of its queue take."""
        attempt = job.status.attempt
        if job.status.phase is Phase.SUCCEEDED and attempt and attempt.started_at and attempt.finished_at:
            seconds = (attempt.finished_at - attempt.started_at).total_seconds()
            self.account((job.metadata.namespace, job.spec.queue)).recent.append(max(0.0, seconds))

    def views(self, granted: Mapping[str, QueueName], unplaced: Mapping[QueueName, int]) -> list[QueueView]:
        """Every queue with candidates as the cycle sees it.

        Args:
            granted: admissions to a slot, not yet recorded, by uid.
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
                _ahead(account.waiting, unplaced.get(name)),
                _ahead(account.waiting_outside, unplaced.get(name)),
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
        return entry.queue if entry is not None else None

    def position(self, uid: str) -> int | None:
        """0-based place among those that wait in its queue, None where it does not wait."""
        entry = self._entries.get(uid)
        if entry is None or entry.waiting is None:
            return None
        return bisect.bisect_left(self.account(entry.queue).waiting, entry.waiting)

    def eta(self, uid: str, host_limit: int) -> float | None:
        """Seconds until a waiting job starts; None where nothing starts, or where an outside queue will say when."""
        entry, position = self._entries.get(uid), self.position(uid)
        if entry is None or entry.waiting is None or position is None or not entry.slot:
            return None
        name, account = entry.queue, self.account(entry.queue)
        position -= bisect.bisect_left(account.waiting_outside, entry.waiting)
        spec = account.declared.spec if account.declared else None
        if not self.exists(name) or (spec is not None and spec.paused):
            return None
        slots = host_limit if spec is None or spec.concurrency is None else min(spec.concurrency, host_limit)
        return wait_seconds(position, slots, typical_seconds(account.recent))


def _take_out(line: list[Candidate], waiting: Candidate) -> None:
    at = bisect.bisect_left(line, waiting)
    if at < len(line) and line[at] == waiting:
        del line[at]


def _ahead(line: list[Candidate], priority: int | None) -> list[Candidate]:
    """Those of `line` with a higher priority; all of it for None."""
    if priority is None:
        return line
    return line[: bisect.bisect_left(line, -priority, key=lambda waiting: waiting.order[0])]
