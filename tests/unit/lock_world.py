"""A modelled world around the decisions about one repository's lock: what is recorded, real, and only in memory.

The controller's passes are here as short as they can be (observe, decide, record, act), each may be cut by a crash.
What must never happen is asserted where it would happen.
"""

from __future__ import annotations

from datetime import datetime

from controller.api.batchjob_status import Attempt, AttemptState
from controller.api.repository import Holder, Lock, LockPolicy
from controller.api.repository_use import LockMode
from controller.decisions.holders import Look, Record, record_of, release
from controller.decisions.lock import Claim, Line, compatible, fence_tokens, grant
from controller.decisions.lock_record import Source, Trace, heal, rebuild
from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import Owner
from tests.unit.builders import at
from tests.unit.lock_builders import KEEP
from tests.unit.lock_things import Crash, Job, Memory, Person, Process


class LockWorld:
    """See the module."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.people: dict[str, Person] = {}
        self.runs: dict[str, Process] = {}
        self.lock: Lock | None = None
        self.fence: tuple[int, ...] = ()
        self.fence_max = 0
        self.memory = Memory()
        self.policy: LockPolicy = KEEP
        self.mono, self.wall = 0.0, 0.0
        self.unreadable = False
        self.slots = 3
        self.used = 0  # the largest token that anybody was told
        self.displaced: set[str] = set()  # attempts whose lock was taken by a person, or given on
        self.damaged = False
        self.crash_in = 0  # boundaries left until the controller dies; 0: it does not
        self.sequence = 0

    @property
    def now(self) -> datetime:
        return at(self.wall)

    def boundary(self) -> None:
        """Between two effects of the controller."""
        if self.crash_in:
            self.crash_in -= 1
            if not self.crash_in:
                self.memory = Memory()
                raise Crash

    # --- observe

    def number(self, job: Job) -> int:
        """The attempt that is due next, or recorded and not over."""
        known = [int(each.rpartition(".")[2]) for each in self.runs if each.startswith(f"{job.name}.")]
        last = max([*known, job.attempt.number if job.attempt else 0])
        return last if job.attempt is not None and not job.attempt.state.over else last + 1

    def claim(self, job: Job) -> Claim:
        return Claim(job.order, f"uid-{job.name}", job.name, job.mode, job.name, f"{job.name}.{self.number(job)}")

    def waiting(self, job: Job) -> bool:
        """A wiped job with a run directory is not a candidate: its attempt is rebuilt first."""
        if job.deleted or job.done or f"uid-{job.name}" in self.memory.granted:
            return False
        begun = any(each.startswith(f"{job.name}.") for each in self.runs)
        return not begun if job.attempt is None else job.attempt.state.over

    def waiting_people(self) -> list[Claim]:
        free = [p for p in self.people.values() if not (p.deleted or p.released or p.force)]
        return sorted(Claim(p.order, f"uid-{p.name}", p.name, p.mode) for p in free)

    def found(self, attempt: str) -> Observation:
        run = self.runs.get(attempt)
        seen = run.found if run is not None else Observation(Evidence.ABSENT)
        if self.unreadable:
            seen = Observation(Evidence.UNKNOWN, message="EIO")
        if seen.evidence is Evidence.UNKNOWN:
            self.memory.silent_since.setdefault(attempt, self.mono)
        else:
            self.memory.silent_since.pop(attempt, None)
        return seen

    def look(self, holder: Holder) -> Look:
        person = self.people.get(holder.claim)
        if not holder.attempt:
            if person is None or person.deleted:
                return Look(claim=Owner.GONE)
            return Look(Owner.PRESENT, person.force, person.renewed, person.lease)
        job = self.jobs.get(holder.claim)
        gone = job is None or job.deleted
        record = Record.GONE if gone or job is None else record_of(holder, job.attempt)
        seen = self.found(holder.attempt)
        silent_for = self.mono - self.memory.silent_since.get(holder.attempt, self.mono)
        force = job.force if job is not None else ""
        granted = holder.uid in self.memory.granted
        return Look(Owner.PRESENT, force, record=record, found=seen, granted=granted, silent_for=silent_for)

    def sources(self) -> list[Source]:
        directories = tuple(
            Trace(f"uid-{a.partition('.')[0]}", a.partition(".")[0], run.mode, run.token, a, over=self.is_over(run))
            for a, run in self.runs.items()
        )
        recorded = tuple(
            Trace(f"uid-{j.name}", j.name, j.mode, j.attempt.lock_token or 0, j.attempt.id, over=j.attempt.state.over)
            for j in self.jobs.values()
            if j.attempt is not None and j.attempt.lock_token and not j.deleted
        )
        claims = tuple(
            Trace(f"uid-{p.name}", p.name, p.mode, p.token, over=p.released or bool(p.force))
            for p in self.people.values()
            if p.token is not None and not p.deleted
        )
        return [
            Source("directories", None if self.unreadable else directories, "EIO"),
            Source("jobs", recorded),
            Source("claims", claims),
        ]

    @staticmethod
    def is_over(run: Process) -> bool:
        return run.found.evidence in (Evidence.ENDED, Evidence.GONE)

    # --- the controller's passes

    def cycle(self) -> None:
        """The scheduler: grants in memory, in order; those without a slot stand in line."""
        taken = len(self.memory.granted) + sum(
            1 for j in self.jobs.values() if j.attempt is not None and not j.attempt.state.over and not j.deleted
        )
        free = self.slots - taken
        candidates = sorted(self.claim(job) for job in self.jobs.values() if self.waiting(job))
        asked, stood = [], []
        line = Line(self.lock, self.waiting_people(), self.memory.granted.values())
        for n, each in enumerate(candidates):
            if free > 0:
                asked.append(each)
                if line.may_grant(each):
                    free -= 1
                    self.memory.granted[each.uid] = each
            elif n < self.slots:
                stood.append(each)
                line.stand(each)
        new = line.finish()
        for each in new:
            self.memory.granted[each.uid] = each
        self.check_order(asked, stood, list(new))

    def check_order(self, asked: list[Claim], stood: list[Claim], new: list[Claim]) -> None:
        people = [
            each for each in self.waiting_people() if each.uid not in self.memory.granted and not self.holds(each)
        ]
        refused = [each for each in asked if each.uid not in self.memory.granted]
        for each in refused + people:
            assert not [other for other in new if other.order > each.order], "granted behind one that was refused"
        for each in stood:
            assert compatible([other for other in new if other.order > each.order], each.mode) or not new

    def holds(self, claim: Claim) -> bool:
        return self.lock is not None and any(each.uid == claim.uid for each in self.lock.holders)

    def reconcile_repository(self) -> None:
        """One pass of the one writer of status.lock: rebuild or (release, heal, grant), one PATCH, then the fence."""
        alive = {attempt for attempt in self.runs if self.found(attempt).evidence is Evidence.ALIVE}
        if self.lock is None:
            rebuilt = rebuild(self.sources(), self.fence_max, alive, self.now)
            if rebuilt.lock is None:
                assert self.unreadable
                return
            new = rebuilt.lock
        else:
            released = release(self.lock, {h.uid: self.look(h) for h in self.lock.holders}, self.policy, self.now)
            self.check_released(released.gone)
            healed = heal(released.lock, alive, self.fence_max, self.now)
            assert healed.lock is not None
            new = grant(healed.lock, self.memory.granted.values(), self.now)
        self.check_lock(new)
        if new != self.lock:
            self.boundary()
            self.lock = new
            self.damaged = False
        self.boundary()
        self.fence, self.fence_max = fence_tokens(new, lambda _: True), max(self.fence_max, new.token)
        self.used = max(self.used, self.fence_max)
        self.boundary()
        self.tell_people(new)

    def tell_people(self, lock: Lock) -> None:
        """The projection onto claims; a person's grant is not on its way any more once it is recorded."""
        tokens = {held.uid: held.token for held in lock.holders}
        for person in self.people.values():
            uid = f"uid-{person.name}"
            if uid in tokens:
                self.memory.granted.pop(uid, None)
                person.token = tokens[uid]
                self.used = max(self.used, person.token)
            elif person.token is not None:
                person.released = True
        for uid in [uid for uid, each in self.memory.granted.items() if each.person and self.gone(each.name)]:
            del self.memory.granted[uid]

    def gone(self, name: str) -> bool:
        person = self.people[name]
        return person.deleted or bool(person.force)

    def reconcile_job(self, job: Job) -> None:
        """Record the end; else record Starting with the token of its grant; then launch."""
        uid, running = f"uid-{job.name}", job.attempt is not None and not job.attempt.state.over
        if job.deleted or job.done:
            self.memory.granted.pop(uid, None)
            return
        if job.attempt is None and self.number(job) > 1:
            last = f"{job.name}.{self.number(job) - 1}"
            if self.unreadable:
                return
            state = AttemptState.RUNNING
            job.attempt = Attempt(id=last, number=self.number(job) - 1, state=state, lock_token=self.runs[last].token)
        elif running and job.attempt is not None:
            self.follow(job, job.attempt)
        else:
            self.admit(job, uid)

    def admit(self, job: Job, uid: str) -> None:
        granted = self.memory.granted.get(uid) if not self.unreadable else None
        held = next((h for h in (self.lock.holders if self.lock else ()) if h.uid == uid), None)
        if granted is None or held is None or held.attempt != granted.attempt or held.token not in self.fence:
            return
        self.boundary()
        number = int(granted.attempt.rpartition(".")[2])
        job.attempt = Attempt(id=granted.attempt, number=number, state=AttemptState.STARTING, lock_token=held.token)
        self.used = max(self.used, held.token)
        self.boundary()
        del self.memory.granted[uid]
        self.follow(job, job.attempt)

    def follow(self, job: Job, attempt: Attempt) -> None:
        run = self.runs.get(attempt.id)
        if self.unreadable:
            return
        if run is None and attempt.state is AttemptState.STARTING and attempt.lock_token is not None:
            self.runs[attempt.id] = Process(job.mode, attempt.lock_token)
        elif run is not None and self.is_over(run):
            job.done = run.evidence is Evidence.ENDED
            state = AttemptState.SUCCEEDED if job.done else AttemptState.LOST
            job.attempt = attempt.model_copy(update={"state": state})

    # --- what must never be

    def check_lock(self, new: Lock) -> None:
        pushing = [held for held in new.holders if held.fenced_at is None]
        for held in pushing:
            assert compatible([o for o in pushing if o is not held], held.mode), "two that exclude each other may push"
        before = {each.uid: each.token for each in (self.lock.holders if self.lock else ())}
        for held in new.holders if self.lock is not None else ():
            fresh = before.get(held.uid) != held.token
            assert not fresh or held.token > self.used or held.token in before.values(), "a token was given twice"

    def check_released(self, gone: tuple[object, ...]) -> None:
        for each in gone:
            holder, reason = each.holder, each.reason  # type: ignore[attr-defined]
            run = self.runs.get(holder.attempt)
            if run is None or reason == "ForceReleased":
                continue
            if self.found(holder.attempt).evidence is Evidence.UNKNOWN and reason != "Ended":
                assert reason == "GivenOn", f"silently released: {reason}"
                since = self.memory.silent_since[holder.attempt]
                assert self.policy.when_silent.value == "GiveOn" and self.mono - since >= 300
            else:  # Ended also by the job's record, which was evidence once
                assert run.evidence is not Evidence.ALIVE, f"released while it lives: {reason}"
        self.displaced |= {
            each.holder.attempt  # type: ignore[attr-defined]
            for each in gone
            if each.reason in ("ForceReleased", "GivenOn")  # type: ignore[attr-defined]
        }

    def check_world(self) -> None:
        """What really runs: together only what may; and only what may push is let in by the mirror."""
        live = {a: run for a, run in self.runs.items() if run.evidence is Evidence.ALIVE}
        held = [run for attempt, run in live.items() if attempt not in self.displaced]
        pushing = [run for run in live.values() if run.token in self.fence]
        for group in (held, pushing):
            for run in group:
                others = [o.mode is LockMode.SHARED for o in group if o is not run]
                assert not others or (all(others) and run.mode is LockMode.SHARED), "two run that exclude each other"
