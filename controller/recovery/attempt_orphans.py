"""The orphans of attempts: run directories, stray processes, and what killed writers left (requirement 7.6)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import Owner, is_live
from controller.executors.base import AttemptId
from controller.executors.process.ending import half_made
from controller.executors.process.strays import end_stray, find_strays
from controller.files.atomic import stale_temps
from controller.files.quarantine import DIRECTORY
from controller.files.trees import remove_tree
from controller.files.usage import used_at
from controller.reconcile.index import attempt_key
from controller.reconcile.orphans import OrphanReconciler
from controller.reconcile.parts import Parts
from controller.reconcile.workqueue import HIGH
from controller.recovery.orphans import Orphan, uids_of_jobs
from controller.repositories.cleanup import leftovers
from controller.repositories.places import Places

OLD_SECONDS = 600.0
SNAPSHOTS = "snapshots"  # where archives go unless a setting or a Snapshot says otherwise


class RunDirectoryOrphans:
    """Run directories whose BatchJob is not in the store; each is dealt with by its own reconciler, which counts it."""

    name = "run_directory"

    def __init__(self, parts: Parts, reconciler: OrphanReconciler, ownerless: Callable[[], list[AttemptId]]) -> None:
        self._parts = parts
        self._reconciler = reconciler
        self._ownerless = ownerless

    async def find(self) -> list[Orphan]:
        """See `Sort`."""
        return [await self._orphan(attempt) for attempt in self._ownerless()]

    async def remove(self, orphan: Orphan) -> bool:
        """See `Sort`."""
        self._parts.queue.add(attempt_key(AttemptId.parse(orphan.name)), HIGH)
        return False

    async def _orphan(self, attempt: AttemptId) -> Orphan:
        executor, name = self._parts.executor, str(attempt)
        owner, seen = await self._reconciler.owner(attempt), await executor.observe(attempt)
        usage = await executor.usage(attempt)
        proof = {
            Owner.GONE: "its BatchJob is gone (uncached GET)",
            Owner.PRESENT: "its BatchJob is there",
            Owner.UNKNOWN: "its BatchJob is not in the store; nothing is proved",
        }[owner]
        return Orphan(
            self.name,
            name,
            f"{proof}; {_told(seen)}",
            _plan(name, owner, seen),
            executor.place(name),
            used_at(executor.place(name)),
            usage.processes,
            usage.memory_bytes,
            at_once=owner is Owner.GONE,
            stays=owner is not Owner.GONE or seen.evidence is Evidence.UNKNOWN,
        )


def _told(seen: Observation) -> str:
    return f"it is {seen.evidence.value}" + (f" ({seen.message})" if seen.message else "")


def _plan(name: str, owner: Owner, seen: Observation) -> str:
    if owner is not Owner.GONE:
        return "nothing, until the API server has answered whether its BatchJob is there"
    if seen.evidence is Evidence.UNKNOWN:
        return f"nothing, and it holds its slot; where you know that it is over: holdfast orphans --settle {name}"
    return "stop its processes, then remove it" if is_live(seen) else "remove it"


class StrayProcesses:
    """Processes of attempts of this state directory whose run directory and BatchJob are gone.

    Args:
        runs: the directory of the run directories.
    """

    name = "process"

    def __init__(self, parts: Parts, runs: Path) -> None:
        self._parts = parts
        self._runs = str(runs)

    async def find(self) -> list[Orphan]:
        """See `Sort`."""
        known = {str(attempt) for attempt in await self._parts.executor.list_attempts()}
        strays = await asyncio.to_thread(find_strays, self._runs, known)
        strays = [one for one in strays if self._parts.scheduler.owner(AttemptId.parse(one.attempt).job_uid) is None]
        present = await uids_of_jobs(self._parts) if strays else set()
        proof = "no BatchJob has its uid (uncached LIST), and its run directory is gone"
        return [
            Orphan(
                self.name,
                stray.attempt,
                f"{proof}; pids {', '.join(map(str, stray.pids[:5]))}",
                "stop them: TERM, 5 s, KILL",
                since=await asyncio.to_thread(_began, stray.pids),
                processes=len(stray.pids),
                memory_bytes=stray.memory_bytes,
            )
            for stray in strays
            if AttemptId.parse(stray.attempt).job_uid not in present
        ]

    async def remove(self, orphan: Orphan) -> bool:
        """See `Sort`."""
        return await asyncio.to_thread(end_stray, orphan.name) == 0


def _began(pids: Iterable[int]) -> float | None:
    """About when the first of them was started: the time of its entry in /proc."""
    times = [when for pid in pids if (when := used_at(f"/proc/{pid}")) is not None]
    return min(times, default=None)


class TempFiles:
    """What killed writers, launches and removals left, older than 10 min, anywhere in the state directory.

    Args:
        live: operations that are not proved over: what they make stays.
    """

    name = "temp_file"

    def __init__(self, home: Path, live: Callable[[], set[str]]) -> None:
        self._home = home
        self._places = Places(home)
        self._live = live

    async def find(self) -> list[Orphan]:
        """See `Sort`."""
        paths = await asyncio.to_thread(self._paths)
        proof = "a name that only an unfinished write, launch or removal has"
        return [Orphan(self.name, path, proof, "remove it", path, used_at(path), at_once=True) for path in paths]

    async def remove(self, orphan: Orphan) -> bool:
        """See `Sort`."""
        await asyncio.to_thread(remove_tree, orphan.path)
        return True

    def _paths(self) -> list[str]:
        now = time.time()
        found = [str(path) for path in leftovers(self._places, self._live(), now=now, older_than_seconds=OLD_SECONDS)]
        for directory in (self._home, self._home / DIRECTORY, self._home / SNAPSHOTS):
            if directory.is_dir():
                found += stale_temps(directory, OLD_SECONDS, now=now)
        for runs in (self._home / "runs", self._home / "operations"):
            if runs.is_dir():
                found += half_made(str(runs), now, OLD_SECONDS)
        return sorted(found)
