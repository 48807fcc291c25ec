"""Each attempt goes to the executor that it was recorded for (requirements 2.6, 4.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.decisions.observed import Evidence
from controller.errors import Waiting
from controller.executors.base import AttemptId, LaunchSpec
from controller.executors.process.executor import ProcessExecutor
from controller.executors.routing import RoutingExecutor

ATTEMPT = AttemptId("job-1", 1)


def routing(directory: Path, recorded: str | None) -> RoutingExecutor:
    """Two state directories that stand for two executors."""
    executors = {name: ProcessExecutor(directory / name, "state-1") for name in ("Process", "Other")}
    return RoutingExecutor(executors, lambda _: recorded)


async def test_what_is_recorded_decides(tmp_path: Path) -> None:
    """2.6: not what is the default."""
    made = routing(tmp_path, "Other")
    await made.void(ATTEMPT, "no")
    assert [path.name for path in (tmp_path / "Other").iterdir()] == [str(ATTEMPT)]
    assert not list((tmp_path / "Process").iterdir())
    assert (await made.observe(ATTEMPT)).executor == "Other"


async def test_without_a_record_the_trace_decides(tmp_path: Path) -> None:
    """1.3: a status that was wiped; where there is no trace either, it is the default's."""
    await routing(tmp_path, "Other").void(ATTEMPT, "no")
    made = routing(tmp_path, None)
    assert made.name_of(ATTEMPT) == "Process"
    assert await made.list_attempts() == [ATTEMPT]
    assert made.name_of(ATTEMPT) == "Other"
    assert (await made.observe(ATTEMPT)).evidence is Evidence.NEVER_STARTED


async def test_what_is_not_enabled_is_unknown(tmp_path: Path) -> None:
    """Design 1: missing is not proof: an attempt of an executor that was switched off is not lost."""
    made = routing(tmp_path, "Pod")
    found = await made.observe(ATTEMPT)
    assert (found.evidence, found.executor) == (Evidence.UNKNOWN, "Pod") and "HOLDFAST_EXECUTORS" in found.message
    with pytest.raises(Waiting):
        await made.launch(LaunchSpec(ATTEMPT, "n", "j", ["true"]))
    assert await made.annotations(ATTEMPT) is None
