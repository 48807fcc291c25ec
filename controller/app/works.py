"""The parts that exist once the cluster is joined: they need to know whose attempts are ours."""

from __future__ import annotations

import socket
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controller.api.recoveryreport import PreviousStop, RecoveryReport
from controller.app.executing import Executing, executing
from controller.app.foundation import Foundation
from controller.app.kinds import reconcilers
from controller.app.sides import Sides, sides
from controller.decisions.reporting import Start
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.identity import of_self
from controller.kube.client import Api
from controller.kube.events import Recorder
from controller.reconcile.evictions import Evictions
from controller.reconcile.held import Held
from controller.reconcile.index import ATTEMPT
from controller.reconcile.intake import Intake
from controller.reconcile.orphans import OrphanReconciler
from controller.reconcile.ownerless import Ownerless
from controller.reconcile.parts import Parts
from controller.reconcile.record import StatusWriter
from controller.reconcile.router import Router
from controller.reconcile.workers import Workers
from controller.recovery.chores import HighestVersion
from controller.recovery.disk import DiskWatch
from controller.recovery.join import Joined
from controller.recovery.recovery import Recovery
from controller.recovery.relisting import Relisting
from controller.recovery.snapshots.schedule import Schedule
from controller.recovery.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True)
class Works:
    """See the module.

    Args:
        attempts: where they run.
        gits: executor of operations on repositories.
    """

    parts: Parts
    attempts: Executing
    gits: ProcessExecutor
    sides: Sides
    intake: Intake
    relisting: Relisting
    ownerless: Ownerless
    orphans: OrphanReconciler
    stopwatch: Stopwatch
    recovery: Recovery
    workers: Workers
    highest: HighestVersion
    disk: DiskWatch
    schedule: Schedule


def put_together(base: Foundation, api: Api, joined: Joined, previous: PreviousStop, stood_by: float) -> Works:
    """Make them in the order in which they need each other; nothing runs yet.

    Args:
        previous: how the controller before ended.
        stood_by: seconds for which another controller led while this one ran.
    """
    settings, identity = base.settings, joined.identity
    attempts = executing(base, api, identity.state_id)
    parts = _parts(base, api, attempts)
    ownerless = Ownerless(parts)
    gits = ProcessExecutor(settings.operations, identity.state_id, settings.sweep_seconds, home="private")
    both = sides(base, parts, gits)
    orphans = OrphanReconciler(parts, ownerless)
    stopwatch = Stopwatch(base.metrics, base.queue, lambda: bool(base.scheduler.gate.closed_for), stood_by)
    stopwatch.listed(joined.listed_at, joined.list_cpu_seconds)
    start = _start(base, identity.state_id, previous, stopwatch.seconds())
    recovery = Recovery(parts, settings, start, ownerless, stopwatch)
    router = Router(
        {
            **reconcilers(parts, both),
            ATTEMPT: orphans.reconcile,
            RecoveryReport.names.kind: recovery.report.reconcile,
        },
        Held(parts).wait,
    )
    intake = Intake(base.store, base.queue, base.scheduler, parts.writer)
    parts.writer.on_late(intake.recorded_late)
    return Works(
        parts=parts,
        attempts=attempts,
        gits=gits,
        sides=both,
        intake=intake,
        relisting=Relisting(api, base.store, base.queue, base.scheduler, intake.told),
        ownerless=ownerless,
        orphans=orphans,
        stopwatch=stopwatch,
        recovery=recovery,
        workers=Workers(base.queue, recovery.phases.watching(router.reconcile), settings.workers, base.metrics),
        highest=HighestVersion(settings.home, identity, base.store),
        disk=DiskWatch(parts, settings, attempts.output),
        schedule=Schedule(parts, settings.snapshot_schedule, settings.namespace),
    )


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def _start(base: Foundation, state_id: str, previous: PreviousStop, began_ago: float) -> Start:
    return Start(
        state_id=state_id,
        start_id=str(uuid.uuid4()),
        version=base.version,
        host=socket.gethostname(),
        boot_id=of_self().boot,
        previous=previous,
        began=now() - timedelta(seconds=began_ago),
    )


def _parts(base: Foundation, api: Api, attempts: Executing) -> Parts:
    events = Recorder(api, base.metrics)
    return Parts(
        api=api,
        store=base.store,
        queue=base.queue,
        writer=StatusWriter(api, base.store, base.audit, base.scheduler.owner, events),
        executor=attempts.executor,
        index=base.index,
        scheduler=base.scheduler,
        evictions=Evictions(),
        account=base.account,
        events=events,
        metrics=base.metrics,
        audit=base.audit,
        failures=base.failures,
        host=attempts.host,
        now=now,
        monotonic=time.monotonic,
        output_location=attempts.output_location,
    )
