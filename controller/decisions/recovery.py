"""What a recovery is made of and how it stands: phases as a DAG, their states, the result (requirements 7.1, 7.3).

Pure. The phases hold nothing back: every key is reconciled from the first moment on, and only admission waits (for
`attempts`, in the scheduler). They account for the first pass: a phase is over when each of its items was looked at
successfully once, fails when that takes longer than its limit, and heals when the items come after all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from graphlib import TopologicalSorter

from controller.api.batchjob_status import AttemptState, BatchJobStatus, Phase
from controller.api.conditions import is_true
from controller.api.recoveryreport import PhaseState, RecoveryResult
from controller.decisions import status as step
from controller.decisions.observed import Evidence, Observation


class RecoveryPhase(StrEnum):
    """The phases of design 9."""

    INTEGRITY = "integrity"
    LOCKS = "locks"
    PREPARATIONS = "preparations"
    ATTEMPTS = "attempts"
    QUEUE = "queue"
    CALLBACKS = "callbacks"
    ORPHANS = "orphans"
    STEADY = "steady"


# What each builds on (design 9).
NEEDS: Mapping[RecoveryPhase, tuple[RecoveryPhase, ...]] = {
    RecoveryPhase.INTEGRITY: (),
    RecoveryPhase.LOCKS: (RecoveryPhase.INTEGRITY,),
    RecoveryPhase.PREPARATIONS: (RecoveryPhase.LOCKS,),
    RecoveryPhase.ATTEMPTS: (RecoveryPhase.LOCKS,),
    RecoveryPhase.QUEUE: (RecoveryPhase.PREPARATIONS, RecoveryPhase.ATTEMPTS),
    RecoveryPhase.CALLBACKS: (RecoveryPhase.QUEUE,),
    RecoveryPhase.ORPHANS: (RecoveryPhase.CALLBACKS,),
    RecoveryPhase.STEADY: (RecoveryPhase.ORPHANS,),
}
ORDER: tuple[RecoveryPhase, ...] = tuple(TopologicalSorter(NEEDS).static_order())

# Seconds that a phase may run before it counts as failed. It is tried on all the same.
LIMITS: Mapping[RecoveryPhase, float] = {
    **dict.fromkeys(RecoveryPhase, 30.0),
    RecoveryPhase.ORPHANS: 120.0,  # its steps look twice, a grace time apart
}

SETTLED = frozenset({PhaseState.DONE, PhaseState.DEGRADED, PhaseState.FAILED})
WHOLE = frozenset({PhaseState.DONE})


@dataclass(frozen=True, slots=True)
class Progress:
    """What is seen of one phase.

    Args:
        left: items that were not looked at successfully yet.
        running_for: seconds since the phase may run; 0.0 where it may not yet.
    """

    left: int
    running_for: float = 0.0


def settle(
    progress: Mapping[RecoveryPhase, Progress], limits: Mapping[RecoveryPhase, float] = LIMITS
) -> dict[RecoveryPhase, PhaseState]:
    """The state of every phase, from what is left of each.

    A phase waits for what it builds on to be settled, one way or the other: a failure degrades it and never stops it.
    """
    states: dict[RecoveryPhase, PhaseState] = {}
    for phase in ORDER:
        below = [states[needed] for needed in NEEDS[phase]]
        seen = progress[phase]
        if not SETTLED.issuperset(below):
            states[phase] = PhaseState.PENDING
        elif seen.left > 0:
            states[phase] = PhaseState.FAILED if seen.running_for >= limits[phase] else PhaseState.RUNNING
        else:
            states[phase] = PhaseState.DONE if WHOLE.issuperset(below) else PhaseState.DEGRADED
    return states


def result(states: Mapping[RecoveryPhase, PhaseState]) -> RecoveryResult:
    """How the whole stands."""
    if not SETTLED.issuperset(states.values()):
        return RecoveryResult.RUNNING
    return RecoveryResult.COMPLETE if WHOLE.issuperset(states.values()) else RecoveryResult.DEGRADED


def outcomes(before: BatchJobStatus, after: BatchJobStatus, found: Observation | None) -> tuple[str, ...]:
    """What became of an attempt that held a slot when the controller started; empty while that is not known.

    Args:
        before: recorded when it was looked at.
        after: decided from `found`.
        found: the observation, None where nothing was observed.

    Returns:
        Names of counts of a RecoveryReport.
    """
    attempt = after.attempt
    if attempt is None or step.active(before) is None:
        return ("recovered",)  # its end is recorded already: nothing is open
    if not attempt.state.over:
        if found is None or found.evidence is Evidence.UNKNOWN:
            return ("needing_decision",) if is_true(after.conditions, "NeedsDecision") else ()
        return ("reattached",) if found.evidence is Evidence.ALIVE else ()
    if attempt.state is not AttemptState.LOST:
        return ("recovered",)
    if after.phase is Phase.WAITING:
        return ("lost", "needing_decision")
    if step.finished(after):
        return ("lost", "failed")
    return ("lost", "resumed" if after.resume_from is not None else "restarted")
