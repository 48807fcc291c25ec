"""What a RecoveryReport says, from what a start has found so far; which old ones go (requirements 7.1, 7.2). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controller.api.conditions import Condition, ConditionStatus, with_condition
from controller.api.recoveryreport import (
    NamedOutcome,
    OrphanCount,
    PhaseReport,
    PhaseState,
    PreviousStop,
    RecommendedAction,
    RecoveryCounts,
    RecoveryReport,
    RecoveryReportStatus,
    RecoveryResult,
)

KEPT = 20  # reports
ORPHANED = "orphaned:"
OPEN = (None, RecoveryResult.RUNNING)


@dataclass(frozen=True, slots=True)
class Start:
    """What does not change from the start on.

    Args:
        began: when the process was started.
    """

    state_id: str
    start_id: str
    version: str
    host: str
    boot_id: str
    previous: PreviousStop
    began: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """What was found so far.

    Args:
        counts: by outcome.
        names: the first of each outcome.
        finished: when the result was first more than Running, None before.
        why: of Degraded.
    """

    result: RecoveryResult
    phases: Sequence[PhaseReport]
    counts: Mapping[str, int]
    names: Mapping[str, Sequence[str]]
    memory_bytes: int
    disk_bytes: int
    actions: tuple[RecommendedAction, ...]
    finished: datetime | None
    why: str = ""


def status_of(start: Start, found: Found, before: RecoveryReportStatus, now: datetime) -> RecoveryReportStatus:
    """The whole status; conditions keep the moment of their last change from `before`."""
    took = (found.finished - start.began).total_seconds() if found.finished is not None else None
    return RecoveryReportStatus(
        result=found.result,
        controller_version=start.version,
        host=start.host,
        boot_id=start.boot_id,
        previous_stop=start.previous,
        started_at=start.began,
        finished_at=found.finished,
        duration=duration(took) if took is not None else "",
        phases=tuple(found.phases),
        counts=_counts(found),
        names=tuple(
            NamedOutcome(outcome=outcome, names=tuple(name[:1024] for name in names))
            for outcome, names in found.names.items()
            if names
        ),
        recommended_actions=found.actions,
        conditions=_conditions(found.result, found.why, before.conditions, now),
    )


def aborted(status: RecoveryReportStatus, now: datetime) -> RecoveryReportStatus:
    """The report of a start that did not finish: what it had found stays."""
    why = "the controller ended before the recovery did; the next start did the work again"
    conditions = with_condition(status.conditions, "Complete", "False", "Aborted", why, 0, now)
    return status.model_copy(update={"result": RecoveryResult.ABORTED, "finished_at": now, "conditions": conditions})


def is_open(report: RecoveryReport, start: Start) -> bool:
    """Whether `report` is of an earlier start on the same state directory that did not finish."""
    return (
        report.spec.state_id == start.state_id
        and report.spec.start_id != start.start_id
        and report.status.result in OPEN
    )


def surplus(reports: Iterable[RecoveryReport], own: str, keep: int = KEPT) -> list[RecoveryReport]:
    """The oldest ones beyond the last `keep`, one of which is `own` or is about to be made.

    Args:
        reports: of one state directory; their names sort by time.
    """
    others = sorted((each for each in reports if each.metadata.name != own), key=lambda each: each.metadata.name)
    return others[: max(0, len(others) - (keep - 1))]


def report_name(start: Start) -> str:
    """Sorts by time: start-20260102-030405-678-1f3a; the end keeps two controllers of one namespace apart."""
    return f"start-{start.began:%Y%m%d-%H%M%S}-{start.began.microsecond // 1000:03d}-{start.start_id[:4]}"


def duration(seconds: float) -> str:
    """412ms, 3.2s, 2m5s."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    return f"{int(seconds // 60)}m{int(seconds % 60)}s"


def _counts(found: Found) -> RecoveryCounts:
    sorts = {name.removeprefix(ORPHANED): n for name, n in found.counts.items() if name.startswith(ORPHANED) and n}
    plain = {name: n for name, n in found.counts.items() if not name.startswith(ORPHANED)}
    return RecoveryCounts(
        **plain,
        orphaned=sum(sorts.values()),
        orphans=tuple(OrphanCount(kind=kind, count=count) for kind, count in sorted(sorts.items())),
        memory_reclaimed_bytes=found.memory_bytes,
        disk_reclaimed_bytes=found.disk_bytes,
    )


def _conditions(
    result: RecoveryResult, why: str, before: tuple[Condition, ...], now: datetime
) -> tuple[Condition, ...]:
    degraded = result is RecoveryResult.DEGRADED
    complete: ConditionStatus = "True" if result is RecoveryResult.COMPLETE else "False"
    conditions = with_condition(before, "Complete", complete, result.value, "", 0, now)
    reason = "PhaseFailed" if degraded else "AsExpected"
    return with_condition(
        conditions, "Degraded", "True" if degraded else "False", reason, why if degraded else "", 0, now
    )


def failed_phases(phases: Iterable[PhaseReport]) -> str:
    """Why a recovery is degraded, in one sentence."""
    failed = [phase for phase in phases if phase.state is PhaseState.FAILED]
    return "; ".join(f"{phase.name}: {phase.message or 'it takes longer than it may'}" for phase in failed)
