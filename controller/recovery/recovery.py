"""The recovery of one start, put together: its phases, its account, its report, and what they make the others do.

It is an account of the first pass of the daily loop. What it does itself: it lets admission go on without attempts that
cannot be looked at in time, begins the ramp, and says how it stands.
"""

from __future__ import annotations

from datetime import datetime

import structlog

from controller.api.recoveryreport import PhaseState, RecoveryResult
from controller.decisions.audited_acts import recovered
from controller.decisions.recommendations import Findings, recommended
from controller.decisions.recovery import RecoveryPhase
from controller.decisions.reporting import Found, Start, failed_phases
from controller.reconcile.account import RESTORED
from controller.reconcile.first_pass import FirstPass
from controller.reconcile.ownerless import Ownerless
from controller.reconcile.parts import Parts
from controller.reconcile.workqueue import LOW
from controller.recovery.phases import Phases
from controller.recovery.report import ReportReconciler
from controller.recovery.stopwatch import Stopwatch
from controller.settings import Settings
from controller.telemetry.recovery_metrics import OUTCOMES

LATE_SECONDS = 120.0  # what orphans give back is found after the last phase, too
SOON_SECONDS = 5.0  # until a late change is written
MANY_SECONDS = 60.0  # the same beside a restore, which brings thousands: a start writes its report a few times only

_log = structlog.get_logger("controller.recovery")


class Recovery:
    """See the module.

    Args:
        start: what does not change of it.
    """

    def __init__(
        self, parts: Parts, settings: Settings, start: Start, ownerless: Ownerless, stopwatch: Stopwatch
    ) -> None:
        self._parts = parts
        self._settings = settings
        self._start = start
        self._ownerless = ownerless
        self._finished: datetime | None = None
        self._closes_at = float("inf")
        self._reattached = {"ok": 0, "failed": 0}  # that the metric knows of
        self._stopwatch = stopwatch
        gate = parts.scheduler.gate
        self.phases = Phases(
            lambda: gate.closed_for, gate.unaccounted, self._changed, stopwatch.looked, parts.monotonic
        )
        self._integrity = self.phases.step(RecoveryPhase.INTEGRITY, "state directory")
        self._owners = self.phases.step(RecoveryPhase.ORPHANS, "owners")
        self.leftovers = self.phases.step(RecoveryPhase.ORPHANS, "run directories")
        self.sweep = self.phases.step(RecoveryPhase.ORPHANS, "sweep")
        self.report = ReportReconciler(parts, settings.namespace, start, self.found)
        parts.metrics.recovery.running.set(1)

    def begin(self, queued: FirstPass) -> None:
        """The first pass has queued its keys: the state directory could be read."""
        if queued.held or queued.ownerless:
            self._parts.scheduler.ramp.begin(self._settings.ramp_resumed_per_second, self._settings.ramp_new_per_second)
        self._integrity.done()
        self._look_at_owners()
        self._parts.account.on_change(self._noted)
        self._parts.queue.add(self.report.key, LOW)
        self.phases.begin(queued)

    def tick(self) -> None:
        """Now and then: limits, and what changes without a reconcile."""
        self._look_at_owners()
        self.phases.look()
        if self._parts.monotonic() > self._closes_at:
            self._closes_at = float("inf")
            self._parts.account.close()
        self._show()

    def found(self) -> Found:
        """What the report has to say now."""
        account, phases = self._parts.account, self.phases.report()
        tallies = account.tallies
        return Found(
            result=self.phases.result,
            phases=phases,
            counts={outcome: tally.count for outcome, tally in tallies.items()},
            names={outcome: tuple(tally.names) for outcome, tally in tallies.items()},
            memory_bytes=account.memory_bytes,
            disk_bytes=account.disk_bytes,
            actions=recommended(self._findings()),
            finished=self._finished,
            why=failed_phases(phases),
        )

    def _findings(self) -> Findings:
        tallies, scheduler = self._parts.account.tallies, self._parts.scheduler
        return Findings(
            troubles=self.phases.troubles(),
            deciding=tallies["needing_decision"].names,
            restored=(tallies[RESTORED].names, tallies[RESTORED].count),
            corrupt=tallies["corrupt"].names,
            shut={} if self.phases.result is RecoveryResult.RUNNING else scheduler.gate.closed_for,
            ownerless=self._ownerless.held_for_a_person,
            home=str(self._settings.home),
        )

    # --- what changes

    def _changed(self, phases: Phases) -> None:
        """A phase has another state."""
        if phases.states[RecoveryPhase.ATTEMPTS] is PhaseState.FAILED:
            self._parts.scheduler.gate.wait_no_longer()
        if phases.result is not RecoveryResult.RUNNING:
            self._settled(phases.result)
        self._show()
        self._parts.queue.add(self.report.key, LOW)

    def _settled(self, result: RecoveryResult) -> None:
        """All phases are over or failed: the first time, or healed."""
        metrics, now = self._parts.metrics.recovery, self._parts.now()
        if result is RecoveryResult.COMPLETE:
            metrics.last_completed.set(now.timestamp())
        if self._finished is not None:
            _log.info("recovery", result=result.value)
            self._parts.audit.say(recovered(self.report.key.name, result.value, "healed"))
            return
        self._finished = now
        self._closes_at = self._parts.monotonic() + LATE_SECONDS
        metrics.running.set(0)
        metrics.results.labels(result.value).inc()
        metrics.duration.observe(self._stopwatch.seconds())
        account = self._parts.account
        counts = {outcome: str(account.count(outcome)) for outcome in OUTCOMES if account.count(outcome)}
        _log.info("recovery", result=result.value, report=self.report.key.name, **counts)
        told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        self._parts.audit.say(recovered(self.report.key.name, result.value, told))

    def _look_at_owners(self) -> None:
        """A person is asked where too much looks ownerless; until then nothing of it is touched."""
        if (asked := self._ownerless.asks()) is not None:
            self._owners.failed(asked)
        else:
            self._owners.done()

    def _noted(self) -> None:
        """Something was counted; while it runs the ends of phases write it."""
        if self._finished is not None:
            restored = self._parts.account.count(RESTORED) > 0
            self._parts.queue.add_after(self.report.key, MANY_SECONDS if restored else SOON_SECONDS, LOW)

    def _show(self) -> None:
        metrics, account = self._parts.metrics.recovery, self._parts.account
        for phase, state in self.phases.states.items():
            metrics.phase_seconds.labels(phase.value).set(self.phases.seconds(phase))
            metrics.phase_failed.labels(phase.value).set(state is PhaseState.FAILED)
        for outcome in OUTCOMES:
            metrics.objects.labels(outcome).set(account.count(outcome))
        for result, outcome in (("ok", "reattached"), ("failed", "lost")):
            metrics.reattach.labels(result).inc(account.count(outcome) - self._reattached[result])
            self._reattached[result] = account.count(outcome)
