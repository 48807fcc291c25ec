"""The chores of `upkeep` of a few lines each. An error that the next time may mend is logged here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import structlog

from controller.api.keys import API_VERSION, Key
from controller.api.names import KINDS
from controller.decisions.binding import Identity
from controller.errors import HoldfastError, Several
from controller.files.quarantine import keep_within, remove_dangling
from controller.kube.errors import OlderEtcd
from controller.kube.events import Reference
from controller.kube.store import Store
from controller.kube.sync import recheck
from controller.reconcile.failure_book import KINDS as FAILURE_KINDS
from controller.reconcile.ownerless import Ownerless
from controller.reconcile.parts import Parts
from controller.reconcile.repository_census import figures
from controller.reconcile.workers import Workers
from controller.reconcile.workqueue import LOW
from controller.recovery.binding import adopt_requested, adopted, write_identity
from controller.recovery.recovery import Recovery
from controller.recovery.relisting import KIND as JOBS
from controller.recovery.relisting import Relisting
from controller.telemetry.integrity import Integrity
from controller.telemetry.metrics import DEGRADED_REASONS

TELL_AGAIN_SECONDS = 1800.0  # Events live for an hour
INVALID_WAY_OUT = (
    "Mend it with kubectl edit, or run the version of Holdfast that wrote it; until then nothing of it is started, "
    "stopped or removed."
)

_log = structlog.get_logger("controller.upkeep")


class HighestVersion:
    """Keeps the highest resourceVersion seen, so that an older backup of etcd is noticed at the next start."""

    def __init__(self, home: Path, identity: Identity, store: Store) -> None:
        self._home = home
        self._identity = identity
        self._store = store

    def remember(self) -> None:
        """Write it where it has risen."""
        highest = max(self._store.highest_version(kind) for kind in KINDS)
        if highest <= self._identity.highest_version:
            return
        identity = replace(self._identity, highest_version=highest)
        try:
            write_identity(self._home, identity)
        except OSError as error:
            _log.error("cannot write to the state directory", error=str(error), path=str(self._home))
            return
        self._identity = identity


class CorruptObjects:
    """Tells of objects that do not validate, where a person looks at them (requirement 7.5).

    An Event and no condition: the status of an object that cannot be read is not ours to write.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._told: dict[Key, tuple[int, float]] = {}  # version and when

    def tell(self) -> None:
        """Tell of each version once, and again before the API server forgets the Event."""
        now, corrupt = self._parts.monotonic(), self._parts.store.corrupt
        self._told = {key: told for key, told in self._told.items() if key in corrupt}
        for key, aside in corrupt.items():
            version, when = self._told.get(key, (-1, 0.0))
            if version == aside.version and now - when < TELL_AGAIN_SECONDS:
                continue
            if key not in self._told:
                self._parts.account.note("corrupt", str(key))
            self._told[key] = aside.version, now
            text = f"set aside, it does not validate: {aside.error}. {INVALID_WAY_OUT}"
            self._parts.events.record(Reference(API_VERSION, *key, aside.uid), "Warning", "Invalid", text)


async def tidy_quarantine(home: Path, integrity: Integrity) -> None:
    """Remove the reasons of what was never moved, and what is more than quarantine keeps."""
    several = Several()
    with several.kept():
        await asyncio.to_thread(remove_dangling, home, time.time())
    with several.kept():
        removed, failed = await asyncio.to_thread(keep_within, home, time.time())
        for aside in removed:
            integrity.removed(str(aside.path), aside.reason)
        if failed is not None:
            raise failed
    if (error := several.error) is not None:
        _log.error("cannot tidy up the state directory", error=str(error))


def follow_adopt(home: Path, ownerless: Ownerless) -> None:
    """The directory is bound, so `holdfast adopt` can only speak of attempts whose jobs are gone."""
    if not adopt_requested(home):
        return
    try:
        adopted(home)
    except OSError as error:
        _log.error("cannot take the request to adopt away", path=str(error.filename), error=str(error))
        return
    _log.warning("adopted: running attempts without a BatchJob are ended")
    ownerless.adopt()


async def tidy(work: Callable[[], Awaitable[None]]) -> bool:
    """Go on with what a crash interrupted in the run directories; False where it has to be tried again soon."""
    try:
        await work()
    except HoldfastError as error:
        _log.warning("cannot tidy up the run directories", reason=error.reason, error=error.message)
        return False
    return True


async def recheck_store(parts: Parts, relisting: Relisting) -> None:
    """Find what the watches did not tell; jobs are read by `relisting`, which keeps their order meanwhile.

    Raises:
        OlderEtcd: etcd was replaced: the controller has to end; the next start is degraded and says why.
    """
    relisting.look_again()
    for kind in KINDS:
        if kind == JOBS:
            continue
        try:
            await recheck(parts.api, parts.store, kind, lambda change: parts.queue.add(change.key, LOW))
        except OlderEtcd:
            raise
        except HoldfastError as error:
            _log.warning("the re-check failed", kind=kind, reason=error.reason, error=error.message)


def follow_failures(parts: Parts) -> None:
    """Have the statuses say what failed lately; the reconcilers write them."""
    if not parts.failures.is_due(parts.now()):
        return
    first = not parts.failures.counted
    changed = set(parts.failures.look(parts.now()))
    if first:  # what was recorded before the start may be too old by now
        changed |= {key for kind in FAILURE_KINDS.values() for key in parts.store.keys(kind)}
    for key in changed:
        parts.queue.add(key, LOW)


def observe_gauges(parts: Parts, ownerless: Ownerless, workers: Workers, recovery: Recovery) -> None:
    """Set the gauges that no event sets: work queue, gate, degradation, queues, repositories."""
    workers.observe()
    closed = parts.scheduler.gate.closed_for
    parts.metrics.decisions.observe(parts.now())
    corrupt = len(parts.store.corrupt)
    parts.metrics.integrity.observe(sum(map(parts.store.count, KINDS)) + corrupt, corrupt)
    parts.metrics.repositories.show(figures(parts.store))
    parts.metrics.gate_open.set(0 if closed else 1)
    asked = "ManyOwnerless" if ownerless.held_for_a_person else None
    shut = asked or next((why for why in closed if why in DEGRADED_REASONS), None)
    parts.metrics.set_degraded(shut, "RecoveryFailed" if recovery.phases.degraded() else None)
    for (namespace, name), account in parts.scheduler.books.accounts.items():
        if not account.used:
            parts.metrics.drop_queue(f"{namespace}/{name}")
        else:
            paused = account.declared is not None and account.declared.spec.paused
            parts.metrics.set_queue(
                f"{namespace}/{name}", len(account.waiting), len(account.held), paused, len(account.outside)
            )
