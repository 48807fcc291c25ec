"""The table of hack/demo about repositories can be wrong (issue 4)."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

# The parts of a script, not of an installed package.
sys.path.insert(0, str(CHECKOUT / "hack"))
from demonstration.upstream import FIRST, WRITTEN, Signed  # noqa: E402
from demonstration.upstream_proof import DOCS, SHOP, STORIES, Line, Outage, lines, whole  # noqa: E402

LOG = [(f"commit-{number}", subject) for number, subject in enumerate([FIRST[SHOP], *WRITTEN])]
LOGS = {SHOP: LOG, DOCS: [("page-0", FIRST[DOCS])]}


def signed(job: str, token: int, began: float, *heads: str) -> list[Signed]:
    """Start, a push per further head, end."""
    first = Signed("start", job, 1, began, token, heads[0])
    pushes = [Signed("pushed", job, 1, began + n, token, head) for n, head in enumerate(heads[1:], start=1)]
    return [first, *pushes, Signed("end", job, 1, began + 5, token, heads[-1])]


LEDGER = [
    *signed("count-lines", 1, 0.0, "commit-0"),
    *signed("check-style", 2, 1.0, "commit-0"),
    *signed("add-discounts", 3, 10.0, "commit-0", "commit-1", "commit-2", "commit-3"),
    *signed("release", 4, 20.0, "commit-3", "commit-4"),
    *signed("build-site", 1, 0.0, "page-0"),
    *signed("check-site", 2, 0.0, "page-0"),
]


def job(name: str) -> dict[str, object]:
    ours = [line for line in LEDGER if line.job == name]
    pushed = {"published": ours[-1].head} if STORIES[name].writes else {}
    return {
        "status": {
            "phase": "Succeeded",
            "attempt": {"number": 1, "lockToken": ours[0].token},
            "repository": {"commit": ours[0].head, **pushed},
        }
    }


def told(ledger: list[Signed] = LEDGER, log: list[tuple[str, str]] = LOG) -> dict[str, Line]:
    jobs = {name: job(name) for name in STORIES}
    return {line.name: line for line in lines(jobs, ledger, {**LOGS, SHOP: log})}


def changed(name: str, what: str, **change: object) -> list[Signed]:
    """The ledger with other lines of one kind of one job."""
    return [
        dataclasses.replace(line, **change) if (line.job, line.what) == (name, what) else line  # type: ignore[arg-type]
        for line in LEDGER
    ]


def test_right_lines() -> None:
    """Issue 4: what the lines must look like."""
    assert {name: line.problems for name, line in told().items()} == {name: [] for name in STORIES}


@pytest.mark.parametrize(
    ("ledger", "name", "problem"),
    [
        ([*LEDGER, *signed("release", 4, 20.0, "commit-3", "commit-4")], "release", "starts: 2"),
        ([line for line in LEDGER if line.job != "release"], "release", "starts: 0"),
        (changed("check-style", "end", at=11.0), "check-style", "it ran beside add-discounts"),
        (changed("release", "start", at=14.0), "add-discounts", "it ran beside release"),
        (changed("release", "pushed", token=9), "release", "tokens: 2"),
        (changed("add-discounts", "start", token=5), "add-discounts", "token 5 is not smaller than 4 of release"),
        (changed("release", "start", head="commit-0"), "release", "below them: commit-3"),
        (changed("release", "pushed", head="commit-9"), "release", "last of them: commit-4"),
    ],
)
def test_what_the_jobs_signed(ledger: list[Signed], name: str, problem: str) -> None:
    """5.4, 5.5: every expectation must be able to fail."""
    assert any(problem in text for text in told(ledger)[name].problems), told(ledger)[name].problems


def test_what_is_recorded_and_what_upstream_has() -> None:
    """5.5: a status that says something else, commits that are missing or in another order."""
    right = told()["release"]
    for change, problem in (
        ({"phase": "Failed"}, "phase: Failed"),
        ({"attempt": {"number": 2, "lockToken": 4}}, "attempt: 2"),
        ({"attempt": {"number": 1, "lockToken": 5}}, "token in the status: 5"),
        ({"repository": {"commit": "commit-0", "published": "commit-4"}}, "commit in the status: commit-0"),
        ({"repository": {"commit": "commit-3"}}, "published: None"),
    ):
        wrong = dataclasses.replace(right, status={**right.status, **change})
        assert any(problem in text for text in wrong.problems), wrong.problems
    assert told(log=LOG[:-1])["release"].problems != []
    swapped = [*LOG[:2], LOG[3], LOG[2], LOG[4]]
    assert any("commits upstream" in text for text in told(log=swapped)["add-discounts"].problems)


OUTAGE = Outage(before=3, back=3, pushed=[Signed("pushed", "add-discounts", 1, 50.0, 3, "x")], from_=49.0, until=60.0)
READY = [{"status": {"phase": "Ready", "number": 1}}]
FREE = [{"holders": [], "waiting": []}]


def test_the_repositories_as_a_whole() -> None:
    """5.4, 5.5, 5.7: logs, the holder over the outage, one preparation, nothing left."""
    assert whole(LOGS, OUTAGE, 1, READY, FREE) == []
    for wrong in (
        whole({**LOGS, SHOP: LOG[:-1]}, OUTAGE, 1, READY, FREE),
        whole({**LOGS, DOCS: []}, OUTAGE, 1, READY, FREE),
        whole(LOGS, dataclasses.replace(OUTAGE, back=4), 1, READY, FREE),
        whole(LOGS, dataclasses.replace(OUTAGE, from_=51.0), 1, READY, FREE),
        whole(LOGS, OUTAGE, 2, READY, FREE),
        whole(LOGS, OUTAGE, 1, [{"status": {"phase": "Ready", "number": 2}}], FREE),
        whole(LOGS, OUTAGE, 1, READY, [{"holders": [{}], "waiting": []}]),
        whole(LOGS, OUTAGE, 1, READY, [{"holders": [], "waiting": [{}]}]),
    ):
        assert len(wrong) == 1, wrong
