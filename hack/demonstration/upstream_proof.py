"""The proof for the jobs on repositories: what they signed, what is recorded, and what upstream holds, compared.

A line is right only if every comparison holds; `problems` says in words which one does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from demonstration.proof import differs
from demonstration.upstream import DOCS, FIRST, SHOP, WRITTEN, Signed

SHORT = 8


@dataclass(frozen=True)
class Story:
    """What must be true of one job.

    Args:
        turn: of its repository: those of the same turn hold it together, a later turn has larger tokens.
        writes: subjects of the commits that it pushes, in order.
    """

    repository: str
    mode: str
    turn: int
    writes: tuple[str, ...] = ()


STORIES = {
    "count-lines": Story(SHOP, "Shared", 1),
    "check-style": Story(SHOP, "Shared", 1),
    "add-discounts": Story(SHOP, "Exclusive", 2, tuple(WRITTEN[:-1])),
    "release": Story(SHOP, "Exclusive", 3, (WRITTEN[-1],)),
    "build-site": Story(DOCS, "Shared", 1),
    "check-site": Story(DOCS, "Shared", 1),
}


@dataclass(frozen=True)
class Outage:
    """The lock of SHOP around the outage.

    Args:
        before, back: token of its only holder right before and right after.
        pushed: what add-discounts pushed while no controller and no API server lived.
        from_, until: seconds since the epoch.
    """

    before: int
    back: int
    pushed: Sequence[Signed]
    from_: float
    until: float


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    name: str
    story: Story
    status: Mapping[str, Any]
    signed: Sequence[Signed]
    others: Mapping[str, Sequence[Signed]]
    log: Sequence[tuple[str, str]]

    @property
    def token(self) -> int:
        """The one that the job saw."""
        return self.signed[0].token if self.signed else 0

    @property
    def pushed(self) -> str:
        """The commit that it pushed last, "" for none."""
        return next((line.head for line in reversed(self.signed) if line.what == "pushed"), "")

    @property
    def problems(self) -> list[str]:
        """Everything that is not as it must be; empty for a right line."""
        attempt, starts = self.status.get("attempt", {}), [line for line in self.signed if line.what == "start"]
        return [
            *differs("phase", self.status.get("phase"), "Succeeded"),
            *differs("starts", len(starts), 1),
            *differs("attempt", attempt.get("number"), 1),
            *differs("token in the status", attempt.get("lockToken"), self.token),
            *differs("tokens", len({line.token for line in self.signed}), 1),
            *differs("commit in the status", self._used("commit"), starts[0].head if starts else None),
            *differs("published", self._used("published"), self.pushed or None),
            *self._upstream(),
            *self._turns(),
        ]

    def _used(self, field: str) -> str | None:
        return (self.status.get("repository") or {}).get(field) or None

    def _upstream(self) -> list[str]:
        """Its commits stand upstream, in order, on top of what it checked out; the last is what it pushed."""
        if not self.story.writes:
            return []
        subjects = [subject for _, subject in self.log]
        first = subjects.index(self.story.writes[0]) if self.story.writes[0] in subjects else 0
        there = self.log[first : first + len(self.story.writes)]
        start = next((line.head for line in self.signed if line.what == "start"), "")
        return [
            *differs("commits upstream", [subject for _, subject in there], list(self.story.writes)),
            *differs("last of them", there[-1][0] if there else "", self.pushed),
            *differs("below them", self.log[first - 1][0] if first else "", start),
        ]

    def _turns(self) -> list[str]:
        """By their own account: nobody beside an Exclusive holder, tokens in the order of the turns."""
        found = []
        for other, signed in self.others.items():
            story = STORIES[other]
            if story.repository != self.story.repository or not signed or not self.signed:
                continue
            together = self.signed[0].at < signed[-1].at and signed[0].at < self.signed[-1].at
            alone = "Exclusive" in (self.story.mode, story.mode)
            if alone and together:
                found.append(f"it ran beside {other}")
            if story.turn > self.story.turn and not self.token < signed[0].token:
                found.append(f"token {self.token} is not smaller than {signed[0].token} of {other}")
        return found


def lines(
    jobs: Mapping[str, Any], signed: Sequence[Signed], logs: Mapping[str, Sequence[tuple[str, str]]]
) -> list[Line]:
    """One line per job.

    Args:
        jobs: BatchJobs by name.
        signed: the ledger.
        logs: of the remotes by name.
    """
    of = {name: [line for line in signed if line.job == name] for name in STORIES}
    return [
        Line(
            name,
            story,
            jobs[name].get("status", {}),
            of[name],
            {other: told for other, told in of.items() if other != name},
            logs[story.repository],
        )
        for name, story in STORIES.items()
    ]


def table(told: Sequence[Line], began: float) -> Table:
    """All lines, with a verdict each; times count from `began`, in seconds since the epoch."""
    made = Table(title="What became of the jobs on the repositories", title_justify="left")
    for name in ("job", "repository", "lock"):
        made.add_column(name, no_wrap=True)
    for name in ("token", "ran from", "to", "starts"):
        made.add_column(name, justify="right", no_wrap=True)
    for name in ("checked out", "pushed", "end"):
        made.add_column(name, no_wrap=True)
    made.add_column("verdict")
    for line in told:
        problems, signed = line.problems, line.signed
        made.add_row(
            line.name,
            line.story.repository,
            line.story.mode,
            str(line.token or ""),
            f"{signed[0].at - began:.1f} s" if signed else "",
            f"{signed[-1].at - began:.1f} s" if signed else "",
            str(sum(each.what == "start" for each in signed)),
            signed[0].head[:SHORT] if signed else "",
            line.pushed[:SHORT] or "nothing",
            str(line.status.get("phase")),
            "[red]" + "; ".join(problems) if problems else "[green]right",
        )
    return made


def whole(
    logs: Mapping[str, Sequence[tuple[str, str]]],
    outage: Outage,
    prepared: int,
    batches: Sequence[Mapping[str, Any]],
    locks: Sequence[Mapping[str, Any]],
) -> list[str]:
    """What is wrong with the repositories as a whole.

    Args:
        prepared: how often the preparation of DOCS ran.
        batches: all JobBatches.
        locks: `holdfast locks -o json` at the end.
    """
    tries = [(batch.get("status", {}).get("phase"), batch.get("status", {}).get("number")) for batch in batches]
    pushed = [line for line in outage.pushed if outage.from_ < line.at < outage.until]
    return [
        *differs("log of shop", [subject for _, subject in logs[SHOP]], [FIRST[SHOP], *WRITTEN]),
        *differs("log of docs", [subject for _, subject in logs[DOCS]], [FIRST[DOCS]]),
        *differs("holder's token after the outage", outage.back, outage.before),
        *differs("pushes in the outage", len(pushed), 1),
        *differs("preparations", prepared, 1),
        *differs("batches", tries, [("Ready", 1)]),
        *differs("holders left", sum(len(lock["holders"]) for lock in locks), 0),
        *differs("waiting left", sum(len(lock["waiting"]) for lock in locks), 0),
    ]
