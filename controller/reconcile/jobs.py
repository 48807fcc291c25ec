"""The reconciler of BatchJob: observe, decide, record, act (design 1).

Nothing is remembered between two calls that the next process could not find out again: the errors of the last action
and the moment a start was first seen only make messages better and time limits monotonic.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState
from controller.api.keys import Key
from controller.api.restored import RESTORED_ATTEMPT, restored_attempt
from controller.decisions import status as step
from controller.decisions.audited_acts import acted, taken_up
from controller.decisions.executors import POD
from controller.decisions.inputs import LeftState, Observed, RepositoryView
from controller.decisions.job import decide, retry_left
from controller.decisions.job_repository import awaits_lock, makes_workspace
from controller.decisions.observed import Observation
from controller.decisions.orphan import is_over
from controller.decisions.plan import Delete, Launch, Plan, Release, Void
from controller.errors import HoldfastError, Terminal, Waiting
from controller.executors.base import AttemptId
from controller.kube.events import EventType, Reference
from controller.reconcile.census import Census
from controller.reconcile.children import NameTaken
from controller.reconcile.environment import Environment
from controller.reconcile.index import attempt_key
from controller.reconcile.job_actions import JobActions
from controller.reconcile.job_deliveries import JobDeliveries
from controller.reconcile.job_repositories import JobRepositories
from controller.reconcile.orphans import tell_not_kept
from controller.reconcile.parts import Parts
from controller.reconcile.resumption import Resumption
from controller.reconcile.sequence import PlaceFinder
from controller.reconcile.workers import GONE, Result

RELEASE_AGAIN_SECONDS = 1.0

_log = structlog.get_logger("controller.jobs")


@dataclass(slots=True)
class _Memory:
    """What makes one job's messages and limits better; losing it loses nothing. `error` belongs to one attempt."""

    error: tuple[int, HoldfastError] | None = None
    starting: dict[int, float] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)


class JobReconciler:
    """Called by the workers with a key, never twice at once for the same job."""

    def __init__(
        self, parts: Parts, repositories: JobRepositories, deliveries: JobDeliveries, resumption: Resumption
    ) -> None:
        self._parts = parts
        self._resumption = resumption
        self._deliveries = deliveries
        self._repositories = repositories
        self._actions = JobActions(parts, repositories, resumption)
        self._census = Census(parts.metrics)
        self._places = PlaceFinder(parts.api, parts.store, parts.scheduler, parts.events)
        self._memory: dict[str, _Memory] = {}
        self._up_since = parts.now()

    async def reconcile(self, key: Key) -> Result:
        """One pass over one job.

        Raises:
            HoldfastError: as its reaction says; the status and the world are consistent at every point of raising.
        """
        parts = self._parts
        job = parts.store.job(key)
        if job is None:
            parts.scheduler.gate.accounted(key)
            return GONE
        if parts.scheduler.sequence(job) is None and not step.finished(job.status):
            await self._places.find(job)
        seen, environment = await self._observe(job)
        plan = decide(job, seen, parts.host, parts.now())
        read = job
        # A grant that came while this decision was recorded was not seen by it: the next pass uses it.
        job = await self._record(job, plan, keep_grant=awaits_lock(seen) or not seen.granted)
        if (left := retry_left(job, job.status, parts.now())) > 0:
            parts.scheduler.hold_back(job.metadata.uid, left)
        self._tell(job, plan)
        if seen.taken_up and seen.attempt is not None:
            parts.audit.say_once(taken_up(read, seen.attempt.evidence.value))
        parts.account.looked_at(read, plan.status, seen.attempt)
        parts.account.restored(job)
        # What runs is known and recorded; an action that fails for long must not keep all the others waiting.
        parts.scheduler.gate.accounted(key)
        again = await self._make_children(job)
        if not await self._act(job, plan, environment):
            return Result(0.0)
        if step.finished(job.status) and again is None:
            self._memory.pop(job.metadata.uid, None)
            parts.evictions.done(job.metadata.uid)
        await self._repositories.tidy(job)
        return Result(min((each for each in (plan.wake_after, again) if each is not None), default=None))

    # --- observe

    async def _observe(self, job: BatchJob) -> tuple[Observed, Environment | None]:
        parts, uid = self._parts, job.metadata.uid
        deliveries, delivered_at = self._deliveries.seen(job)
        if step.finished(job.status):
            return Observed(deliveries=deliveries, delivered_at=delivered_at), None
        known = parts.index.known(uid)
        attempt = self._newest(job, known)
        observation = await parts.executor.observe(attempt) if attempt is not None else None
        carried = None
        if attempt is not None and job.status.attempt is None:  # the status was wiped
            carried = await parts.executor.annotations(attempt)
        granted = parts.scheduler.granted(uid)
        left = await self._resumption.look(job, observation, granted=granted)
        environment, blocked = await self._startable(job, granted)
        if granted and left is not None and left.state is LeftState.UNKNOWN:
            parts.scheduler.hold_back(uid, 5.0)
            blocked = ("StateUnreadable", left.message)
        position = None if job.status.phase is not None else parts.scheduler.books.position(uid)
        eta = parts.scheduler.books.eta(uid, parts.scheduler.host_limit) if position is not None else None
        again = parts.scheduler.pace.look_again(uid, position) if position is not None else None
        repository = await self._repositories.view(job, observation)
        starting_for = self._starting_for(job, observation, repository)
        memory = self._memory.get(uid) or _Memory()
        failed, error = memory.error or (None, None)
        seen = Observed(
            attempt=observation,
            known=known,
            annotations=carried or {},
            starting_for=starting_for,
            sequence=parts.scheduler.sequence(job),
            granted=granted,
            blocked=blocked,
            position=position,
            look_again=again,
            eta=eta,
            deliveries=deliveries,
            evict=parts.evictions.reason(uid),
            repository=repository,
            error=error if attempt is not None and attempt.number == failed else None,
            taken_up=self._taken_up(job),
            output=parts.output_location(attempt) if attempt is not None else "",
            left=left,
        )
        return seen, environment

    def _taken_up(self, job: BatchJob) -> bool:
        attempt = step.active(job.status)
        began = (attempt.admitted_at or attempt.started_at) if attempt is not None else None
        return began is not None and began < self._up_since

    def _newest(self, job: BatchJob, known: tuple[int, ...] | None) -> AttemptId | None:
        active = step.active(job.status)
        if active is not None:
            return AttemptId(job.metadata.uid, active.number)
        if job.status.attempt is None and known:
            return AttemptId(job.metadata.uid, max(known))
        return None

    async def _startable(self, job: BatchJob, granted: bool) -> tuple[Environment | None, tuple[str, str] | None]:
        """The environment where the job is about to start, or why it cannot start."""
        scheduler, uid = self._parts.scheduler, job.metadata.uid
        if not scheduler.books.exists((job.metadata.namespace, job.spec.queue)):
            text = f"there is no JobQueue {job.spec.queue} in namespace {job.metadata.namespace}"
            return None, ("QueueNotFound", text)
        if (never := self._repositories.never(job)) is not None:
            return None, never
        if not granted or retry_left(job, job.status, self._parts.now()) > 0:
            return None, None if granted else self._repositories.why(uid)
        if (alive := await self._before_restore(job)) is not None:
            scheduler.hold_back(uid, 5.0)
            return None, ("RestoredAttemptRuns", alive)
        try:
            return await self._actions.environment(job), None
        except Waiting as missing:
            scheduler.hold_back(uid, missing.retry_after or 5.0)
            return None, (missing.reason, missing.message)

    async def _before_restore(self, job: BatchJob) -> str | None:
        """Why a restored job must not start again: its attempt of before still runs here, or may."""
        newest = job.status.attempt
        name = restored_attempt(job.metadata, newest.number if newest is not None else None)
        if name is None or is_over(await self._parts.executor.observe(AttemptId.parse(name))):
            return None
        way_out = f"let it end, or give it up: kubectl annotate bj {job.metadata.name} {RESTORED_ATTEMPT}-"
        return f"its attempt {name} from before the restore is not proved to be over; {way_out}"

    def _starting_for(self, job: BatchJob, found: Observation | None, view: RepositoryView | None) -> float:
        attempt = step.active(job.status)
        if attempt is None or attempt.state is not AttemptState.STARTING:
            return 0.0
        memory = self._memory.setdefault(job.metadata.uid, _Memory())
        refused = attempt.executor == POD and memory.error is not None and isinstance(memory.error[1], Waiting)
        # By a quota or a full cluster; or its workspace, which has a deadline of its own, is made first.
        if refused or (found is not None and found.held) or makes_workspace(view):
            memory.starting.pop(attempt.number, None)
            return 0.0
        now = self._parts.monotonic()
        return now - memory.starting.setdefault(attempt.number, now)

    # --- record

    async def _record(self, job: BatchJob, plan: Plan, *, keep_grant: bool) -> BatchJob:
        new = await self._parts.writer.write(job, plan.status)
        if new is not job:
            self._census.recorded(job, plan.status)
        if step.active(new.status) is None and not keep_grant:
            self._parts.scheduler.give_back(new.metadata.uid)  # it was not turned into an admission
        return new

    def _tell(self, job: BatchJob, plan: Plan) -> None:
        for note in plan.notes:
            type_: EventType = "Warning" if note.warning else "Normal"
            self._parts.events.record(Reference.to(job), type_, note.reason, note.message)

    # --- act

    async def _make_children(self, job: BatchJob) -> float | None:
        """What follows from the record: claim, preparation, Callbacks; returns seconds until it is worth another try.

        A name that somebody else has keeps nothing else of the job waiting, least of all its stop or its release.
        """
        again = None
        for make in (self._repositories.line.stand, self._deliveries.make):
            try:
                await make(job)
            except NameTaken as taken:
                again = taken.retry_after
                memory = self._memory.setdefault(job.metadata.uid, _Memory())
                if taken.message not in memory.told:
                    memory.told.add(taken.message)
                    self._parts.events.record(Reference.to(job), "Warning", taken.reason, taken.message)
        return again

    async def _act(self, job: BatchJob, plan: Plan, environment: Environment | None) -> bool:
        """Act; False where a launch can never succeed, which is to be decided about at once."""
        for action in plan.actions:
            memory = self._memory.setdefault(job.metadata.uid, _Memory())
            try:
                await self._actions.do(job, action, environment)
            except HoldfastError as error:
                self._parts.audit.say_once(acted(job, action, error))
                number = 0 if isinstance(action, Delete) else action.number
                memory.error = (number, error)
                if isinstance(action, Release):
                    # The job is over: the attempt's own key goes on with what is left of it.
                    tell_not_kept(self._parts, job, error)
                    self._parts.queue.add_after(attempt_key(AttemptId(job.metadata.uid, number)), RELEASE_AGAIN_SECONDS)
                if isinstance(error, Terminal) and isinstance(action, Launch):
                    return False
                raise
            self._parts.audit.say_once(acted(job, action))
            if not isinstance(action, Void):  # the end of a voided attempt is told by the error that led to it
                memory.error = None
                self._parts.evictions.done(job.metadata.uid)
        return True
