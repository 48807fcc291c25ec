"""What a restore did: counts by kind, and by name what a person should look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """What became of one archived object."""

    CREATED = "created"
    REPLACED = "replaced"
    DONE_BEFORE = "done before"  # by an earlier run of the same restore
    KEPT = "kept"  # the cluster's own stays
    LEFT_OUT = "left out"  # follows from others, or would claim what is over
    FAILED = "failed"


@dataclass(slots=True)
class Report:
    """See the module.

    Args:
        archive: id of the archive.
        kept: objects of the cluster that were not touched, with the reason.
        suspended: unfinished jobs that came back suspended, each with what is known of it.
        ended: unfinished jobs that have ended since, as their run directories here prove.
        failed: objects that could not be restored, with the reason.
    """

    archive: str
    counts: dict[str, Counter[Outcome]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    suspended: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """All kinds together in one sentence."""
        total = sum(self.counts.values(), Counter[Outcome]())
        told = [f"{count} {outcome}" for outcome, count in sorted(total.items())]
        return ", ".join([*told, f"{len(self.suspended)} jobs came back suspended"])

    def count(self, kind: str, outcome: Outcome, name: str = "", why: str = "") -> None:
        """Count one object; `name` is namespace/name."""
        self.counts.setdefault(kind, Counter())[outcome] += 1
        where = {Outcome.KEPT: self.kept, Outcome.LEFT_OUT: self.left_out, Outcome.FAILED: self.failed}.get(outcome)
        if where is not None and name:
            where[f"{kind}/{name}"] = why
