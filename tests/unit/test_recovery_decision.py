"""Phases of a start and their states (requirements 7.1, 7.3; design 9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.recoveryreport import PhaseState, RecoveryResult
from controller.decisions.recovery import LIMITS, NEEDS, ORDER, SETTLED, Progress, RecoveryPhase, result, settle
from controller.telemetry import recovery_metrics

P, S = RecoveryPhase, PhaseState
ALL_DONE = dict.fromkeys(P, Progress(0, 1.0))

progresses = st.fixed_dictionaries(
    {phase: st.builds(Progress, st.integers(0, 2), st.floats(0, 300)) for phase in RecoveryPhase}
)


def test_the_order_is_the_one_of_the_design() -> None:
    """Design 9: integrity, locks, {preparations, attempts}, queue, callbacks, orphans, steady."""
    assert ORDER[:2] == (P.INTEGRITY, P.LOCKS)
    assert set(ORDER[2:4]) == {P.PREPARATIONS, P.ATTEMPTS}
    assert ORDER[4:] == (P.QUEUE, P.CALLBACKS, P.ORPHANS, P.STEADY)
    assert {phase.value for phase in P} == set(recovery_metrics.PHASES)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        ({}, dict.fromkeys(P, S.DONE)),
        ({P.INTEGRITY: Progress(1, 1)}, {P.INTEGRITY: S.RUNNING, P.LOCKS: S.PENDING, P.STEADY: S.PENDING}),
        ({P.LOCKS: Progress(1, 1)}, {P.INTEGRITY: S.DONE, P.LOCKS: S.RUNNING, P.ATTEMPTS: S.PENDING}),
        (
            {P.PREPARATIONS: Progress(1, LIMITS[P.PREPARATIONS])},
            {P.PREPARATIONS: S.FAILED, P.ATTEMPTS: S.DONE, P.QUEUE: S.DEGRADED, P.STEADY: S.DEGRADED},
        ),
        (
            {P.ORPHANS: Progress(1, LIMITS[P.ORPHANS])},
            {P.QUEUE: S.DONE, P.CALLBACKS: S.DONE, P.ORPHANS: S.FAILED, P.STEADY: S.DEGRADED},
        ),
        ({P.PREPARATIONS: Progress(2, 1)}, {P.ATTEMPTS: S.DONE, P.PREPARATIONS: S.RUNNING, P.QUEUE: S.PENDING}),
    ],
)
def test_states(progress: dict[RecoveryPhase, Progress], expected: dict[RecoveryPhase, PhaseState]) -> None:
    """7.3: a failure degrades what builds on it and nothing else."""
    states = settle(ALL_DONE | progress)
    assert {phase: states[phase] for phase in expected} == expected


@given(progresses)
def test_laws_of_the_states(progress: dict[RecoveryPhase, Progress]) -> None:
    """7.3: what does not build on a failure is not touched by it; nothing is settled before what it builds on."""
    states = settle(progress)
    for phase in ORDER:
        below = {states[needed] for needed in NEEDS[phase]}
        if not below <= SETTLED:
            assert states[phase] is S.PENDING
        elif below <= {S.DONE}:
            assert states[phase] is not S.DEGRADED
        if states[phase] is S.DONE:
            assert progress[phase].left == 0 and below <= {S.DONE}
        if states[phase] is S.FAILED:
            assert progress[phase].left and progress[phase].running_for >= LIMITS[phase]


@given(progresses)
def test_laws_of_the_result(progress: dict[RecoveryPhase, Progress]) -> None:
    """7.1: Complete only where all went well, Running as long as anything may still come."""
    states = settle(progress)
    ended = result(states)
    assert (ended is RecoveryResult.COMPLETE) == (set(states.values()) == {S.DONE})
    assert (ended is RecoveryResult.RUNNING) == (not set(states.values()) <= SETTLED)


@given(progresses)
def test_every_recovery_ends(progress: dict[RecoveryPhase, Progress]) -> None:
    """7.3: when every limit is over, nothing runs any more, and it heals when nothing is left."""
    late = {phase: Progress(each.left, LIMITS[phase]) for phase, each in progress.items()}
    assert result(settle(late)) is not RecoveryResult.RUNNING
    assert result(settle({phase: Progress(0, each.running_for) for phase, each in late.items()})) is (
        RecoveryResult.COMPLETE
    )
