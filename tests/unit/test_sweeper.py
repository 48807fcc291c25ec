"""A sweep looks at all sorts of orphans, whatever becomes of one of them (requirements 7.3, 7.5, 7.6)."""

from __future__ import annotations

import asyncio

import pytest

from controller.api.keys import Key
from controller.reconcile.account import RecoveryAccount
from controller.recovery.orphans import Orphan, Sweeper
from controller.recovery.phases import STEP, Phases, Step
from controller.telemetry.audit import AuditJournal
from controller.telemetry.metrics import Metrics
from tests.eventually import eventually


class Things:
    """A sort of orphans; raises what it is told where it is told."""

    def __init__(self, name: str, *there: str, finding: Exception | None = None, **removing: Exception) -> None:
        self.name = name
        self.there = list(there)
        self._finding = finding
        self._removing = removing

    async def find(self) -> list[Orphan]:
        if self._finding is not None:
            raise self._finding
        return [Orphan(self.name, name, "nobody's", "remove it", at_once=True) for name in self.there]

    async def remove(self, orphan: Orphan) -> bool:
        if orphan.name in self._removing:
            raise self._removing[orphan.name]
        self.there.remove(orphan.name)
        return True


def sweeper(metrics: Metrics, *sorts: Things) -> Sweeper:
    step = Step(Phases(list, lambda phases: None, lambda: None, lambda: 0.0), Key(STEP, "", "orphans"))
    audit = AuditJournal(None, metrics.audit)
    return Sweeper(sorts, metrics, RecoveryAccount(), audit, lambda: None, 60.0, step)


def defects(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value(
        "holdfast_reconcile_errors_total", {"kind": "Orphan", "reaction": "defect"}
    )


@pytest.mark.parametrize(
    ("error", "counted"), [(RecursionError("too deep"), 1), (ValueError("bad"), 1), (PermissionError(13, "no"), 0)]
)
async def test_one_that_fails_keeps_no_other(error: Exception, counted: int) -> None:
    """7.3, 7.6: the sweep goes on, tells what failed, counts a defect, and looks again."""
    metrics = Metrics()
    sorts = (
        Things("base", finding=error),
        Things("temp_file", "a", "b", "c", a=error),
        Things("mirror", "d"),
    )
    sweeping = sweeper(metrics, *sorts)
    running = asyncio.create_task(sweeping.run())
    await eventually(lambda: not sorts[2].there)
    assert [sort.there for sort in sorts] == [[], ["a"], []] and defects(metrics) == 2 * counted
    found, problems = await sweeping.look()
    assert [orphan.name for orphan in found] == ["a"]
    assert len(problems) == 1 and problems[0].startswith("base: ") and str(error) in problems[0]
    assert not running.done() and running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
