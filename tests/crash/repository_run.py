"""One run of the scenario of repositories, and what must be true after it besides what holds for all jobs (5.1-5.7)."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from controller.executors.process.records import RecordError
from controller.executors.process.rundir import RunDir
from controller.reconcile.operations import OWNER_KIND
from controller.repositories.fence import read_fence
from controller.repositories.orders import Publish
from controller.repositories.places import MAKING, REMOVING, Places
from controller.repositories.requests import OPERATION
from tests.crash import invariants
from tests.crash.cases import Case
from tests.crash.cluster import Object
from tests.crash.controllers import Controller
from tests.crash.invariants import KEPT
from tests.crash.repositories import AFTER_PERSON, KINDS, LIB, LINES, PERSON, SHOP, Note, Remotes
from tests.crash.scenario import QUEUE, Run


class RepositoryRun(Run):
    """Jobs, repositories and a claim are declared before the first controller starts."""

    _remotes: Remotes
    _held = False
    _deleted = False

    def _case(self, kind: str, name: str, ledgers: Path) -> Case:
        self._remotes = self._remotes_in(ledgers.parent / "remotes")
        return self._remotes.case(kind, name, ledgers / name)

    def _remotes_in(self, directory: Path) -> Remotes:
        return Remotes(directory)

    def _declare(self) -> None:
        self._remotes.make()
        self.facts.in_order = False  # who waits for a lock is passed over
        cluster, facts = self._world.cluster, self.facts
        cluster.create_namespace(self._name)
        for manifest in self._remotes.repositories():
            cluster.create(self._name, manifest)
        queue = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "JobQueue", "metadata": {"name": QUEUE}}
        cluster.create(self._name, {**queue, "spec": {"concurrency": facts.concurrency}})
        self._submit(facts.cases)

    def _submit(self, cases: Sequence[Case]) -> None:
        for case in cases:
            if case.kind == AFTER_PERSON:
                self._ask()
            made = self._world.cluster.create(self._name, case.manifest(QUEUE))
            self.facts.uids[case.name] = made["metadata"]["uid"]

    def _ask(self) -> None:
        """The person wants the lock."""
        self._world.cluster.create(self._name, self._remotes.claim())

    def _look(self, jobs: dict[str, Object]) -> None:
        """The person notes that the lock is held, and gives it back at the next look."""
        if self._deleted:
            return
        status = self._world.cluster.all(self._name, "Repository")[LIB].get("status", {})
        holders = status.get("lock", {}).get("holders", ())
        token = next((held["token"] for held in holders if held["claim"] == PERSON), None)
        if self._held:
            if token is None:
                self.facts.violations.append("the lock was taken from the person")
            self._remotes.note(LIB, "end", PERSON, token or 0)
            self._world.cluster.delete(self._name, "RepositoryLock", PERSON)
            self._deleted = True
        elif token is not None:
            self._remotes.note(LIB, "start", PERSON, token)
            self._held = True

    def _quiet(self) -> bool:
        return super()._quiet() and not [*self._left()]

    def _conclude(self, controller: Controller, status: int | None, finished: bool) -> None:
        super()._conclude(controller, status, finished)
        jobs = self._world.cluster.jobs(self._name)
        for name in (SHOP, LIB):
            notes = self._remotes.notes(name)
            found = [*_broken(notes), *_apart(notes), *_in_order(name, notes, self.facts.uids), *_tokens(notes)]
            found += _pushes(self._remotes.pushed(name), _pushers(name, jobs))
            self.facts.violations += [f"{name}: {text}" for text in found]
        if (runs := len(self._remotes.preparations())) != 1:
            self.facts.violations.append(f"the preparation ran {runs} times")
        self.facts.violations += self._left()

    def _end_attempts(self) -> None:
        super()._end_attempts()
        operations = {path.name.rpartition(".")[0] for path in self.facts.home.glob("operations/*")}
        for pid in invariants.processes(operations):
            os.kill(pid, signal.SIGKILL)

    def _left(self) -> Iterator[str]:
        """Requirements 7.6, 5.4: nothing is held, waited for, or lying about."""
        cluster, home = self._world.cluster, self.facts.home
        for name, repository in cluster.all(self._name, "Repository").items():
            lock = repository.get("status", {}).get("lock", {})
            if lock.get("holders") or lock.get("waiting"):
                yield f"{name}: {lock} after the last end"
            conditions = repository.get("status", {}).get("conditions", ())
            wrong = [c for c in conditions if c["type"] == "LockSound" and c["status"] != "True"]
            if wrong:
                yield f"{name}: {wrong}"
            fence = read_fence(Places(home).repository(self._name, name))
            if fence.tokens or fence.damaged:
                yield f"{name}: {fence}"
        claims = sorted(cluster.all(self._name, "RepositoryLock"))
        if claims:
            yield f"claims are left: {claims}"
        yield from _half_made(home)
        yield from _operations(home)


def _broken(notes: list[Note]) -> Iterator[str]:
    """5.2, 5.3: what a job found in its workspace."""
    for note in notes:
        if note.what not in ("start", "end"):
            yield f"{note.who} found its workspace {note.what}"


def _apart(notes: list[Note]) -> Iterator[str]:
    """5.4: an Exclusive holder is alone. A hold that did not tell its end lasts to the end."""
    holds = []
    for note in notes:
        if note.what == "start":
            end = next((e.at for e in notes if e.what == "end" and (e.who, e.token) == (note.who, note.token)), None)
            holds.append((note, end if end is not None else float("inf")))
    for (one, one_end), (other, other_end) in itertools.combinations(holds, 2):
        together = one.at < other_end and other.at < one_end
        if together and "Exclusive" in (one.mode, other.mode):
            yield f"{one.who} ({one.mode}, token {one.token}) and {other.who} ({other.mode}, {other.token}) at once"


def _in_order(name: str, notes: list[Note], uids: Mapping[str, str]) -> Iterator[str]:
    """5.4, 5.6: who has to wait for each other starts in the order of creation; a repeat stands where its job stood."""
    kinds = {uid: job.partition("-")[2] for job, uid in uids.items()}
    first: dict[str, Note] = {}
    for note in notes:
        if note.what == "start":
            first.setdefault(kinds.get(note.who.rpartition(".")[0], note.who), note)
    expected = (*LINES[name], PERSON) if name == LIB else LINES[name]
    missing = [kind for kind in expected if kind not in first]
    if missing:
        yield f"{', '.join(missing)} never held the lock"
    for earlier, later in itertools.combinations([kind for kind in LINES[name] if kind in first], 2):
        exclusive = "Exclusive" in (first[earlier].mode, first[later].mode)
        if exclusive and first[later].at < first[earlier].at:
            yield f"{later} held the lock before {earlier}, which was in front"


def _tokens(notes: list[Note]) -> Iterator[str]:
    """5.4: each grant has a token of its own, and it only grows."""
    starts = sorted((note.at, note.token, note.mode, note.who) for note in notes if note.what == "start")
    tokens = [token for _, token, _, _ in starts]
    if len(set(tokens)) != len(tokens):
        yield f"tokens were given twice: {starts}"
    for (_, earlier, one, _), (_, later, other, _) in itertools.pairwise(starts):
        if "Exclusive" in (one, other) and later < earlier:
            yield f"tokens shrink: {starts}"


def _pushers(name: str, jobs: Mapping[str, Object]) -> set[str]:
    """Ids of the attempts that pushed."""
    found = set()
    for job, body in jobs.items():
        repository, mode, _ = KINDS.get(job.partition("-")[2], ("", "", ""))
        if repository == name and mode == "Exclusive":
            found.add(body.get("status", {}).get("attempt", {}).get("id", ""))
    return found


def _pushes(pushed: list[str], attempts: set[str]) -> Iterator[str]:
    """Issue 4, push policy: what was pushed is at the remote, once."""
    told = [message for message in pushed if message != "begin"]
    if sorted(told) != sorted(attempts):
        yield f"the remote has {told}, not each of {sorted(attempts)} once"


def _half_made(home: Path) -> Iterator[str]:
    for path in home.rglob(".*"):
        if path.name.startswith((MAKING, REMOVING)) and "mirror.git" not in path.parts:
            yield f"{path} is left"
    for name in ("workspaces", "repositories"):
        for path in home.glob(f"{name}/**/*.lock"):
            if path.name != "operation.lock":
                yield f"{path} is left"


def _operations(home: Path) -> Iterator[str]:
    """Those of jobs go with their attempts, the newest publication with its record; the newest others stay."""
    kept = set()
    for path in sorted((home / "operations").iterdir()) if (home / "operations").is_dir() else []:
        try:
            record = RunDir(str(path)).read_attempt()
            surplus = sorted(entry.name for entry in path.iterdir() if entry.name not in KEPT)
        except FileNotFoundError:  # being removed at this moment
            yield f"operation {path.name} is left"
            continue
        except RecordError as error:
            yield f"{path}: {error}"
            continue
        kept.add(path.name)
        if surplus:
            yield f"{path}: {', '.join(surplus)} left"
        owner = json.dumps(record.annotations) if record is not None else "nobody"
        of_job = record is not None and record.annotations.get(OWNER_KIND) == "BatchJob"
        if record is None or (of_job and record.annotations.get(OPERATION) != Publish.operation):
            yield f"operation {path.name} is left, of {owner}"
    results = {path.stem for path in home.glob("results/*.json")}
    if results - kept:
        yield f"results are left: {sorted(results - kept)}"
