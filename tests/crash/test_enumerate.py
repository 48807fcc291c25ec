"""The controller is killed before each of its effects, and the next one goes on (requirements 2.1-2.6, 3.3-3.6, 7.6).

Without --soak every n-th crossing is taken, n so that a scenario takes about a minute, from an offset that the commit
gives. What is printed at the end of a scenario says how many there are and how many were taken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.crash import callback_run, repositories, start_run
from tests.crash.cases import MAKERS
from tests.crash.enumeration import BUDGET_SECONDS, Enumeration, Scenario
from tests.crash.repository_run import RepositoryRun
from tests.crash.scenario import World

SCENARIOS = {
    "one job": Scenario(("success",), 1),
    "nine jobs": Scenario(tuple(MAKERS), 2),
    "three jobs, two crashes": Scenario(("retry", "suspend", "lost"), 2, again=True),
    "two repositories": Scenario(tuple(repositories.KINDS), len(repositories.KINDS), play=RepositoryRun),
    "three crashes in the start": Scenario(start_run.KINDS, start_run.CONCURRENCY, times=3, play=start_run.StartRun),
    "callbacks": Scenario(callback_run.KINDS, 2, play=callback_run.CallbackRun),
}
HOURS = 3600.0


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print at once, past pytest's capture: a scenario takes minutes."""

    def _say(message: str) -> None:
        with capsys.disabled():
            print(f"\ncrash: {message}", file=sys.stderr, flush=True)

    return _say


@pytest.mark.timeout(12 * BUDGET_SECONDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_some_crossings(worlds: list[World], name: str, say: Callable[[str], None]) -> None:
    """2.6, 3.3, 7.2: whatever instant the controller dies at, every job ends once, and as it should."""
    enumeration = Enumeration(SCENARIOS[name], every=False, say=say)
    enumeration.take(worlds)
    assert not enumeration.violated, enumeration.report()


@pytest.mark.soak
@pytest.mark.timeout(4 * HOURS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_crossing(worlds: list[World], name: str, say: Callable[[str], None]) -> None:
    """The same, for every crossing there is."""
    enumeration = Enumeration(SCENARIOS[name], every=True, say=say)
    enumeration.take(worlds)
    assert not enumeration.violated, enumeration.report()
