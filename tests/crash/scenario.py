"""One run of a scenario: jobs, controllers that are killed at a crossing each, one that goes on, the invariants.

What users and accidents do to the jobs is done here too, whether or not a controller runs at that moment.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from controller.executors.process.identity import send
from controller.executors.process.rundir import RunDir
from controller.files.atomic import is_temp_name
from tests.crash import invariants
from tests.crash.cases import Case, make, read_ledger
from tests.crash.cluster import Cluster, Object
from tests.crash.controllers import Controller, Preloaded

QUEUE = "narrow"
FINISH_SECONDS = 180.0
LOOK_SECONDS = 0.1
LIST_SECONDS = 5.0
AGED_SECONDS = 1200.0  # over the 10 minutes after which leftovers of killed writers are removed (requirement 8.2)


CHANGES: dict[str, dict[str, bool]] = {
    "cancel": {"cancel": True},
    "suspend": {"suspend": True},
    "resume": {"suspend": False},
}


@dataclass(frozen=True, slots=True)
class World:
    """Where a run takes place; one run at a time.

    Args:
        directory: for the state directories, ledgers and logs of the runs.
    """

    cluster: Cluster
    preloaded: Preloaded
    directory: Path


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended.

    Args:
        kills: numbers of the crossings before which the controllers, one after the other, were to be killed.
        crossings: of each controller; the last one of a killed controller is the one that it was killed before.
        violations: of the invariants, empty for a good run.
        seconds: that the run took.
        final: what is recorded in the end, where it is to be the same as that of a run without a crash.
    """

    kills: tuple[int, ...]
    crossings: list[list[str]]
    violations: list[str]
    seconds: float
    final: Object = field(default_factory=dict)

    @property
    def killed_before(self) -> list[str]:
        """What each killed controller did not do any more; the last controller always did its work to the end."""
        return [crossed[-1] for crossed in self.crossings[:-1]]


@dataclass(slots=True)
class Facts:
    """What was seen of the jobs while they ran, for the invariants."""

    cases: list[Case]
    home: Path
    ledgers: Path
    concurrency: int
    in_order: bool = True  # no job is passed over: admission follows creation
    uids: dict[str, str] = field(default_factory=dict)
    first_end: dict[str, Object] = field(default_factory=dict)  # the status in which a job was first seen Finished
    numbers: dict[str, int] = field(default_factory=dict)  # highest attempt number seen
    violations: list[str] = field(default_factory=list)

    def saw(self, name: str, job: Object) -> None:
        """Note what may never change back."""
        status: dict[str, Any] = job.get("status", {})
        number = status.get("attempt", {}).get("number", 0)
        if number < self.numbers.get(name, 0):
            self.violations.append(f"{name}: attempt {number} after attempt {self.numbers[name]}")
        self.numbers[name] = number
        if invariants.is_true(status, "Finished"):
            self.first_end.setdefault(name, status)

    @property
    def all_finished(self) -> bool:
        return len(self.first_end) == len(self.cases)


# What is done to a job of a kind once it has started.
DUE = {"cancel": "cancel", "lost": "lose", "resumed": "lose", "suspend": "suspend"}


class Interventions:
    """What users and accidents do: each once per job, as soon as its ledger or status shows that it is time."""

    def __init__(self, cluster: Cluster, namespace: str, facts: Facts) -> None:
        self._cluster, self._namespace, self._facts = cluster, namespace, facts
        self._done: set[tuple[str, str]] = set()

    def look(self, jobs: dict[str, Object]) -> None:
        """Do what is due."""
        for case in self._facts.cases:
            if case.kind not in DUE:
                continue
            started = [entry for entry in read_ledger(self._facts.ledgers / case.name) if entry.what == "start"]
            if not started:
                continue
            what = self._due(case, jobs.get(case.name, {}).get("status", {}).get("phase"))
            if what == "lose":
                self._lose(started[0].attempt)
            elif what:
                self._cluster.change(self._namespace, case.name, **CHANGES[what])
            self._done.add((case.name, what))

    def _due(self, case: Case, phase: str | None) -> str:
        """What is to be done to a job that has started, "" for nothing."""
        what = DUE[case.kind]
        if what == "suspend" and phase == "Suspended":
            what = "resume"
        return "" if (case.name, what) in self._done else what

    def _lose(self, attempt: str) -> None:
        """Kill recorder and supervisor of an attempt: nobody is left to tell how its command ends."""
        run = RunDir.of(str(self._facts.home / "runs"), attempt)
        process, supervisor = run.read_process(), run.read_supervisor()
        assert process is not None and supervisor is not None, f"{attempt} runs without a record"
        send(process.recorder, signal.SIGKILL)
        send(supervisor, signal.SIGKILL)


class Run:
    """One run: fresh namespace, state directory and ledgers.

    Attributes:
        expected: what is recorded in the end of a run without a crash, None in that one.
    """

    expected: Object | None = None

    def __init__(self, world: World, kinds: Sequence[str], concurrency: int, *kills: int) -> None:
        self._world, self._kills = world, kills
        self._name = f"crash-{'-'.join(map(str, kills))}-{uuid4().hex[:6]}"
        self._directory = world.directory / self._name
        ledgers = self._directory / "ledgers"
        ledgers.mkdir(parents=True)
        cases = [self._case(kind, f"{index}-{kind}", ledgers) for index, kind in enumerate(kinds)]
        self.facts = Facts(cases, self._directory / "home", ledgers, concurrency)
        self._interventions = Interventions(world.cluster, self._name, self.facts)

    def _case(self, kind: str, name: str, ledgers: Path) -> Case:
        return make(kind, name, ledgers)

    def play(self) -> Result:
        """Run to the end; what it left on the disk stays only where an invariant was violated."""
        began = time.monotonic()
        self._declare()
        crossings: list[list[str]] = []
        final: Object = {}
        try:
            for number, kill_at in enumerate((*self._kills, 0)):
                controller = self._start(f"controller-{number}", kill_at)
                killed = self._is_killed(controller, kill_at)
                crossings.append(controller.crossings())
                if not killed:
                    break
                age_leftovers(self.facts.home)
            final = self._final()
        finally:
            self._end_attempts()
            self._world.cluster.delete_all(self._name)
        violations = self.facts.violations
        if self.expected is not None:
            violations += _differing(self.expected, final)
        if violations:
            violations.append(f"left to look at: {self._directory}")
        else:
            shutil.rmtree(self._directory)
        return Result(self._kills, crossings, violations, time.monotonic() - began, final)

    def _declare(self) -> None:
        cluster, facts = self._world.cluster, self.facts
        cluster.create_namespace(self._name)
        queue = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "JobQueue", "metadata": {"name": QUEUE}}
        cluster.create(self._name, {**queue, "spec": {"concurrency": facts.concurrency}})
        for case in facts.cases:
            facts.uids[case.name] = cluster.create(self._name, case.manifest(QUEUE))["metadata"]["uid"]

    def _start(self, name: str, kill_at: int) -> Controller:
        facts = self.facts
        slots = str(len(facts.cases) + 2)  # only the queue limits
        return self._world.preloaded.start(
            facts.home,
            self._world.cluster.kubeconfig,
            name,
            kill_at,
            HOLDFAST_MAX_RUNNING=slots,
            HOLDFAST_GIT_SCHEMES="file",
            HOLDFAST_NAMESPACE=self._name,
            **self._settings(),
        )

    def _settings(self) -> dict[str, str]:
        """What this kind of run wants besides."""
        return {}

    def _is_killed(self, controller: Controller, kill_at: int) -> bool:
        """Until it is killed, at its crossing or while it stops; False where it did all of its work."""
        try:
            finished = self._until_finished(controller)
            if finished:
                self._settle(controller)
                controller.stop()
            status = controller.ended()
        finally:
            controller.kill()
        self.facts.violations += [f"{controller.log.name}: {line}" for line in controller.defects()]
        if status == -signal.SIGKILL and len(controller.crossings()) == kill_at:
            return True
        self._conclude(controller, status, finished)
        return False

    def _until_finished(self, controller: Controller) -> bool:
        """Look and intervene until every job is Finished, the controller is gone, or it took too long."""
        deadline = time.monotonic() + FINISH_SECONDS
        while time.monotonic() < deadline and controller.ended() is None:
            jobs = self._world.cluster.jobs(self._name)
            for name, job in jobs.items():
                self.facts.saw(name, job)
            self._look(jobs)
            if self.facts.all_finished:
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def _look(self, jobs: dict[str, Object]) -> None:
        self._interventions.look(jobs)

    def _settle(self, controller: Controller) -> None:
        """After the last end, and the first pass: all is over when the books say so and nothing of the jobs is left."""
        deadline = time.monotonic() + invariants.SETTLE_SECONDS
        while time.monotonic() < deadline and controller.ended() is None:
            with suppress(FileNotFoundError):  # something was being removed while it was looked at
                if self._quiet() and controller.ready(self.facts.home):
                    return
            time.sleep(LOOK_SECONDS)

    def _quiet(self) -> bool:
        queue = self._world.cluster.queue(self._name, QUEUE)
        return not invariants.slots(queue) and not invariants.leftovers(self.facts.home)

    def _conclude(self, controller: Controller, status: int | None, finished: bool) -> None:
        violations = self.facts.violations
        if status != 0:
            violations.append(f"the controller ended with {status}, see {controller.log}")
        if not finished:
            violations.append(f"not all jobs were Finished within {FINISH_SECONDS:g} s")
        jobs = self._world.cluster.jobs(self._name)
        queue = self._world.cluster.queue(self._name, QUEUE)
        violations += invariants.check(self.facts, jobs, queue)
        violations += invariants.strays(self._world.preloaded)

    def _final(self) -> Object:
        """What is recorded in the end, where that is compared: without what differs from run to run."""
        return {}

    def _end_attempts(self) -> None:
        """A violation may leave processes; the next run must not meet them."""
        for pid in invariants.processes(set(self.facts.uids.values())):
            os.kill(pid, signal.SIGKILL)


def _differing(expected: Object, final: Object) -> list[str]:
    names = sorted({*expected, *final})
    return [
        f"{name} is {final.get(name)} in the end, {expected.get(name)} without a crash"
        for name in names
        if final.get(name) != expected.get(name)
    ]


def age_leftovers(home: Path, *, supervisors_too: bool = False) -> None:
    """Make temporary files of the killed controller look as old as they have to be to be removed.

    Args:
        supervisors_too: also the run directories that supervisors were building; none may be at work.
    """
    then = time.time() - AGED_SECONDS
    half_built = home.glob("runs/.*") if supervisors_too else ()
    places = ("*", "runs/*/*", "operations/*/*", "results/*", "repositories/*/*/*", "snapshots/*", "quarantine/*")
    for path in (*(path for place in places for path in _glob(home, place)), *half_built):
        with suppress(FileNotFoundError):  # a supervisor at work renamed its own
            if is_temp_name(path.name):
                os.utime(path, (then, then))


def _glob(home: Path, pattern: str) -> list[Path]:
    """What matches; operations go on without their controller, and directories vanish while they are read."""
    deadline = time.monotonic() + LIST_SECONDS
    while True:
        try:
            return list(home.glob(pattern))
        except FileNotFoundError:
            assert time.monotonic() < deadline, f"{home}/{pattern} cannot be listed"
