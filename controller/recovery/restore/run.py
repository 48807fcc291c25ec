"""Restore an archive into a cluster that may be empty or not, beside a controller that may run or not (7.10).

Promises: verified as a whole before anything is written; interrupted anywhere, the same call goes on and doubles
nothing; nothing is ever deleted; a job that had finished, here or there, is never started by it. Order: owners, then
callbacks with their statuses, then the statuses of jobs, which let a controller go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from controller.api.batchjob import BatchJob
from controller.api.conditions import with_condition
from controller.api.keys import Key
from controller.api.kind import Kind
from controller.api.kinds import DECLARED
from controller.api.restored import CONDITION, RESTORED, RESTORING
from controller.decisions.inputs import Host
from controller.decisions.restore import ORDERED, Source, old_sequence, sequences
from controller.errors import HoldfastError, Terminal
from controller.kube.client import Api
from controller.kube.errors import AlreadyExists, NotServed
from controller.reconcile.merge import difference
from controller.recovery.archive import read
from controller.recovery.archive.manifest import Manifest
from controller.recovery.restore import rules
from controller.recovery.restore.here import Here
from controller.recovery.restore.report import Outcome, Report

Object = dict[str, Any]

IN_FLIGHT = 32
BATCH = 500  # objects in memory at once
TRIES = 5  # of a write that somebody else came in between of, or that the API server could not take
AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """How to restore.

    Args:
        replace: the archive wins where an object of the same name is there; else the cluster's stays.
        dry_run: write nothing.
        runs: directory of run directories on this machine.
        host: this machine, as the controller on it sees it.
    """

    replace: bool
    dry_run: bool
    runs: Path
    host: Host


class Restore:
    """One run of it.

    Args:
        path: the archive, which was verified.
        say: told how far it is.
    """

    def __init__(self, api: Api, path: Path, manifest: Manifest, options: Options, say: Callable[[str], None]) -> None:
        self._api = api
        self._path = path
        self._manifest = manifest
        self._options = options
        self._say = say
        self._source = Source(manifest.id, manifest.taken_at)
        self._here = Here(options.runs, options.host, self._source)
        self._there: dict[Key, Object] = {}
        self._uids: dict[str, str] = {}  # old -> new, of what this archive brought
        self._sequences: Mapping[str, int] = {}
        self._seen: dict[str, Object] = {}  # new uid -> a job that this archive brought, without its spec
        self._brought_before = False  # whether an earlier run of this restore created jobs
        self._limit = asyncio.Semaphore(IN_FLIGHT)
        self.report = Report(manifest.id)

    async def run(self) -> Report:
        """Restore.

        Raises:
            Terminal: the kinds are not served, or the archive cannot be read any more.
            HoldfastError: the API server does not answer at all.
        """
        await self._look_around()
        self._sequences = sequences(
            (old_sequence(item), str(item["metadata"].get("creationTimestamp")), item["metadata"]["uid"])
            for ordered in ORDERED
            for kind, item in self._items(ordered)
            if not rules.left_out(kind, item)
        )
        await self._namespaces()
        owners = [kind for kind, _ in self._manifest.counts if kind != "Callback"]
        for kind in (*owners, "Callback"):  # one after the other: each may own objects of the next
            await self._each(kind, self._make)
        await self._look_at_jobs()
        await self._each("BatchJob", self._finish_job)
        return self.report

    # --- the archive

    def _items(self, only: str | None = None) -> Iterator[tuple[str, Object]]:
        return ((kind, item) for kind, item in read.objects(self._path, only=only) if kind in DECLARED)

    async def _each(self, kind: str, work: Callable[[str, Object], Awaitable[None]]) -> None:
        items, done = self._items(kind), 0
        while batch := list(islice(items, BATCH)):
            await asyncio.gather(*(self._guarded(kind, item, work) for _, item in batch))
            done += len(batch)
            self._say(f"{kind}: {done}{' statuses' if work == self._finish_job else ''}")

    async def _guarded(self, kind: str, item: Object, work: Callable[[str, Object], Awaitable[None]]) -> None:
        """One object; what is wrong with it stops no other one."""
        async with self._limit:
            for tries in range(TRIES):
                try:
                    await work(kind, item)
                    return
                except (Terminal, ValueError) as error:
                    why = error.message if isinstance(error, Terminal) else f"it is damaged: {error}"
                    self.report.count(kind, Outcome.FAILED, _name(item), " ".join(why.split()))
                    return
                except HoldfastError as error:
                    why = error.message
                await asyncio.sleep(AGAIN_SECONDS * 2**tries)
            self.report.count(kind, Outcome.FAILED, _name(item), why)

    # --- the cluster

    async def _look_around(self) -> None:
        for kind, _ in self._manifest.counts:
            if kind not in DECLARED:
                continue
            try:
                async for page in self._api.pages(kind, metadata_only=True):
                    for item in page.items:
                        self._there[_key(kind, item)] = item["metadata"]
            except NotServed as error:
                text = f"the cluster does not serve {kind}: apply crds/ to it, or start it with `holdfast up`"
                raise Terminal("NotServed", text) from error

    async def _namespaces(self) -> None:
        for name in self._manifest.namespaces if not self._options.dry_run else ():
            try:
                await self._api.create("Namespace", "", {"metadata": {"name": name}})
            except AlreadyExists:
                continue

    # --- create

    async def _make(self, kind: str, item: Object) -> None:
        """Bring one object, and its status where nothing else has to be there before."""
        if why := rules.left_out(kind, item):
            return self.report.count(kind, Outcome.LEFT_OUT, _name(item), why)
        references = item["metadata"].get("ownerReferences") or ()
        if references and not self._options.dry_run and not rules.owned(item, self._uids):
            return self.report.count(kind, Outcome.LEFT_OUT, _name(item), "its owner was not restored")
        model = DECLARED[kind].model_validate(item)  # what does not parse is told, and not half restored
        there = self._there.get(_key(kind, item))
        mine = there is not None and (there.get("labels") or {}).get(RESTORED) == self._source.id
        if there is not None and not mine:
            return await self._collide(kind, item, model)
        outcome = Outcome.DONE_BEFORE if mine else Outcome.CREATED
        if self._options.dry_run:
            return self._count(kind, item, outcome, model)
        if there is not None and kind == "BatchJob":  # its status is read with those of all the others
            self._uids[item["metadata"]["uid"]], self._brought_before = there["uid"], True
            return self._count(kind, item, outcome, model)
        made = await self._api.get(*_key(kind, item)) if mine else await self._create(kind, item)
        if made is None:
            return await self._collide(kind, item, model)
        self._uids[item["metadata"]["uid"]] = made["metadata"]["uid"]
        if kind == "BatchJob":
            self._see(made)
        else:
            await self._status(kind, item, made)
        return self._count(kind, item, outcome, model)

    async def _create(self, kind: str, item: Object) -> Object | None:
        """The created object; None where another one came in between."""
        attempt = self._here.attempt(item)[0] if kind == "BatchJob" else None
        wanted = rules.body(kind, item, self._source, self._uids, attempt)
        try:
            return await self._api.create(kind, wanted["metadata"]["namespace"], wanted)
        except AlreadyExists:
            found = await self._api.get(*_key(kind, item))
            return found if (found["metadata"].get("labels") or {}).get(RESTORED) == self._source.id else None

    def _see(self, job: Object) -> None:
        self._seen[job["metadata"]["uid"]] = {name: job.get(name) for name in ("metadata", "status")}

    async def _look_at_jobs(self) -> None:
        """Read what an earlier run created page by page: one request for hundreds, where each would be one."""
        if self._brought_before:
            async for page in self._api.pages("BatchJob", label_selector=f"{RESTORED}={self._source.id}"):
                for item in page.items:
                    self._see(item)

    def _count(self, kind: str, item: Object, outcome: Outcome, model: Kind) -> None:
        self.report.count(kind, outcome)
        if isinstance(model, BatchJob) and not rules.finished(item):
            ended, text = self._here.becomes(item, model)
            (self.report.ended if ended else self.report.suspended)[_name(item)] = text

    # --- an object of that name is there

    async def _collide(self, kind: str, item: Object, model: Kind) -> None:
        if not self._options.replace:
            return self.report.count(kind, Outcome.KEPT, _name(item), "it is there (--conflict keep)")
        there = await self._api.get(*_key(kind, item))
        if why := rules.irreplaceable(kind, there):
            return self.report.count(kind, Outcome.KEPT, _name(item), why)
        if not self._options.dry_run:
            attempt = self._here.attempt(item)[0] if kind == "BatchJob" else None
            wanted = rules.body(kind, item, self._source, self._uids, attempt)
            meta = {name: wanted["metadata"][name] for name in ("labels", "annotations")}
            meta["resourceVersion"] = there["metadata"]["resourceVersion"]
            spec = difference(there.get("spec") or {}, wanted["spec"])
            made = await self._api.patch(*_key(kind, item), {"metadata": meta, "spec": spec})
            self._uids[item["metadata"]["uid"]] = made["metadata"]["uid"]
        return self._count(kind, item, Outcome.REPLACED, model)

    # --- status

    async def _status(self, kind: str, item: Object, made: Object) -> None:
        """Write the status, where the object has none yet: what a controller wrote since is newer."""
        wanted = rules.plain_status(kind, item)
        if kind == "RepositoryLock":
            wanted = {"sequence": self._sequences[item["metadata"]["uid"]]}
            if (made.get("status") or {}).get("sequence") == wanted["sequence"]:
                return
        elif rules.is_held(kind, item):
            wanted = self._told(wanted or {})
            if self._is_told(made):
                return
        elif wanted is None or made.get("status"):
            return
        patch = wanted if kind == "RepositoryLock" else difference(made.get("status") or {}, wanted)
        meta = made["metadata"]
        await self._api.patch_status(*_key(kind, item), meta["uid"], meta["resourceVersion"], patch)

    def _told(self, status: Object) -> Object:
        """`status` with the condition that lets it go on."""
        model = with_condition((), CONDITION, "True", "FromArchive", self._source.told, 1, datetime.now(UTC))
        others = [each for each in status.get("conditions") or () if each.get("type") != CONDITION]
        return status | {"conditions": [*others, *(each.to_json() for each in model)]}

    def _is_told(self, made: Object) -> bool:
        conditions = (made.get("status") or {}).get("conditions") or ()
        return any(each["type"] == CONDITION and self._source.id in each.get("message", "") for each in conditions)

    async def _finish_job(self, kind: str, item: Object) -> None:
        """The status of a job, last: with it a controller may go on with the job."""
        old = item["metadata"]["uid"]
        if old not in self._uids or self._options.dry_run:
            return
        # Held back, it is as it was seen, unless somebody else wrote: then it is read again.
        there = self._seen.pop(self._uids[old], None) or await self._api.get(*_key(kind, item))
        if there["metadata"]["uid"] != self._uids[old] or self._is_told(there):
            return
        if RESTORING not in (there["metadata"].get("annotations") or {}):
            return  # a person let it go
        if why := rules.irreplaceable(kind, there):
            self.report.count(kind, Outcome.KEPT, _name(item), why)
            return
        meta = there["metadata"]
        status = self._here.status(item, meta["uid"], self._sequences[old])
        patch = difference(there.get("status") or {}, status)
        await self._api.patch_status(*_key(kind, item), meta["uid"], meta["resourceVersion"], patch)


def _key(kind: str, item: Object) -> Key:
    meta = item["metadata"]
    return Key(kind, meta.get("namespace", ""), meta["name"])


def _name(item: Object) -> str:
    meta = item["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"
