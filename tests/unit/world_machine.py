"""What drives the modelled world: one controller at a time, the checks of its grants, and the way to rest.

The rules, what may happen, are in `test_scheduler_world`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from hypothesis.stateful import RuleBasedStateMachine

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import BatchJobStatus, Phase
from controller.api.conditions import is_true
from controller.api.jobqueue import JobQueue
from controller.api.keys import Key
from controller.decisions import status as step
from controller.decisions.executors import named, outside_queue
from controller.executors.base import AttemptId
from controller.telemetry.metrics import Metrics
from tests.unit.controller_model import Controller
from tests.unit.world import VirtualLoop, World
from tests.unit.world_doors import Killed

HOST_LIMIT = 3
QUEUES = ("default", "a", "b")
METRICS = Metrics("test")


class WorldDriver(RuleBasedStateMachine):
    """See the module; the rules are those of the subclass."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        asyncio.set_event_loop(None)
        self.world = World()
        self.names = 0
        self.ended: dict[str, int] = {}  # uid -> commands started when it was first recorded as finished
        self.granted: set[str] = set()
        self.spoiled: set[AttemptId] = set()  # that could not be read at some time
        self.tasks: list[asyncio.Task[None]] = []

    def _restart(self) -> None:
        async def start() -> None:
            for task in self.tasks:
                task.cancel()
            self.controller = Controller(self.world, self.loop, HOST_LIMIT, METRICS)
            await self.controller.start()
            self.tasks = [asyncio.ensure_future(self.controller.scheduler.run())]

        self.granted = set()
        self.loop.run_until_complete(start())

    def _spin(self, seconds: float) -> None:
        """Let time pass, and everything run that waited for it."""
        self.loop.seconds += seconds
        self.world.monotonic = self.loop.seconds
        self._turn()

    def _turn(self) -> None:
        """Let the event loop run what is ready, as it does between two messages: cycles happen here and only here."""

        async def turn() -> None:
            for _ in range(4):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())
        self._check_grants()

    def _work(self, crash: int | None = None) -> bool:
        self._turn()
        try:
            return self.loop.run_until_complete(self.controller.work(crash))
        except Killed:
            self._restart()
            return True
        finally:
            self._turn()

    def _call(self, what: Callable[[], object]) -> None:
        async def call() -> None:
            what()

        self._turn()
        self.loop.run_until_complete(call())
        self._turn()

    # --- picking

    def _jobs(self) -> list[BatchJob]:
        found = [raw for (kind, _), raw in self.world.objects.items() if kind == "BatchJob"]
        return [BatchJob.model_validate(raw) for raw in found]

    def _pick(self, pick: int) -> BatchJob | None:
        jobs = self._jobs()
        return jobs[pick % len(jobs)] if jobs else None

    def _run(self, pick: int, *states: str) -> AttemptId | None:
        found = [attempt for attempt, run in self.world.runs.items() if run.state in states]
        return found[pick % len(found)] if found else None

    def _declare(self, name: str, concurrency: int | None, paused: bool) -> None:
        spec = {"concurrency": concurrency, "paused": paused}
        if ("JobQueue", name) in self.world.objects:
            self.world.edit("JobQueue", name, spec)
        else:
            self.world.create("JobQueue", name, spec)

    def _proved_over(self, job: BatchJob) -> bool:
        return not any(attempt.job_uid == job.metadata.uid for attempt in self.world.live())

    # --- what the controller was told, and what is

    def _known(self) -> list[BatchJob]:
        """What the controller was told."""
        return [job for _, job in self.controller.store.items("BatchJob") if isinstance(job, BatchJob)]

    def _admits(self, name: str) -> bool:
        """Whether the controller was told of a queue, and not of a pause."""
        found = self.controller.store.find(JobQueue, Key("JobQueue", "default", name))
        return name == "default" if found is None else not found.spec.paused

    def _limit(self, name: str) -> int | None:
        """Slots of a queue as the controller was told; None: only the host's count."""
        found = self.controller.store.find(JobQueue, Key("JobQueue", "default", name))
        if found is None:
            return None if name == "default" else 0
        return 0 if found.spec.paused else found.spec.concurrency

    def _held(self) -> dict[str, str]:
        """uid -> queue of everything that really holds a slot, or was granted one; not of what outside queues limit."""
        runs = self.world.runs
        live = [attempt for attempt in self.world.live() if not runs[attempt].annotations.get("outsideQueue")]
        held = {attempt.job_uid: self.world.queues_of[attempt.job_uid] for attempt in live}
        for job in self._jobs():
            if (active := step.active(job.status)) is not None and not active.outside_queue:
                held[job.metadata.uid] = job.spec.queue
        known = {job.metadata.uid: job.spec.queue for job in self._known() if not _outside(job)}
        return held | {uid: queue for uid, queue in known.items() if self.controller.scheduler.granted(uid)}

    def _of_no_queue(self) -> set[str]:
        """Deleted jobs whose attempt could not be read after a restart: until it was looked at again it counts for the
        host; its queue nobody knows."""
        books = self.controller.scheduler.books
        return {a.job_uid for a in self.spoiled if books.queue_of(f"ownerless {a}") == ("", "")}

    def _startable(self, job: BatchJob) -> bool:
        scheduler, uid = self.controller.scheduler, job.metadata.uid
        held_back = job.spec.suspend or job.spec.cancel or job.status.phase is Phase.WAITING
        settled = job.status.retry_at is None and scheduler.sequence(job) is not None
        unknown = job.status.attempt is None and any(attempt.job_uid == uid for attempt in self.world.runs)
        waits = step.active(job.status) is None and not step.finished(job.status) and not scheduler.granted(uid)
        return waits and settled and not held_back and not unknown and not self._may_be_behind(job)

    def _may_be_behind(self, job: BatchJob) -> bool:
        """Whether the place of another one of its queue, with a priority as high, is not known yet."""
        return any(
            self.controller.scheduler.sequence(other) is None
            and not step.finished(other.status)
            and other.spec.queue == job.spec.queue
            and other.spec.priority >= job.spec.priority
            for other in self._known()
        )

    def _counted(self, queue: str | None = None) -> int:
        """Slots as the books count them: never less than what is really held, and nothing once all is proved over."""
        accounts = self.controller.scheduler.books.accounts
        held = sum(len(account.held) for (_, name), account in accounts.items() if queue in (None, name))
        granted = [job for job in self._known() if self.controller.scheduler.granted(job.metadata.uid)]
        return held + sum(1 for job in granted if queue in (None, job.spec.queue) and not _outside(job))

    def _order(self, job: BatchJob) -> tuple[int, int]:
        return -job.spec.priority, self.world.created[job.metadata.uid]

    def _check_grants(self) -> None:
        """2.1, 2.3: a grant never goes over a limit that the controller knows, and never past one who waits longer."""
        known = {job.metadata.uid: job for job in self._known()}
        granted = {uid for uid in known if self.controller.scheduler.granted(uid)}
        new, self.granted = granted - self.granted, granted
        if not new:
            return
        assert not self.controller.scheduler.gate.closed_for
        held = self._held()
        assert len(held) <= HOST_LIMIT, held
        by_queue = Counter(queue for uid, queue in held.items() if uid not in self._of_no_queue())
        for uid in new:
            queue = known[uid].spec.queue
            assert self._admits(queue), queue
            limit = None if _outside(known[uid]) else self._limit(queue)  # which may have been lowered below what runs
            assert limit is None or by_queue[queue] <= limit, (queue, held)
        orders = [(self._order(known[uid]), known[uid].spec.queue) for uid in new if not _outside(known[uid])]
        for job in filter(self._startable, known.values()):
            if _outside(job):
                assert not self._admits(job.spec.queue), f"{job.metadata.name} waits for a limit that is not its own"
                continue
            queue, limit = job.spec.queue, self._limit(job.spec.queue)
            room = limit is None or self._counted(queue) < limit
            later = [order for order, its in orders if order > self._order(job) and (room or its == queue)]
            assert not later, f"{job.metadata.name} was passed over"

    # --- whatever happened, it comes to rest

    def _quiesce(self, begin: bool) -> None:
        """2.3: no slot stays free while somebody could use it. `begin`: what is launched begins."""
        self._call(self.controller.deliver)
        for _ in range(200):
            self._call(self.controller.deliver)
            if not self._work():
                self._spin(0.06)
                if not self.controller.queue.depth().ready:
                    break
        for attempt in [a for a, run in self.world.runs.items() if run.state == "built" and run.supervised and begin]:
            self.world.begin(attempt)
        if self.controller.scheduler.gate.closed_for:
            return
        total = self._counted()
        for job in self._known():
            limit = self._limit(job.spec.queue)
            if _outside(job):
                assert not (self._startable(job) and self._admits(job.spec.queue)), f"{job.metadata.name} could start"
                continue
            room = total < HOST_LIMIT and (limit is None or self._counted(job.spec.queue) < limit)
            assert not (self._startable(job) and room), f"{job.metadata.name} could start"

    def teardown(self) -> None:
        try:
            if self.tasks:
                self._come_to_rest()
        finally:
            for task in self.tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    def _come_to_rest(self) -> None:
        """2.4: in a world without faults, and with a person who answers, every job ends: nothing waits for ever."""
        for run in self.world.runs.values():
            run.unreadable = False
        for name in QUEUES:
            self._declare(name, 1, False)
        for job in self._jobs():
            self.world.edit("BatchJob", job.metadata.name, {"suspend": False})
        for _ in range(400):
            self._benign()
            while self._work():
                pass
            if all(step.finished(job.status) for job in self._jobs()) and not self.world.live():
                break
            self._spin(5.0)
            self._call(self.controller.sweep)
        unfinished = [(job.metadata.name, job.status) for job in self._jobs() if not step.finished(job.status)]
        assert not unfinished, (unfinished, self.controller.scheduler.gate.closed_for, self._held())
        self._after_rest()

    def _benign(self) -> None:
        self._call(self.controller.deliver)
        for attempt, run in list(self.world.runs.items()):
            if run.state == "built" and run.supervised:
                self.world.begin(attempt)
            elif run.state == "running":
                self.world.end(attempt, 143 if run.stop else 0)
                self._call(lambda attempt=attempt: self.controller.wake(attempt))
        for job in self._jobs():
            if is_true(job.status.conditions, "NeedsDecision") and self._proved_over(job):
                answer = {"attempt": _number(job.status), "action": "Restart"}
                if (job.spec.decision is None) or job.spec.decision.attempt != answer["attempt"]:
                    self.world.edit("BatchJob", job.metadata.name, {"decision": answer})
        self._call(self.controller.deliver)

    def _after_rest(self) -> None:
        """7.6, 2.3: nothing of what was deleted is left, nothing holds a slot, and what is canceled is over."""
        for seconds in [1.0] * 6 + [60.0] * 4 + [8000.0] * 2 + [1.0] * 6:
            self._spin(seconds)
            while self._work():
                pass
            self._call(self.controller.deliver)
        books = self.controller.scheduler.books
        assert books.held_total == 0 and not any(account.outside for account in books.accounts.values())
        alive = {job.metadata.uid for job in self._jobs()}
        assert {attempt.job_uid for attempt in self.world.runs} <= alive
        for job in self._jobs():
            ended_at = job.status.finished_at
            if job.spec.ttl_after_finished is not None and ended_at is not None:
                assert ended_at + timedelta(hours=2) >= self.world.now, "the TTL is over"


def _outside(job: BatchJob) -> bool:
    """Whether its next attempt would take no slot: an outside queue limits it (issue 7, item 3)."""
    return bool(outside_queue(job, named(job.spec, "Process")))


def _number(status: BatchJobStatus) -> int:
    assert status.attempt is not None
    return status.attempt.number
