"""The lock of one repository in a world that may do anything: people, jobs, crashes, silence, clocks, wiped status.

Never two Exclusive holders nor a Shared one beside one, tokens only grow, served in order, nobody who lives loses the
lock but to a person, nobody who is silent loses it silently, and all who wait are served in the end (5.4-5.6, 1.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.api.repository import Holder
from controller.api.repository_use import LockMode
from controller.decisions.observed import Evidence
from tests.unit.lock_builders import GIVE_ON, KEEP
from tests.unit.lock_things import Crash, Job, Person
from tests.unit.lock_world import LockWorld

PICK = st.integers(0, 1000)  # one of whatever there is
MODES = st.sampled_from([LockMode.EXCLUSIVE, LockMode.SHARED])
SELDOM = st.sampled_from([False, False, False, True])
CRASH = st.sampled_from([0, 0, 0, 1, 2, 3, 4])  # at which boundary of a pass the controller dies, 0: it does not


def there_are(what: str) -> Callable[[Any], bool]:
    return lambda machine: bool(getattr(machine.world, what))


class LockMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.world = LockWorld()

    def pass_over(self, call: Callable[[], None], crash: int) -> None:
        self.world.crash_in = crash
        try:
            call()
        except Crash:
            pass
        finally:
            self.world.crash_in = 0

    def order(self, priority: int, name: str) -> tuple[int, int, float, str]:
        self.world.sequence += 1
        return (-priority, self.world.sequence, 0.0, name)

    @initialize(modes=st.lists(MODES, min_size=2, max_size=5))
    def begin(self, modes: list[LockMode]) -> None:
        for mode in modes:
            self.create_job(mode, 0)
        self.everything()

    # --- users

    @rule(mode=MODES, priority=st.integers(-1, 1))
    def create_job(self, mode: LockMode, priority: int) -> None:
        name = f"j{len(self.world.jobs)}"
        self.world.jobs[name] = Job(name, self.order(priority, name), mode)

    @rule(mode=MODES, lease=st.sampled_from([60.0, 60.0, 1000.0, None]))
    def claim_by_hand(self, mode: LockMode, lease: float | None) -> None:
        name = f"p{len(self.world.people)}"
        self.world.people[name] = Person(name, self.order(0, name), mode, lease)

    @precondition(there_are("people"))
    @rule(pick=PICK, what=st.sampled_from(["delete", "renew", "force"]))
    def change_claim(self, pick: int, what: str) -> None:
        person = list(self.world.people.values())[pick % len(self.world.people)]
        if what == "renew":
            person.renewed = self.world.now
        elif what == "delete":
            person.deleted = True
        else:
            person.force = f"uid-{person.name}"

    @precondition(there_are("jobs"))
    @rule(pick=PICK, seldom=SELDOM)
    def force_release_of_a_job(self, pick: int, seldom: bool) -> None:
        job = list(self.world.jobs.values())[pick % len(self.world.jobs)]
        # A person may be wrong and take it from one that lives; the claim is final, so its job waits no more.
        if seldom and any(run.startswith(f"{job.name}.") for run in self.world.runs):
            job.force = f"uid-{job.name}"

    @precondition(there_are("jobs"))
    @rule(pick=PICK, seldom=SELDOM)
    def delete_job(self, pick: int, seldom: bool) -> None:
        job = list(self.world.jobs.values())[pick % len(self.world.jobs)]
        job.deleted = job.deleted or seldom

    # --- the controller

    @rule(crash=CRASH)
    def schedule(self, crash: int) -> None:
        self.world.cycle()
        self.pass_over(self.world.reconcile_repository, crash)

    @rule(crash=CRASH)
    def reconcile_repository(self, crash: int) -> None:
        self.pass_over(self.world.reconcile_repository, crash)

    @precondition(there_are("jobs"))
    @rule(pick=PICK, crash=CRASH)
    def reconcile_job(self, pick: int, crash: int) -> None:
        job = list(self.world.jobs.values())[pick % len(self.world.jobs)]
        self.pass_over(lambda: self.world.reconcile_job(job), crash)

    @rule(crash=CRASH)
    def reconcile_all(self, crash: int) -> None:
        self.pass_over(self.everything, crash)

    @rule(passes=st.integers(1, 3))
    def nothing_happens(self, passes: int) -> None:
        for _ in range(passes):
            self.everything()

    # --- the world

    @precondition(there_are("runs"))
    @rule(pick=PICK, evidence=st.sampled_from([Evidence.ENDED, Evidence.GONE]))
    def end_process(self, pick: int, evidence: Evidence) -> None:
        run = list(self.world.runs.values())[pick % len(self.world.runs)]
        if run.evidence is Evidence.ALIVE:
            run.evidence = evidence

    @precondition(there_are("runs"))
    @rule(pick=PICK)
    def silence(self, pick: int) -> None:
        run = list(self.world.runs.values())[pick % len(self.world.runs)]
        run.silent = not run.silent

    @precondition(there_are("runs"))
    @rule(pick=PICK, crash=CRASH)
    def long_silence(self, pick: int, crash: int) -> None:
        run = list(self.world.runs.values())[pick % len(self.world.runs)]
        run.silent = True
        self.world.reconcile_repository()
        self.time_passes(301)
        self.pass_over(self.everything, crash)

    @rule(seconds=st.sampled_from([1, 61, 301, 2000]))
    def time_passes(self, seconds: float) -> None:
        self.world.mono += seconds
        self.world.wall += seconds

    @rule(seconds=st.sampled_from([-3600, 3600]))
    def clock_jumps(self, seconds: float) -> None:
        self.world.wall += seconds

    @rule(policy=st.sampled_from([KEEP, GIVE_ON]))
    def edit_policy(self, policy: Any) -> None:
        self.world.policy = policy

    @rule(fail=SELDOM)
    def directories_fail_or_heal(self, fail: bool) -> None:
        self.world.unreadable = fail

    @rule()
    def wipe_lock(self) -> None:
        self.world.lock = None

    @precondition(there_are("jobs"))
    @rule(pick=PICK)
    def wipe_job(self, pick: int) -> None:
        job = list(self.world.jobs.values())[pick % len(self.world.jobs)]
        # What was launched is found again by its directory; what was only admitted is admitted anew.
        if not job.done:
            job.attempt = None

    @precondition(lambda self: self.world.lock is not None)
    @rule(token=st.integers(1, 30), mode=MODES, low=st.booleans())
    def damage_lock(self, token: int, mode: LockMode, low: bool) -> None:
        lock = self.world.lock
        assert lock is not None
        ghost = Holder(claim="ghost", uid="uid-ghost", mode=mode, token=token, attempt="ghost.1")
        holders = lock.holders if low or any(h.uid == ghost.uid for h in lock.holders) else (*lock.holders, ghost)
        self.world.lock = lock.model_copy(update={"holders": holders, "token": 0 if low else lock.token})

    # --- promises

    @invariant()
    def only_what_may_runs_together(self) -> None:
        self.world.check_world()

    def everything(self) -> None:
        self.world.cycle()
        self.world.reconcile_repository()
        for job in self.world.jobs.values():
            self.world.reconcile_job(job)

    def teardown(self) -> None:
        """In a world that is calm again everybody is served."""
        world = self.world
        world.unreadable = False
        for _ in range(3 * (len(world.jobs) + len(world.people)) + 6):
            for person in world.people.values():
                person.deleted = person.deleted or person.token is not None
            for run in world.runs.values():
                run.silent, run.evidence = False, Evidence.ENDED if run.evidence is Evidence.ALIVE else run.evidence
            self.everything()
            world.check_world()
        left = [job.name for job in world.jobs.values() if not (job.done or job.deleted)]
        assert not left and not world.waiting_people(), (left, world.waiting_people(), world.lock)
        assert world.lock is not None and not world.lock.holders, world.lock


TestLockMachine = LockMachine.TestCase
TestLockMachine.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
