"""An end that is recorded beside a damaged file: the job goes on by it, and the damage is told (requirement 7.5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.api.batchjob_status import Phase
from controller.decisions.job import decide
from controller.decisions.plan import Release
from tests.unit.builders import HOST, at, ended, job, seen

DAMAGE = "/runs/uid.1: attempt.json: is not JSON; its end was recorded all the same"


@pytest.mark.parametrize(("code", "phase"), [(0, Phase.SUCCEEDED), (7, Phase.FAILED)])
def test_the_damage_is_told(code: int, phase: Phase) -> None:
    """7.5: the exit code counts; the attempt's message and a warning name the damaged file."""
    plan = decide(job().running(1).build(), seen(replace(ended(code), message=DAMAGE)), HOST, at(10))
    assert (plan.status.phase, plan.actions) == (phase, (Release(1, keep_record=True),))
    assert plan.status.attempt is not None and plan.status.attempt.exit_code == code
    assert DAMAGE in plan.status.attempt.message
    assert [note for note in plan.notes if note.reason == "RecordDamaged" and note.warning and DAMAGE in note.message]


def test_without_damage_nothing_is_told() -> None:
    """7.5: a sound end says nothing of damage."""
    plan = decide(job().running(1).build(), seen(ended(0)), HOST, at(10))
    assert [note.reason for note in plan.notes] == ["Succeeded"]
