"""The reconciler of Callback: send it until its receiver has it (requirements 6.1-6.3).

One status write for each try, after it: a crash between the two sends the same id again. Tries are made apart from the
workers; a pass over a Callback only looks, decides, records what ended, and begins the next try.
"""

from __future__ import annotations

import random
from collections.abc import Callable as Function

from controller.api.callback import Callback, CallbackPhase
from controller.api.keys import API_VERSION, Key
from controller.api.units import duration_seconds
from controller.decisions import delivery as decision
from controller.decisions.answer import Answer, Blocked, over
from controller.decisions.delivery import CallbackPlan, Seen
from controller.decisions.plan import Note
from controller.delivery.guard import origin
from controller.delivery.hosts import Hosts
from controller.delivery.sender import Message, Sender
from controller.errors import HoldfastError, Waiting
from controller.kube.errors import NotFound
from controller.kube.events import EventType, Reference
from controller.kube.store import Change
from controller.reconcile.callback_book import CallbackBook, before
from controller.reconcile.callback_secrets import CallbackSecrets
from controller.reconcile.flights import Flights, Landed, Outcome
from controller.reconcile.parts import Parts
from controller.reconcile.workers import GONE, Result
from controller.reconcile.workqueue import HIGH, NORMAL
from controller.telemetry.callback_metrics import CallbackMetrics


class CallbackReconciler:
    """Called by the workers with a key, never twice at once for the same Callback.

    Args:
        book: that the store has told everything since before the first LIST.
        per_host: tries at once to one host.
        total: tries at once in all.
        jitter: a number in [0, 1) for the spread of retries.
    """

    def __init__(
        self,
        parts: Parts,
        book: CallbackBook,
        sender: Sender,
        metrics: CallbackMetrics,
        *,
        per_host: int,
        total: int,
        jitter: Function[[], float] = random.random,
    ) -> None:
        self._parts = parts
        self._book = book
        self._sender = sender
        self._metrics = metrics
        self._jitter = jitter
        self._secrets = CallbackSecrets(parts.api, parts.monotonic)
        self._hosts = Hosts(self._hurry, parts.now, per_host, total)
        self._flights = Flights(self._hurry)
        self._up_since = parts.now()
        for at, host, works in book.take_recent():
            self._hosts.learn(host, at, works)
        book.listen(self._changed)

    async def reconcile(self, key: Key) -> Result:
        """One pass over one Callback.

        Raises:
            HoldfastError: as its reaction says; an outcome that could not be recorded is kept for the next pass.
        """
        callback = self._parts.store.find(Callback, key)
        if callback is None:
            self._forget(key)
            return GONE
        landed = self._landed(callback)
        plan = decision.decide(callback, self._seen(callback, landed), self._parts.now())
        if not plan.send:
            self._give_back(key)
        recorded = await self._record(callback, plan)
        self._flights.recorded(key)
        self._count(callback, recorded, landed)
        self._tell(recorded, plan.notes)
        if plan.delete:
            await self._delete(recorded)
            return Result()
        if plan.release:
            await self._release(recorded)
        if plan.send and self._send(recorded, plan.impatient):
            return Result()
        return Result(plan.wake_after)

    def observe_metrics(self) -> None:
        """Bring the gauges up to date; called before a scrape."""
        figures = self._hosts.figures()
        self._metrics.in_flight.set(figures.in_flight)
        self._metrics.waiting.set(figures.waiting)
        self._metrics.open_circuits.set(figures.open)
        for each in CallbackPhase:
            self._metrics.phases.labels(each.value).set(self._book.phases[each.value])

    def standing(self) -> tuple[int, int, int]:
        """Hosts that failed time after time; Callbacks that are not over; Callbacks that were given up."""
        phases = self._book.phases
        pending = phases[CallbackPhase.PENDING.value] + phases[CallbackPhase.DELIVERING.value]
        return self._hosts.figures().open, pending, phases[CallbackPhase.FAILED.value]

    async def land(self, seconds: float) -> int:
        """For the stop, before the workers': begin no more tries, wait for those being made, at most `seconds`.

        Returns how many were cut off; they are sent again after the next start.
        """
        return await self._flights.land(seconds)

    # --- observe

    def _landed(self, callback: Callback) -> Landed | None:
        """The outcome that is not recorded yet; a defect in a try is raised here, where it is loud."""
        landed = self._flights.ended(callback.key)
        if landed is None or landed.uid != callback.metadata.uid:
            return None
        if isinstance(landed.outcome, BaseException):
            self._flights.recorded(callback.key)
            raise landed.outcome
        return landed

    def _seen(self, callback: Callback, landed: Landed | None) -> Seen:
        earlier = self._parts.store.find(Callback, before(callback)) if callback.spec.previous else None
        return Seen(
            up_since=self._up_since,
            ended=landed.outcome if landed is not None and isinstance(landed.outcome, Answer | Blocked) else None,
            ended_after=landed.attempts if landed is not None else 0,
            in_flight=self._flights.flying(callback.key),
            held_by=callback.spec.previous if decision.holds_back(earlier) else "",
            jitter=self._jitter(),
        )

    # --- record

    async def _record(self, callback: Callback, plan: CallbackPlan) -> Callback:
        try:
            return await self._parts.writer.write(callback, plan.status)
        except HoldfastError:
            self._give_back(callback.key)
            raise

    def _count(self, before_: Callback, after: Callback, landed: Landed | None) -> None:
        outcome = landed.outcome if landed is not None else None
        if isinstance(outcome, Blocked):
            self._metrics.blocked.inc()
        if isinstance(outcome, Answer) and after.status.attempts > before_.status.attempts:
            self._metrics.tries.labels(outcome.meaning.value).inc()
            self._metrics.try_seconds.observe(outcome.duration_ms / 1000)
        if not over(after.status) or over(before_.status) or after.status.phase is None:
            return
        self._metrics.ended.labels(after.spec.event.value, after.status.phase.value).inc()
        made, arrived = after.metadata.creation_timestamp, after.status.delivered_at
        if made is not None and arrived is not None:
            self._metrics.latency_seconds.observe(max(0.0, (arrived - made).total_seconds()))

    def _tell(self, callback: Callback, notes: tuple[Note, ...]) -> None:
        for note in notes:
            kind: EventType = "Warning" if note.warning else "Normal"
            self._parts.events.record(Reference.to(callback), kind, note.reason, note.message)
            if over(callback.status) and note.warning and self._job_lives(callback):
                # A dead letter concerns whoever looks at the job.
                self._parts.events.record(_job_reference(callback), kind, note.reason, note.message)

    # --- act

    def _send(self, callback: Callback, impatient: bool) -> bool:
        """Begin a try where its host has room, else it stands in the line and is woken."""
        key, uid, attempts = callback.key, callback.metadata.uid, callback.status.attempts
        if not self._hosts.ask(key, origin(callback.spec.url), impatient=impatient):
            return False
        started = self._flights.start(key, uid, attempts, lambda: self._try(callback))
        if not started:
            self._give_back(key)
        return started

    async def _try(self, callback: Callback) -> Outcome:
        works: bool | None = None
        spec = callback.spec
        try:
            found = await self._secrets.read(callback.metadata.namespace, spec)
            if isinstance(found, Blocked):
                return found
            signer, headers = found
            limits = duration_seconds(spec.timeout.connect), duration_seconds(spec.timeout.total)
            answer = await self._sender.send(Message(spec.url, spec.id, spec.payload, signer, headers, *limits))
            works = answer.meaning.host_works
            return answer
        finally:
            self._hosts.leave(callback.key, works)

    async def _release(self, callback: Callback) -> None:
        """Take its job from its owners, so that it is not deleted with it; the others, if any, stay."""
        meta = callback.metadata
        others = [owner.to_json() for owner in meta.owner_references if owner.uid != callback.spec.job.uid]
        change = {"uid": meta.uid, "resourceVersion": meta.resource_version, "ownerReferences": others or None}
        try:
            raw = await self._parts.api.patch(*callback.key, {"metadata": change})
        except NotFound:
            raise Waiting("Deleted", f"{callback.key} is gone; the watch will say so") from None
        self._parts.store.update(callback.key.kind, raw)

    async def _delete(self, callback: Callback) -> None:
        try:
            await self._parts.api.delete(*callback.key, callback.metadata.uid)
        except NotFound:
            raise Waiting("Deleted", f"{callback.key} is gone; the watch will say so") from None

    # --- what the store tells

    def _changed(self, change: Change) -> None:
        """Who stood behind one that is over goes on, and its job records it; one that was deleted is let go of."""
        old = change.old if isinstance(change.old, Callback) else None
        if isinstance(change.new, Callback):
            if over(change.new.status):
                self._wake_behind(change.key)
            end = decision.end_of(change.new)
            if end is not None and (old is None or end is not decision.end_of(old)):
                self._wake(_job(change.new))
        elif old is not None:
            self._gone(old)

    def _gone(self, old: Callback) -> None:
        """It was deleted; where that was too early, its job is told."""
        self._forget(old.key)
        self._wake_behind(old.key)
        if not over(old.status):
            self._wake(_job(old))
            self._metrics.dropped.inc()
            text = f"{old.spec.event.value} for callback {old.spec.callback} was deleted before it had arrived"
            self._parts.events.record(_job_reference(old), "Warning", "CallbackDropped", text)

    def _job_lives(self, callback: Callback) -> bool:
        job = self._parts.store.job(_job(callback))
        return job is not None and job.metadata.uid == callback.spec.job.uid

    def _forget(self, key: Key) -> None:
        self._flights.drop(key)
        self._hosts.leave(key)

    def _give_back(self, key: Key) -> None:
        """A place that is not used, or in the line; that of a try being made is the try's own."""
        if not self._flights.flying(key):
            self._hosts.leave(key)

    def _wake_behind(self, key: Key) -> None:
        for waiting in self._book.behind(key):
            self._wake(waiting)

    def _wake(self, key: Key) -> None:
        self._parts.queue.add(key, NORMAL)

    def _hurry(self, key: Key) -> None:
        """One that has a place at its host holds it up until it is used; an outcome is better recorded than sent again.

        They are as few as there are places.
        """
        self._parts.queue.add(key, HIGH)


def _job(callback: Callback) -> Key:
    return Key("BatchJob", callback.metadata.namespace, callback.spec.job.name)


def _job_reference(callback: Callback) -> Reference:
    return Reference(API_VERSION, *_job(callback), callback.spec.job.uid)
