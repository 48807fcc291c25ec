"""Which items make a phase, and how it fails and heals (requirements 7.1, 7.3)."""

from __future__ import annotations

import pytest

from controller.api.keys import Key
from controller.api.recoveryreport import PhaseState, RecoveryResult
from controller.decisions.recovery import LIMITS, RecoveryPhase
from controller.errors import Terminal, Transient, Waiting
from controller.kube.errors import Conflict, Forbidden, Invalid, StatusRefused
from controller.reconcile.first_pass import FirstPass
from controller.reconcile.workers import Result
from controller.recovery.phases import Phases

JOB, REPOSITORY, CALLBACK = Key("BatchJob", "a", "j"), Key("Repository", "a", "r"), Key("Callback", "a", "c")
P, S = RecoveryPhase, PhaseState


class Start:
    """Phases with a clock and reconciles that do as they are told."""

    def __init__(self, *others: Key, held: tuple[Key, ...] = (), shut: dict[str, str] | None = None) -> None:
        self.now = 1.0
        self.shut = shut or {}
        self.unaccounted: set[Key] = set()
        self.changes = 0
        self.errors: dict[Key, Exception] = {}
        self.phases = Phases(
            lambda: self.shut, self.unaccounted.__contains__, self._changed, lambda: None, lambda: self.now
        )
        self.reconcile = self.phases.watching(self._reconcile)
        self.step = self.phases.step(P.INTEGRITY, "files")
        self.step.done()
        self.phases.begin(FirstPass(held, (), others))

    def _changed(self, _: Phases) -> None:
        self.changes += 1

    async def _reconcile(self, key: Key) -> Result:
        if key in self.errors:
            raise self.errors[key]
        return Result()

    def states(self, *phases: RecoveryPhase) -> list[PhaseState]:
        return [self.phases.states[phase] for phase in phases]


def test_nothing_to_do_is_complete_at_once() -> None:
    """10.1: a start that finds nothing is over when it has looked."""
    assert Start().phases.result is RecoveryResult.COMPLETE


async def test_it_is_over_when_all_keys_were_looked_at() -> None:
    """7.1: each phase is the first successful reconcile of its keys."""
    start = Start(REPOSITORY, CALLBACK, held=(JOB,))
    assert start.states(P.LOCKS, P.ATTEMPTS) == [S.RUNNING, S.PENDING]
    await start.reconcile(JOB)
    assert start.states(P.LOCKS, P.ATTEMPTS) == [S.RUNNING, S.PENDING]
    await start.reconcile(REPOSITORY)
    assert start.states(P.LOCKS, P.ATTEMPTS, P.QUEUE, P.CALLBACKS) == [S.DONE, S.DONE, S.DONE, S.RUNNING]
    await start.reconcile(CALLBACK)
    assert start.phases.result is RecoveryResult.COMPLETE
    lines = {line.name: line for line in start.phases.report()}
    assert (lines["locks"].objects, lines["attempts"].objects, lines["callbacks"].objects) == (1, 1, 1)


@pytest.mark.parametrize(
    ("error", "settled"),
    [
        (Transient("Unreadable", "x"), False),
        (Conflict("Conflict", "x"), False),
        (Forbidden("Forbidden", "x"), False),
        (StatusRefused("StatusRefused", "x"), False),
        (ValueError("a defect"), False),
        (Waiting("NoSecret", "x"), True),
        (Terminal("UrlRefused", "x"), True),
    ],
)
async def test_what_counts_as_looked_at(error: Exception, settled: bool) -> None:
    """7.3: what waits for the world or a person was looked at and says so itself; everything else is tried again."""
    start = Start(REPOSITORY)
    start.errors[REPOSITORY] = error
    with pytest.raises(type(error)):
        await start.reconcile(REPOSITORY)
    assert (start.states(P.LOCKS) == [S.DONE]) is settled


@pytest.mark.parametrize("error", [Waiting("Away", "of that"), Terminal("Invalid", "of that"), Invalid("x", "of that")])
async def test_what_runs_is_looked_at_when_it_is_accounted_for(error: Exception) -> None:
    """7.3, 7.4: else its phase is done, nobody is named, and the gate waits on; afterwards it may wait."""
    start = Start(held=(JOB,))
    start.unaccounted.add(JOB)
    start.errors[JOB] = error
    with pytest.raises(type(error)):
        await start.reconcile(JOB)
    assert start.states(P.ATTEMPTS) == [S.RUNNING]
    start.now += LIMITS[P.ATTEMPTS]
    start.phases.look()
    assert start.states(P.ATTEMPTS) == [S.FAILED]
    with pytest.raises(type(error)):
        await start.reconcile(JOB)
    (trouble,) = start.phases.troubles()
    assert (trouble.kind, trouble.name) == ("BatchJob", "j") and "of that" in trouble.message
    start.unaccounted.clear()
    with pytest.raises(type(error)):
        await start.reconcile(JOB)
    assert start.phases.result is RecoveryResult.COMPLETE


async def test_a_failure_is_limited_told_and_heals() -> None:
    """7.3: the phase fails at its limit, what does not build on it is done, and it heals when the cause goes."""
    batch = Key("JobBatch", "a", "b")
    start = Start(batch, held=(JOB,))
    start.errors[batch] = Transient("Unreadable", "/x: no")
    with pytest.raises(Transient):
        await start.reconcile(batch)
    await start.reconcile(JOB)
    start.phases.look()
    start.now += LIMITS[P.PREPARATIONS] + 1
    start.phases.look()
    assert start.states(P.PREPARATIONS, P.ATTEMPTS, P.QUEUE) == [S.FAILED, S.DONE, S.DEGRADED]
    assert start.phases.result is RecoveryResult.DEGRADED
    assert "/x: no" in (start.phases.degraded() or "")
    (trouble,) = start.phases.troubles()
    assert (trouble.kind, trouble.name) == ("JobBatch", "b")
    del start.errors[batch]
    await start.reconcile(batch)
    assert start.phases.result is RecoveryResult.COMPLETE
    assert start.phases.degraded() is None


def test_it_is_not_over_while_nothing_is_admitted() -> None:
    """7.3: a full disk keeps the last phase from its end, and heals."""
    start = Start(shut={"DiskFull": "0 bytes free"})
    start.now += LIMITS[P.STEADY]
    start.phases.look()
    assert start.phases.result is RecoveryResult.DEGRADED and "0 bytes free" in (start.phases.degraded() or "")
    start.shut = {}
    start.phases.look()
    assert start.phases.result is RecoveryResult.COMPLETE
