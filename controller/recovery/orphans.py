"""Orphans: what nobody uses any more, of every sort, behind one small protocol (requirement 7.6).

    find     what is there, each with the proof that it belongs to nobody
    remove   one of them, in steps that a crash can interrupt and the next look goes on with

What is proved by a record or by an API server's answer about this very owner goes at once. What is only proved by
absence from a list goes when two looks a grace time apart found the same; a restart looks twice again. What only a
person can say stays, and says which command settles it. A new sort is a class here and a row in `app/orphans.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from controller.decisions.audited_acts import removed
from controller.errors import HoldfastError
from controller.files.usage import disk_usage
from controller.reconcile.account import ORPHANED, RecoveryAccount
from controller.reconcile.parts import Parts
from controller.recovery.phases import Step
from controller.recovery.survived import survived
from controller.telemetry.audit import AuditJournal
from controller.telemetry.metrics import Metrics

SWEEP_SECONDS = 60.0
AGAIN_SECONDS = 10.0  # after one that failed

_log = structlog.get_logger("controller.orphans")


@dataclass(frozen=True, slots=True)
class Orphan:
    """One thing that nobody uses.

    Args:
        sort: one of `controller.telemetry.metrics.ORPHANS`.
        name: of it, for a person and for the second look.
        proof: why it belongs to nobody.
        plan: what is or will be done, or, where it stays, the command that settles it.
        path: of it, "" where it has none.
        since: seconds since the epoch; None: not known.
        processes, memory_bytes: that it has, where it is or has processes.
        at_once: the proof needs no second look.
        stays: only a person can say.
    """

    sort: str
    name: str
    proof: str
    plan: str
    path: str = ""
    since: float | None = None
    processes: int = 0
    memory_bytes: int = 0
    at_once: bool = False
    stays: bool = False


class Sort(Protocol):
    """One sort of orphans."""

    @property
    def name(self) -> str:
        """One of `controller.telemetry.metrics.ORPHANS`."""

    async def find(self) -> list[Orphan]:
        """What is there now. Raises HoldfastError, OSError where that cannot be told: then nothing is removed."""

    async def remove(self, orphan: Orphan) -> bool:
        """Go on with its removal; False where it is under way. Raises HoldfastError, OSError."""


class Sweeper:
    """Looks at all sorts now and then, and whenever it is asked to.

    Args:
        held: why nothing may be removed now, None: it may.
        grace_seconds: between two looks.
        step: of the recovery, which is over when everything could be looked at once.
    """

    def __init__(
        self,
        sorts: Sequence[Sort],
        metrics: Metrics,
        account: RecoveryAccount,
        audit: AuditJournal,
        held: Callable[[], str | None],
        grace_seconds: float,
        step: Step,
    ) -> None:
        self._sorts = sorts
        self._metrics = metrics
        self._account = account
        self._audit = audit
        self._held = held
        self._grace = grace_seconds
        self._step = step
        self._seen: dict[tuple[str, str], float] = {}  # when each was seen first, monotonic
        self._sweeping = asyncio.Lock()
        self._problems: list[str] = []  # of the last sweep

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(AGAIN_SECONDS if self._problems else SWEEP_SECONDS)

    async def look(self) -> tuple[list[Orphan], list[str]]:
        """What is there, and what could not be looked at; nothing is changed."""
        found: list[Orphan] = []
        problems: list[str] = []
        for sort in self._sorts:
            with survived(self._metrics, "Orphan", sort.name, problems.append, HoldfastError, OSError):
                found += await sort.find()
        return found, problems

    async def sweep(self) -> tuple[list[tuple[Orphan, str]], list[str]]:
        """Look, and remove what may go; each orphan with what became of it, and what could not be looked at."""
        async with self._sweeping:
            done: list[tuple[Orphan, str]] = []
            unseen: list[str] = []
            self._problems = []
            for sort in self._sorts:
                orphans = []
                with survived(self._metrics, "Orphan", sort.name, unseen.append, HoldfastError, OSError):
                    orphans = await sort.find()
                    self._metrics.orphans.labels(sort.name).set(len(orphans))
                    self._forget(sort.name, {orphan.name for orphan in orphans})
                done += [(orphan, await self._deal_with(sort, orphan)) for orphan in orphans]
            for problem in unseen:
                self._failed(f"cannot look for orphans: {problem}")
            if not self._problems:
                self._step.done()
            return done, unseen

    def _failed(self, problem: str) -> None:
        self._problems.append(problem)
        self._step.failed(problem)
        _log.warning("a sweep of orphans failed", problem=problem)

    def due_in(self, orphan: Orphan) -> float | None:
        """Seconds until it may go; None where it stays for a person, 0 where it may go at the next sweep."""
        if orphan.stays or self._held() is not None:
            return None
        if orphan.at_once:
            return 0.0
        first = self._seen.get((orphan.sort, orphan.name))
        return self._grace if first is None else max(0.0, self._grace - (time.monotonic() - first))

    async def _deal_with(self, sort: Sort, orphan: Orphan) -> str:
        first_look = (orphan.sort, orphan.name) not in self._seen
        self._seen.setdefault((orphan.sort, orphan.name), time.monotonic())
        if (held := self._held()) is not None:
            return held
        if orphan.stays:
            return orphan.plan
        if (left := self.due_in(orphan)) is not None and left > 0:
            return f"{'first look' if first_look else 'seen before'}, removed in {left:.0f} s if it is still nobody's"
        what = f"{orphan.sort} {orphan.name} was not removed"
        with survived(self._metrics, "Orphan", what, self._failed, HoldfastError, OSError):
            disk = await asyncio.to_thread(disk_usage, orphan.path)
            if not await sort.remove(orphan):
                return "under way"
            self._removed(orphan, disk)
            return "removed"
        return self._problems[-1]

    def _removed(self, orphan: Orphan, disk_bytes: int) -> None:
        self._seen.pop((orphan.sort, orphan.name), None)
        for number in range(max(1, orphan.processes)):
            self._account.note(f"{ORPHANED}{orphan.sort}", f"{orphan.name} ({number + 1})" if number else orphan.name)
        self._metrics.orphans_removed.labels(orphan.sort).inc(max(1, orphan.processes))
        self._metrics.integrity.memory_reclaimed.inc(orphan.memory_bytes)
        self._metrics.integrity.disk_reclaimed.inc(disk_bytes)
        self._account.reclaimed(memory_bytes=orphan.memory_bytes, disk_bytes=disk_bytes)
        sizes = {"disk_bytes": disk_bytes, "memory_bytes": orphan.memory_bytes}
        self._audit.say(removed(orphan.sort, orphan.name, orphan.proof))
        _log.info("removed what nobody uses any more", sort=orphan.sort, name=orphan.name, proof=orphan.proof, **sizes)

    def _forget(self, sort: str, names: set[str]) -> None:
        """One that was not found again was not an orphan, or is gone: the next time is the first look."""
        self._seen = {key: when for key, when in self._seen.items() if key[0] != sort or key[1] in names}


async def uids_of_jobs(parts: Parts) -> set[str]:
    """Of all BatchJobs that the API server has now, uncached. Raises HoldfastError."""
    listing = await parts.api.list("BatchJob", metadata_only=True)
    return {item["metadata"]["uid"] for item in listing.items}
