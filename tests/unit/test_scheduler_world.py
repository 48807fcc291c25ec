"""The real reconcilers with all that they decide and keep, against a modelled world that may do anything.

Users create, edit, suspend, cancel, delete and wipe; queues come, go, pause and change their limits; processes end,
supervisors die, the host reboots, directories cannot be read, the clock jumps an hour, events come late, and the
controller is killed at every boundary of a pass (requirements 1.3, 2.1-2.4, 2.6, 3.3-3.6, 7.4, 7.6).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from controller.api.outside import QUEUE_LABEL
from controller.decisions import status as step
from tests.unit.world_machine import QUEUES, WorldDriver

PICK = st.integers(0, 1000)  # one of whatever there is
LIMITS = st.sampled_from([2, 1, 1, None, 0])
IN_PODS = {"executor": "Pod", "pod": {"image": "busybox"}}
IN_TEAM = {"executor": "Pod", "pod": {"image": "busybox", "labels": {QUEUE_LABEL: "team"}}}
BASICS = st.fixed_dictionaries(
    {
        "command": st.just(["true"]),
        "queue": st.sampled_from(QUEUES),
        "priority": st.integers(-1, 1),
        "retry": st.fixed_dictionaries({"limit": st.integers(0, 2)}),
        "onLost": st.sampled_from(["Restart", "Resume", "Fail", "Manual"]),
        "lossLimit": st.integers(0, 3),
    },
    optional={
        "suspend": st.sampled_from([False, False, True]),
        "ttlAfterFinished": st.just("20s"),
        "activeDeadline": st.just("30m"),
    },
)
JOBS = st.tuples(BASICS, st.sampled_from([{}, {}, IN_PODS, IN_TEAM])).map(lambda two: two[0] | two[1])
CHANGES = ["suspend", "resume", "cancel", "urgent", "queue a", "team", "no team", "edit"]
CRASHES = [None, None, None, *range(6)]  # after so many crossings of the boundary; a pass has three or four
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


class WorldMachine(WorldDriver):
    """See the module."""

    @initialize(limits=st.lists(LIMITS, min_size=3, max_size=3), jobs=st.lists(JOBS, min_size=1, max_size=4))
    def begin(self, limits: list[int | None], jobs: list[dict[str, Any]]) -> None:
        for name, limit in zip(QUEUES, limits, strict=True):
            self.declare(name, limit, False)
        self._restart()
        for spec in jobs:
            self.create(spec)
        self.go_on(True, 1.0)

    # --- users

    @rule(spec=JOBS)
    def create(self, spec: dict[str, Any]) -> None:
        self.names += 1
        self.world.create("BatchJob", f"job-{self.names}", spec)

    @rule(pick=PICK, change=st.sampled_from(CHANGES))
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
            "team": {"pod": IN_TEAM["pod"]},
            "no team": {"pod": IN_PODS["pod"]},
            "edit": {"gracePeriod": "1s"},
        }
        self.world.edit("BatchJob", job.metadata.name, changes[change])

    @rule(pick=PICK, action=st.sampled_from(["Restart", "Resume", "Fail"]))
    @precondition(has_jobs)
    def answer(self, pick: int, action: str) -> None:
        """A person who looked: they decide about what they know to be over, and stay with it.

        Not about a job that has ended: it asks nothing, but a status that is wiped later would find Restart asked for.
        """
        job = self._pick(pick)
        if job is None or step.finished(job.status):
            return
        if job.status.attempt is not None and self._proved_over(job):
            if job.spec.decision is not None and job.spec.decision.attempt == job.status.attempt.number:
                return
            answer = {"attempt": job.status.attempt.number, "action": action}
            self.world.edit("BatchJob", job.metadata.name, {"decision": answer})

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

    @rule(name=st.sampled_from(QUEUES), concurrency=LIMITS, paused=st.sampled_from([False, False, True]))
    def declare(self, name: str, concurrency: int | None, paused: bool) -> None:
        self._declare(name, concurrency, paused)

    @rule(name=st.sampled_from(QUEUES))
    def undeclare(self, name: str) -> None:
        if ("JobQueue", name) in self.world.objects:
            self.world.delete("JobQueue", name)

    # --- the controller

    @rule()
    def deliver(self) -> None:
        self._call(self.controller.deliver)

    @rule(times=st.integers(1, 6), crash=st.sampled_from(CRASHES))
    def work(self, times: int, crash: int | None) -> None:
        for _ in range(times - 1):
            self._work()
        self._work(crash)

    @rule(begin=st.booleans(), seconds=st.sampled_from([0.05, 1, 1, 12, 130, 700]))
    def go_on(self, begin: bool, seconds: float) -> None:
        """An ordinary while: events come, attempts are looked at, what is launched begins, time passes."""
        self._call(self.controller.deliver)
        self._call(self.controller.sweep)
        self._quiesce(begin)
        self._spin(seconds)
        self._call(self.controller.sweep)
        self._quiesce(begin)

    @rule(seconds=st.sampled_from([1, 12]), begin=st.just(True))
    def go_on_a_little(self, seconds: float, begin: bool) -> None:
        self.go_on(begin, seconds)

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

    @rule(pick=PICK, obeys=st.booleans(), ends=st.booleans())
    @precondition(is_stopped)
    def stop(self, pick: int, obeys: bool, ends: bool) -> None:
        attempt = self._run(pick, "running")
        if attempt is not None and self.world.runs[attempt].stop:
            self.world.journal(attempt)
            if ends:
                self.world.end(attempt, 0 if obeys else 143)

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
            self.spoiled |= {attempt} if unreadable else set()

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


TestWorld = WorldMachine.TestCase
TestWorld.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
