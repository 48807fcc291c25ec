"""What a lost attempt leaves is kept while it may be resumed, and a start tells what became of it (3.5, 7.1, 7.6)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from controller.api.batchjob_status import AttemptState, Phase
from controller.decisions.job import decide
from controller.decisions.orphan import useless
from controller.decisions.recovery import outcomes
from controller.decisions.resume import wanted
from tests.unit.builders import ABSENT, GONE, HOST, NOW, JobBuilder, alive, at, job, seen
from tests.unit.resuming import THERE, after, granted, lost, resuming

DAY = 86400.0


@pytest.mark.parametrize(
    ("declared", "number", "kept"),
    [
        (job().running(), 1, True),
        (lost(), 1, True),
        (job().needs_decision(), 1, True),
        (job().over(AttemptState.LOST).queued("Lost"), 1, False),
        (job().over(AttemptState.FAILED).queued("BackingOff"), 1, False),
        (job().needs_decision().finished(Phase.FAILED), 1, False),
        (lost().finished(Phase.CANCELED), 1, False),
        (job(), 1, True),
    ],
)
def test_what_is_wanted(declared: JobBuilder, number: int, kept: bool) -> None:
    """7.6: whatever a job works in, or may go on in; a status that was wiped says nothing."""
    assert wanted(declared.build().status, number) is kept


def test_a_resumed_workspace_is_never_an_orphan() -> None:
    """7.6: its own attempt was lost long ago, but another one works in it."""
    declared = resuming(AttemptState.RUNNING)
    for number, proof in ((1, False), (2, True), (3, False)):
        assert (useless(declared, number, 0.0, DAY, at(10 * DAY).timestamp()) is not None) is proof


def test_the_last_of_a_chain_decides_how_long_it_is_kept() -> None:
    """5.3: a success goes at once, a failure is kept for a day after its end, Cleanup ends it."""
    ends = {AttemptState.SUCCEEDED: 0.0, AttemptState.FAILED: DAY}
    for state, seconds in ends.items():
        builder = job().over(state, 2).with_status(history=[job().over(AttemptState.LOST, 1).status["attempt"]])
        attempt = builder.status["attempt"] | {"resumedFrom": 1, "origin": 1, "finishedAt": at(5 * DAY)}
        declared = builder.with_status(attempt=attempt).finished(Phase(state.value)).build()
        moments = [at(5 * DAY + each).timestamp() for each in (1, DAY + 1)]
        assert [useless(declared, 1, 0.0, DAY, now) is not None for now in moments] == [seconds == 0.0, True]
    cleaned = job().needs_decision().decision(1, "Cleanup").with_status(decided=1).finished(Phase.FAILED).build()
    assert useless(cleaned, 1, at(0).timestamp(), DAY, NOW.timestamp()) == "a person decided: Cleanup"


def test_nothing_is_an_orphan_between_two_records() -> None:
    """7.6: at every recorded state from the loss to the next run the workspace of attempt 1 is wanted."""
    now = job().on_lost("Manual").running().build()
    walked = [now]
    spec = job().on_lost("Manual").decision(1, "Resume").build().spec
    for look in (seen(GONE), granted(), granted(left=THERE), seen(ABSENT, left=THERE), seen(alive())):
        now, _ = after(now.model_copy(update={"spec": spec}), look)
        walked.append(now)
    assert [each.status.phase for each in walked] == [
        Phase.RUNNING,
        Phase.WAITING,
        Phase.QUEUED,
        Phase.STARTING,
        Phase.STARTING,
        Phase.RUNNING,
    ]
    for before, each in pairwise(walked):
        assert wanted(each.status, 1), (before.status, each.status)


def test_a_report_tells_resumed_from_restarted() -> None:
    """7.1: each loss of a start is one or the other."""
    running = job().running()
    for policy, word in (("Resume", "resumed"), ("Restart", "restarted")):
        declared = running.on_lost(policy).build()
        plan = decide(declared, seen(GONE), HOST, NOW)
        assert outcomes(declared.status, plan.status, GONE) == ("lost", word)
