"""A sweep looks at all sorts of orphans, whatever becomes of one of them (requirements 7.3, 7.5, 7.6)."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from controller.api.keys import Key
from controller.cli.orphans import print_found
from controller.reconcile.account import RecoveryAccount
from controller.reconcile.orphans import OrphanReconciler
from controller.recovery.orphan_desk import OrphanDesk
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


def test_what_could_not_be_looked_at_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """7.6, 7.7: nobody reads that all is well where nothing could be looked at."""
    print_found({"items": [], "problems": ["base: [Errno 13] no"]})
    assert capsys.readouterr() == ("", "could not look: base: [Errno 13] no\n")
    print_found({"items": [], "problems": []})
    assert capsys.readouterr() == ("nothing here is without an owner\n", "")


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
    desk = OrphanDesk(lambda: None)
    desk.open(sweeping, cast(OrphanReconciler, object()))  # nothing is settled here
    for told in (await desk.look(), await desk.sweep()):
        assert told["problems"] == problems and [row["name"] for row in told["items"]] == ["a"]
    assert not running.done() and running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
