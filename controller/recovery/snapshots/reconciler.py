"""The reconciler of Snapshot: observe, decide, record, act (design 1). The decision is in `decisions/snapshot.py`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from controller.api.keys import Key
from controller.api.snapshot import Snapshot, SnapshotPhase
from controller.decisions.audited_acts import archive_removed
from controller.decisions.snapshot import BUSY, NotTaken, Seen, Taken, decide, expired, is_good, location_of, too_old
from controller.errors import Terminal, Transient, Waiting
from controller.files.remote import wrong_address
from controller.files.remote_calls import apart
from controller.kube.errors import NotFound
from controller.kube.events import Reference
from controller.kube.store import Change
from controller.reconcile.parts import Parts
from controller.reconcile.workers import GONE, Result
from controller.reconcile.workqueue import LOW, NORMAL
from controller.recovery.archive import places
from controller.recovery.snapshots.take import Order, Taker
from controller.settings import Settings
from controller.telemetry.audit import DIRECTORY

_log = structlog.get_logger("controller.snapshots")


@dataclass(frozen=True, slots=True)
class _Ended:
    uid: str
    outcome: Taken | NotTaken | BaseException


@dataclass(slots=True)
class _Flight:
    """The one Snapshot that is being taken; `task` is None while it is still to be recorded that it is."""

    uid: str
    task: asyncio.Task[Taken | NotTaken] | None = None


class SnapshotReconciler:
    """Called by the workers with a key, never twice at once for the same Snapshot; takes one at a time.

    Workers look at several Snapshots at once, so its turn is reserved in the same step as it is decided: before the
    record, which may wait, and given back where that fails.
    """

    def __init__(self, parts: Parts, taker: Taker, settings: Settings) -> None:
        self._parts = parts
        self._taker = taker
        self._settings = settings
        self._flying: _Flight | None = None
        self._began = 0.0
        self._ended: dict[Key, _Ended] = {}
        parts.store.listen(self._changed, Snapshot.names.kind)

    async def reconcile(self, key: Key) -> Result:
        """One pass over one Snapshot.

        Raises:
            HoldfastError: as its reaction says.
        """
        snapshot = self._parts.store.find(Snapshot, key)
        if snapshot is None:
            self._ended.pop(key, None)
            return GONE
        ended = self._landed(snapshot)
        plan = decide(snapshot, self._seen(snapshot, ended), self._parts.now())
        flight = self._reserve(snapshot) if plan.take else None
        try:
            recorded = await self._parts.writer.write(snapshot, plan.status)
        except BaseException:
            self._give_back(flight)
            raise
        self._ended.pop(key, None)
        self._tell(snapshot, recorded)
        if flight is not None:
            self._take(recorded, flight)
        if plan.remove:
            await self._remove(recorded)
        return Result(plan.wake_after)

    async def stop(self) -> None:
        """End what is being taken: it is taken again after the next start."""
        if self._flying is not None and self._flying.task is not None:
            self._flying.task.cancel()
            await asyncio.gather(self._flying.task, return_exceptions=True)

    def look_at_all(self) -> None:
        """Time alone expires Snapshots: look at those that retention may want."""
        for key in self._expired():
            self._parts.queue.add(key, LOW)

    def show(self) -> None:
        """Bring the gauges up to date."""
        good = [each.status.finished_at for each in self._all() if is_good(each) and each.status.finished_at]
        self._parts.metrics.snapshots.last_success.set(max(good).timestamp() if good else 0)

    # --- observe

    def _all(self) -> list[Snapshot]:
        return [each for _, each in self._parts.store.items("Snapshot") if isinstance(each, Snapshot)]

    def _expired(self) -> frozenset[Key]:
        keep_for = timedelta(hours=self._settings.snapshot_keep_hours)
        return expired(self._all(), self._settings.snapshot_keep, keep_for, self._parts.now())

    def _landed(self, snapshot: Snapshot) -> Taken | NotTaken | None:
        """The outcome that is not recorded yet; a defect is raised here, where it is loud."""
        landed = self._ended.get(snapshot.key)
        if landed is None or landed.uid != snapshot.metadata.uid:
            return None
        if isinstance(landed.outcome, BaseException):
            del self._ended[snapshot.key]
            raise landed.outcome
        return landed.outcome

    def _seen(self, snapshot: Snapshot, ended: Taken | NotTaken | None) -> Seen:
        flying = self._flying is not None and self._flying.uid == snapshot.metadata.uid
        directory = snapshot.spec.destination or self._settings.snapshot_directory
        over = snapshot.status.phase is not None and snapshot.status.phase.over
        return Seen(
            location=location_of(snapshot, directory),
            ended=ended,
            in_flight=flying,
            busy=self._flying is not None and not flying,
            refused="" if over else self._refused(directory),
            expired=over and snapshot.key in self._expired(),
        )

    def _refused(self, directory: str) -> str:
        """Whoever may make a Snapshot must not write anywhere that the controller can."""
        if (wrong := wrong_address(directory)) is not None:
            return f"spec.destination: {wrong}"
        allowed = (self._settings.snapshot_directory, *self._settings.snapshot_allow.split(","))
        if not places.is_local(directory) or ".." not in Path(directory).parts:
            for prefix in filter(None, map(str.strip, allowed)):
                base = prefix.rstrip("/")
                if prefix == "*" or directory.rstrip("/") == base or directory.startswith(f"{base}/"):
                    relative = places.is_local(directory) and not Path(directory.removeprefix("file://")).is_absolute()
                    return f"spec.destination {directory} is not absolute" if relative else ""
        return f"spec.destination {directory} is not allowed: leave it out, or name it in HOLDFAST_SNAPSHOT_ALLOW"

    # --- act

    def _reserve(self, snapshot: Snapshot) -> _Flight:
        self._flying = _Flight(snapshot.metadata.uid)
        return self._flying

    def _give_back(self, flight: _Flight | None) -> None:
        """Those that wait look again by themselves: waking them here would have them wake this one in turn."""
        if flight is not None and self._flying is flight:
            self._flying = None

    def _take(self, snapshot: Snapshot, flight: _Flight) -> None:
        key, uid = snapshot.key, snapshot.metadata.uid
        audit = (
            self._settings.home / DIRECTORY if snapshot.spec.include_audit or self._settings.snapshot_audit else None
        )
        field = "spec.destination" if snapshot.spec.destination else "HOLDFAST_SNAPSHOT_DESTINATION"
        order = Order(uid, f"{key.namespace}/{key.name}", snapshot.status.location, field, audit)
        task = asyncio.create_task(self._taker.take(order), name=f"snapshot-{key.name}")
        flight.task, self._began = task, self._parts.monotonic()
        task.add_done_callback(lambda done: self._done(key, flight, done))

    def _done(self, key: Key, flight: _Flight, task: asyncio.Task[Taken | NotTaken]) -> None:
        self._give_back(flight)
        if task.cancelled():
            return
        metrics, outcome = self._parts.metrics.snapshots, task.exception() or task.result()
        metrics.seconds.observe(self._parts.monotonic() - self._began)
        self._ended[key] = _Ended(flight.uid, outcome)
        self._parts.queue.add(key, NORMAL)
        for waiting in self._all():
            if waiting.status.phase is None or not waiting.status.phase.over:
                self._parts.queue.add(waiting.key, NORMAL)

    async def _remove(self, snapshot: Snapshot) -> None:
        """The archive first: an object without one says so by its condition, an archive without one is found by nobody.

        Raises:
            Transient: the archive could not be removed.
        """
        location, meta = snapshot.status.location, snapshot.metadata
        try:
            if location:
                await (asyncio.to_thread if places.is_local(location) else apart)(places.remove, location)
        except (OSError, Terminal) as error:
            raise Transient("ArchiveNotRemoved", f"{location}: {error}") from error
        _log.info("removed by retention", snapshot=str(snapshot.key), location=location)
        keep_for = timedelta(hours=self._settings.snapshot_keep_hours)
        old = too_old(snapshot, keep_for, self._parts.now())
        self._parts.audit.say_once(archive_removed(snapshot, "TooOld" if old else "TooMany"))
        try:
            await self._parts.api.delete(*snapshot.key, meta.uid)
        except NotFound:
            raise Waiting("Deleted", f"{snapshot.key} is gone; the watch will say so") from None

    def _tell(self, before: Snapshot, after: Snapshot) -> None:
        phase, why = after.status.phase, after.status.message
        if phase is SnapshotPhase.PENDING and after.status.tries and why not in (before.status.message, BUSY):
            self._parts.events.record(Reference.to(after), "Warning", "NotTaken", why)
        if phase is before.status.phase or phase is None or not phase.over:
            return
        good = phase is SnapshotPhase.COMPLETE
        self._parts.metrics.snapshots.taken.labels("ok" if good else "failed").inc()
        text = f"{after.status.total} objects in {after.status.location}" if good else after.status.message
        self._parts.events.record(Reference.to(after), "Normal" if good else "Warning", str(phase), text)
        if good:
            self.look_at_all()
        else:
            _log.error("a Snapshot failed", snapshot=str(after.key), error=text)

    def _changed(self, change: Change) -> None:
        """A deleted Snapshot is not taken to its end."""
        flying, old = self._flying, change.old
        if flying is None or flying.task is None or change.new is not None or old is None:
            return
        if old.metadata.uid == flying.uid:
            flying.task.cancel()
