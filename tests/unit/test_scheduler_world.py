"""The real decisions, books, store, scheduler and work queue against a modelled world that may do anything.

Users create, edit, suspend, cancel, delete and wipe; queues come, go, pause and change their limits; processes end,
supervisors die, the host reboots, directories cannot be read, the clock jumps an hour, events come late, and the
controller is killed at every boundary of a pass (requirements 1.3, 2.1-2.4, 2.6, 3.3-3.6, 7.4, 7.6).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import BatchJobStatus, Phase
from controller.api.conditions import is_true
from controller.api.jobqueue import JobQueue
from controller.api.keys import Key
from controller.decisions import status as step
from controller.executors.base import AttemptId
from controller.telemetry.metrics import Metrics
from tests.unit.controller_model import Controller, Crash, Killed
from tests.unit.world import VirtualLoop, World

HOST_LIMIT = 3
QUEUES = ("default", "a", "b")
METRICS = Metrics("test")
PICK = st.integers(0, 1000)  # one of whatever there is
# Ends that a later moment may judge differently: what was never started, and what only time ended.
OPEN_ENDS = ("ActiveDeadlineExceeded", "StartFailed")


def has(*states: str) -> Callable[[Any], bool]:
    """Precondition: there is a run directory in one of `states`."""
    return lambda machine: any(run.state in states for run in machine.world.runs.values())


def has_jobs(machine: Any) -> bool:
    """Precondition: there is a BatchJob."""
    return any(kind == "BatchJob" for kind, _ in machine.world.objects)


def is_stopped(machine: Any) -> bool:
    """Precondition: somebody asked for the stop of what runs."""
    return any(run.state == "running" and run.stop for run in machine.world.runs.values())


class WorldMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        asyncio.set_event_loop(None)
        self.world = World()
        self.names = 0
        self.ended: dict[str, int] = {}  # uid -> commands started when it was first recorded as finished
        self.granted: set[str] = set()
        self.tasks: list[asyncio.Task[None]] = []

    @initialize(limits=st.lists(st.sampled_from([None, 1, 1, 2]), min_size=3, max_size=3))
    def begin(self, limits: list[int | None]) -> None:
        for name, limit in zip(QUEUES, limits, strict=True):
            self.declare(name, limit, False)
        self._restart()

    def _restart(self) -> None:
        async def start() -> None:
            for task in self.tasks:
                task.cancel()
            self.controller = Controller(self.world, self.loop, HOST_LIMIT, METRICS)
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

    def _work(self, crash: Crash = Crash.NEVER) -> bool:
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

    # --- users

    @rule(
        queue=st.sampled_from(QUEUES),
        priority=st.integers(-1, 1),
        retry=st.integers(0, 2),
        lost=st.sampled_from(["Restart", "Fail", "Manual"]),
        limit=st.integers(0, 2),
        more=st.sampled_from([{}, {}, {}, {"suspend": True}, {"ttlAfterFinished": "20s"}, {"activeDeadline": "30m"}]),
        run=st.booleans(),
    )
    def create(
        self, queue: str, priority: int, retry: int, lost: str, limit: int, more: dict[str, Any], run: bool
    ) -> None:
        """`run`: and let the controller do what there is to do."""
        self.names += 1
        spec = {"queue": queue, "priority": priority, "retry": {"limit": retry}, "onLost": lost, "lossLimit": limit}
        self.world.create("BatchJob", f"job-{self.names}", {"command": ["true"]} | spec | more)
        if run:
            self.quiesce(begin=True)

    @rule(pick=PICK, change=st.sampled_from(["suspend", "resume", "cancel", "urgent", "queue a", "edit"]))
    @precondition(has_jobs)
    def edit(self, pick: int, change: str) -> None:
        job = self._pick(pick)
        if job is None or (change == "queue a" and job.status.attempt is not None):
            return  # spec.queue is immutable once the job has started
        changes: dict[str, dict[str, Any]] = {
            "suspend": {"suspend": True},
            "resume": {"suspend": False},
            "cancel": {"cancel": True},
            "urgent": {"priority": 5},
            "queue a": {"queue": "a"},
            "edit": {"gracePeriod": "1s"},
        }
        self.world.edit("BatchJob", job.metadata.name, changes[change])

    @rule(pick=PICK, action=st.sampled_from(["Restart", "Fail"]))
    @precondition(has_jobs)
    def answer(self, pick: int, action: str) -> None:
        """A person who looked: they decide about what they know to be over."""
        job = self._pick(pick)
        if job is not None and job.status.attempt is not None and self._proved_over(job):
            answer = {"attempt": job.status.attempt.number, "action": action}
            self.world.edit("BatchJob", job.metadata.name, {"decision": answer})

    def _proved_over(self, job: BatchJob) -> bool:
        return not any(attempt.job_uid == job.metadata.uid for attempt in self.world.live())

    @rule(pick=PICK)
    @precondition(has_jobs)
    def wipe(self, pick: int) -> None:
        if (job := self._pick(pick)) is not None:
            self.world.wipe_status(job.metadata.name)

    @rule(pick=PICK)
    @precondition(has_jobs)
    def delete(self, pick: int) -> None:
        if (job := self._pick(pick)) is not None:
            self.world.delete("BatchJob", job.metadata.name)

    @rule(name=st.sampled_from(QUEUES), concurrency=st.sampled_from([None, 0, 1, 1, 2]), paused=st.booleans())
    def declare(self, name: str, concurrency: int | None, paused: bool) -> None:
        spec = {"concurrency": concurrency, "paused": paused}
        if ("JobQueue", name) in self.world.objects:
            self.world.edit("JobQueue", name, spec)
        else:
            self.world.create("JobQueue", name, spec)

    @rule(name=st.sampled_from(QUEUES))
    def undeclare(self, name: str) -> None:
        if ("JobQueue", name) in self.world.objects:
            self.world.delete("JobQueue", name)

    # --- the controller

    @rule()
    def deliver(self) -> None:
        self._call(self.controller.deliver)

    @rule(times=st.integers(1, 6), crash=st.sampled_from([Crash.NEVER, Crash.NEVER, Crash.NEVER, *Crash]))
    def work(self, times: int, crash: Crash) -> None:
        for _ in range(times - 1):
            self._work()
        self._work(crash)

    @rule(seconds=st.sampled_from([0.05, 1, 12, 130, 700]))
    def wait(self, seconds: float) -> None:
        self._spin(seconds)

    @rule()
    def look(self) -> None:
        self._call(self.controller.sweep)

    # --- the world

    @rule(pick=PICK)
    @precondition(has("built"))
    def let_go(self, pick: int) -> None:
        attempt = self._run(pick, "built")
        if attempt is not None and self.world.runs[attempt].supervised:
            self.world.begin(attempt)

    @rule(pick=PICK, code=st.sampled_from([0, 0, 7]), left=st.sampled_from([0, 0, 0, 2]))
    @precondition(has("running"))
    def end(self, pick: int, code: int, left: int) -> None:
        if (attempt := self._run(pick, "running")) is not None:
            self.world.end(attempt, code, left=left)
            self._call(lambda: self.controller.wake(attempt))

    @rule(pick=PICK, obeys=st.booleans())
    @precondition(is_stopped)
    def stop(self, pick: int, obeys: bool) -> None:
        attempt = self._run(pick, "running")
        if attempt is not None and self.world.runs[attempt].stop:
            self.world.journal(attempt)
            self.world.end(attempt, 0 if obeys else 143)

    @rule(pick=PICK)
    @precondition(is_stopped)
    def journal(self, pick: int) -> None:
        attempt = self._run(pick, "running")
        if attempt is not None and self.world.runs[attempt].stop:
            self.world.journal(attempt)

    @rule(pick=PICK)
    @precondition(has("built", "running"))
    def supervisor_dies(self, pick: int) -> None:
        if (attempt := self._run(pick, "built", "running")) is not None:
            self.world.runs[attempt].supervised = False

    @rule(pick=PICK)
    @precondition(has("running"))
    def vanish(self, pick: int) -> None:
        """Command and recorder are killed together: there is no exit record."""
        if (attempt := self._run(pick, "running")) is not None:
            self.world.runs[attempt].state, self.world.runs[attempt].supervised = "gone", False

    @rule()
    @precondition(has("built", "running"))
    def reboot(self) -> None:
        self.world.reboot()
        self._restart()

    @rule(pick=PICK, unreadable=st.booleans())
    @precondition(has("built", "running", "ended", "never", "gone"))
    def spoil(self, pick: int, unreadable: bool) -> None:
        attempt = self._run(pick, "built", "running", "ended", "never", "gone")
        if attempt is not None:
            self.world.runs[attempt].unreadable = unreadable

    @rule(hours=st.sampled_from([-1, 1]))
    def clock_jumps(self, hours: int) -> None:
        self.world.clock_shift += hours * 3600

    # --- what always holds (that no command starts twice is asserted where the world starts it)

    @invariant()
    def never_two_live_attempts(self) -> None:
        """2.6"""
        live = Counter(attempt.job_uid for attempt in self.world.live())
        assert not [uid for uid, count in live.items() if count > 1], live

    @invariant()
    def what_finished_stays_finished(self) -> None:
        """1.3: also where its status was wiped: no command of it starts again."""
        started = Counter[str]()
        for attempt, count in self.world.starts.items():
            started[attempt.job_uid] += count
        for uid, count in self.ended.items():
            assert started[uid] == count, uid
        for job in self._jobs():
            if step.finished(job.status) and started[job.metadata.uid] and job.status.reason not in OPEN_ENDS:
                self.ended.setdefault(job.metadata.uid, started[job.metadata.uid])

    def _known(self) -> list[BatchJob]:
        """What the controller was told."""
        return [job for _, job in self.controller.store.items("BatchJob") if isinstance(job, BatchJob)]

    def _limit(self, name: str) -> int | None:
        """Slots of a queue as the controller was told; None: only the host's count."""
        found = self.controller.store.queue(Key("JobQueue", "default", name))
        if found is None:
            return None if name == "default" else 0
        assert isinstance(found, JobQueue)
        return 0 if found.spec.paused else found.spec.concurrency

    def _held(self) -> dict[str, str]:
        """uid -> queue of everything that really holds a slot, or was granted one."""
        held = {attempt.job_uid: self.world.queues_of[attempt.job_uid] for attempt in self.world.live()}
        for job in self._jobs():
            if step.active(job.status) is not None:
                held[job.metadata.uid] = job.spec.queue
        known = {job.metadata.uid: job.spec.queue for job in self._known()}
        return held | {uid: queue for uid, queue in known.items() if self.controller.scheduler.granted(uid)}

    def _startable(self, job: BatchJob) -> bool:
        scheduler, uid = self.controller.scheduler, job.metadata.uid
        held_back = job.spec.suspend or job.spec.cancel or job.status.phase is Phase.WAITING
        settled = job.status.retry_at is None and scheduler.sequence(job) is not None
        unknown = job.status.attempt is None and any(attempt.job_uid == uid for attempt in self.world.runs)
        waits = step.active(job.status) is None and not step.finished(job.status) and not scheduler.granted(uid)
        return waits and settled and not held_back and not unknown

    def _counted(self, queue: str | None = None) -> int:
        """Slots as the books count them: never less than what is really held, and nothing once all is proved over."""
        accounts = self.controller.scheduler.books.accounts
        held = sum(len(account.held) for (_, name), account in accounts.items() if queue in (None, name))
        known = [job for job in self._known() if self.controller.scheduler.granted(job.metadata.uid)]
        return held + sum(1 for job in known if queue in (None, job.spec.queue))

    def _order(self, job: BatchJob) -> tuple[int, int]:
        return -job.spec.priority, self.world.created[job.metadata.uid]

    def _check_grants(self) -> None:
        """2.1, 2.3: a grant never goes over a limit that the controller knows, and never past one who waits longer."""
        known = {job.metadata.uid: job for job in self._known()}
        granted = {uid for uid in known if self.controller.scheduler.granted(uid)}
        new, self.granted = granted - self.granted, granted
        if not new:
            return
        assert not self.controller.scheduler.closed_for
        held = self._held()
        assert len(held) <= HOST_LIMIT, held
        by_queue = Counter(held.values())
        for uid in new:
            queue = known[uid].spec.queue
            limit = self._limit(queue)
            assert limit is None or by_queue[queue] <= limit, (queue, held)
        orders = [(self._order(known[uid]), known[uid].spec.queue) for uid in new]
        for job in filter(self._startable, known.values()):
            queue, limit = job.spec.queue, self._limit(job.spec.queue)
            room = limit is None or self._counted(queue) < limit
            later = [order for order, its in orders if order > self._order(job) and (room or its == queue)]
            assert not later, f"{job.metadata.name} was passed over"

    # --- whatever happened, it comes to rest

    @rule(begin=st.booleans())
    def quiesce(self, begin: bool) -> None:
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
        if self.controller.scheduler.closed_for:
            return
        total = self._counted()
        for job in self._known():
            limit = self._limit(job.spec.queue)
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
            self.declare(name, 1, False)
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
        assert not unfinished, (unfinished, self.controller.scheduler.closed_for, self._held())
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
        for seconds in [1.0] * 6 + [60.0] * 4 + [8000.0] * 2:
            self._spin(seconds)
            while self._work():
                pass
            self._call(self.controller.deliver)
        assert self.controller.scheduler.books.held_total == 0
        alive = {job.metadata.uid for job in self._jobs()}
        assert {attempt.job_uid for attempt in self.world.runs} <= alive
        for job in self._jobs():
            ended_at = job.status.finished_at
            if job.spec.ttl_after_finished is not None and ended_at is not None:
                assert ended_at + timedelta(hours=2) >= self.world.now, "the TTL is over"


def _number(status: BatchJobStatus) -> int:
    assert status.attempt is not None
    return status.attempt.number


TestWorld = WorldMachine.TestCase
TestWorld.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
