"""The scheduling cycle: who starts now (requirements 2.1-2.4, design 4).

Pure: it is given what holds slots and who waits, in order, and answers who is admitted. The numbers in the code are
the steps of the design. A candidate that cannot start is passed over and keeps its place.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from controller.decisions.order import Candidate

QueueName = tuple[str, str]  # (namespace, name)


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue as the cycle sees it.

    Args:
        name: (namespace, name).
        concurrency: how many of its jobs may hold a slot; None: only the host's limit counts.
        paused: nothing of it starts.
        held: how many of its jobs hold a slot: recorded attempts not proved over, and admissions not yet recorded.
        candidates: its waiting jobs in order; read only as far as slots last.
        outside: those of them that an outside queue limits, in order: they need no slot, and are all looked at.
    """

    name: QueueName
    concurrency: int | None
    paused: bool
    held: int
    candidates: Iterable[Candidate]
    outside: Sequence[Candidate] = ()


class StartGate(Protocol):
    """What else a candidate needs than a slot: asked once per candidate, in order, within one cycle."""

    def begin(self) -> None: ...

    def may_start(self, waiting: Candidate) -> bool: ...

    def stand(self, waiting: Candidate) -> None: ...

    def finish(self) -> None: ...


def free_slots(queue: QueueView, host_free: int) -> int:
    """How many jobs of `queue` may start now, given `host_free` slots of the whole host. Never negative."""
    if queue.paused:
        return 0
    own = host_free if queue.concurrency is None else queue.concurrency - queue.held
    return max(0, min(own, host_free))


def cycle(
    queues: Iterable[QueueView],
    host_limit: int,
    host_held: int,
    startable: Callable[[Candidate], bool],
    stand: Callable[[Candidate], None] | None = None,
    too_soon: Callable[[Candidate], bool] = lambda _: False,
    too_soon_in: Callable[[Candidate, QueueName], bool] = lambda _, __: False,
) -> list[Candidate]:
    """One scheduling cycle over all queues of the host.

    Args:
        queues: every queue with candidates.
        host_limit: attempts at once on this host (`maxRunning`).
        host_held: slots held by all jobs of all queues, those included that are in none of `queues`.
        startable: whether a candidate can start now (not backing off, its environment was found).
        stand: where given, told of candidates without a slot that are among the first `concurrency` of a queue that is
            not paused: they stand in line for what else they need (design 5), so that nobody overtakes them for ever.
        too_soon: whether a candidate has to wait for the ramp after a start, or because one in front of it may not be
            known yet; then all behind it wait too: nobody overtakes for that (requirements 2.1, 7.4), except that who
            needs no slot does not wait for those that do.
        too_soon_in: whether a candidate has to wait for the ramp of its own queue; then those behind it in that queue
            wait too, and other queues go on.

    Returns:
        The admitted candidates, in the order of their start.
    """
    # 1 count what holds a slot: `held` and `host_held` are counted by the caller from recorded attempts.
    # 2 free slots of the host and of each queue
    host_free = max(0, host_limit - host_held)
    views = {queue.name: queue for queue in queues}
    free = _Free(host_free, {name: free_slots(queue, host_free) for name, queue in views.items()})
    # 3 candidates in order: merged over the queues, so that the host's last slot goes to the first in line of all
    peek = host_limit if stand is not None else 0
    outside = [_outside(queue) for queue in views.values() if queue.outside and not queue.paused]
    merged = heapq.merge(*(_while_free(queue, free, peek) for queue in views.values()), *outside)
    admitted: list[Candidate] = []
    for waiting, name in merged:
        if not waiting.outside:
            if free.host == 0 and not outside:
                break
            if not free.slot(name):
                if stand is not None:
                    stand(waiting)
                continue
        if too_soon(waiting):
            if waiting.outside or not outside:
                break
            free.close()
            continue
        if not waiting.outside and too_soon_in(waiting, name):
            free.queues[name] = 0
            continue
        # 4 can it start? if not it is passed over and keeps its place
        if not startable(waiting):
            continue
        # 5 admit
        admitted.append(waiting)
        if not waiting.outside:
            free.take(name)
    return admitted


@dataclass(slots=True)
class _Free:
    """Slots that are left in this cycle, of the host and of each queue."""

    host: int
    queues: dict[QueueName, int]
    closed: bool = False

    def slot(self, name: QueueName) -> bool:
        return self.host > 0 and self.queues[name] > 0

    def take(self, name: QueueName) -> None:
        self.host -= 1
        self.queues[name] -= 1

    def close(self) -> None:
        """Nobody who needs a slot starts or stands in line any more."""
        self.host, self.closed = 0, True


def _while_free(queue: QueueView, free: _Free, peek: int) -> Iterator[tuple[Candidate, QueueName]]:
    """Candidates that need a slot, until slots are used up: a cycle's cost is its admissions, not the queue's length.

    Its first `concurrency` candidates, at most `peek`, come in any case unless it is paused.
    """
    standing = 0 if queue.paused else peek if queue.concurrency is None else min(queue.concurrency, peek)
    candidates, place = iter(queue.candidates), 0
    while not free.closed and (free.slot(queue.name) or place < standing):
        if (waiting := next(candidates, None)) is None:
            return
        if not waiting.outside:
            yield waiting, queue.name
            place += 1


def _outside(queue: QueueView) -> Iterator[tuple[Candidate, QueueName]]:
    return ((waiting, queue.name) for waiting in queue.outside)
