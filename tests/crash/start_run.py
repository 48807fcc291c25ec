"""A run that dies in its recovery, again and again: the next start still ends Complete (requirements 7.1, 7.2).

A first controller works until there are objects of all sorts in every state (`start_cases`), and is killed. What
accidents and people do meanwhile is done: an attempt dies with all its processes, a job is deleted while it runs, and
a Repository, a Snapshot is asked for, unfinished files lie about. Then starts are killed at the same crossing, counted
from the start of each process, before one is let go on. When that one's report is Complete, what is held back goes on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from controller.executors.process.identity import send
from controller.executors.process.rundir import RunDir
from controller.recovery.binding import read_identity
from tests.crash import invariants, repositories, start_cases
from tests.crash.callback_run import (
    deliveries,
    note_dead_letters,
    undelivered,
    wrong_dead_letters,
    wrong_deliveries,
)
from tests.crash.cases import Case, read_ledger
from tests.crash.cluster import Object
from tests.crash.controllers import Controller
from tests.crash.receiver import HOOK, SECRET, SETTINGS, Receiver
from tests.crash.repository_run import RepositoryRun
from tests.crash.scenario import AGED_SECONDS, FINISH_SECONDS, LOOK_SECONDS, Result, age_leftovers
from tests.crash.start_cases import (
    DEAD,
    DOOMED,
    FIRST,
    LATER,
    LOST,
    QUEUED,
    RETRY,
    RUNS,
    SLOTS,
    TAKES_OVER,
    TOLD,
    Gates,
)
from tests.crash.start_checks import final, litter, operations_of, wrong_snapshot

KINDS = (*FIRST, *repositories.KINDS, *LATER)
CONCURRENCY = SLOTS
UNUSED = "unused"  # a Repository that is deleted
SNAPSHOT = "before-the-upgrade"
OLD_REPORT = "start-20250101-000000-000-0000"


class StartRun(RepositoryRun):
    """See the module. Objects of repositories are those of their own scenario."""

    _receiver: Receiver
    _gates: Gates
    _doomed: str  # uid of the deleted job
    _submitted = False  # all jobs are

    def _case(self, kind: str, name: str, ledgers: Path) -> Case:
        if not hasattr(self, "_receiver"):
            self._receiver, self._settled = Receiver(), dict[str, int]()
            self._gates = Gates(ledgers.parent / "fail", ledgers.parent / "go")
        if kind in repositories.KINDS:
            return super()._case(kind, name, ledgers)
        return start_cases.case(kind, name, ledgers, self._gates, self._receiver)

    def _remotes_in(self, directory: Path) -> repositories.Remotes:
        return repositories.Remotes(directory, start_cases.until(self._gates.go))

    def play(self) -> Result:
        try:
            return super().play()
        finally:
            self._receiver.close()

    def _settings(self) -> dict[str, str]:
        return SETTINGS

    # --- before the starts

    def _declare(self) -> None:
        super()._declare()
        self._world.cluster.create(self._name, _object("Repository", UNUSED, self._remotes.repositories()[1]["spec"]))
        self._world.cluster.secret(self._name, HOOK, key=SECRET)
        controller = self._start("controller-before", 0)
        try:
            deadline = time.monotonic() + 2 * FINISH_SECONDS
            while missing := [*self._missing()]:
                assert controller.ended() is None, f"the first controller ended, see {controller.log}"
                assert time.monotonic() < deadline, f"{', '.join(missing)}: never came to be, see {controller.log}"
                time.sleep(LOOK_SECONDS)
        finally:
            controller.kill()
        self._meanwhile()

    def _ask(self) -> None:
        """Not before the lock is held: this claim is to wait."""

    def _missing(self) -> Iterator[str]:
        """What is not yet as it is to be when the starts begin; goes on with what brings it about."""
        jobs = self._world.cluster.jobs(self._name)
        for name, job in jobs.items():
            self.facts.saw(name, job)
        note_dead_letters(jobs, self._receiver, self._settled)
        statuses = {name.partition("-")[2]: job.get("status", {}) for name, job in jobs.items()}
        phases = {kind: status.get("phase") for kind, status in statuses.items()}
        yield from (first := self._unready(phases))
        if not first and not self._submitted:
            # Not sooner: a preparation begins while there are free slots, and a claim is to wait for the lock.
            self._submit([case for case in self.facts.cases if case.name.partition("-")[2] in LATER])
            super()._ask()
            self._submitted = True
        if not first and self._runs(RUNS, phases) and phases.get(TAKES_OVER) == phases.get(QUEUED) == "Queued":
            self._gates.fail.touch()
        if statuses[RETRY].get("failures", 0) != 1 or phases[RETRY] not in ("Waiting", "Queued"):
            yield "a job that is tried again"
        if not self._runs(RUNS, phases) or not self._runs(TAKES_OVER, phases) or phases.get(QUEUED) != "Queued":
            yield "two jobs that run and one that waits for a slot"

    def _unready(self, phases: Mapping[str, str | None]) -> list[str]:
        wanted = {
            "finished jobs": {phases[kind] for kind in ("success", DEAD, TOLD)} == {"Succeeded"},
            "a dead letter": len(self._settled) == 1,
            "a callback under way": self._receiver.waiting > 0,
            "running jobs": all(self._runs(kind, phases) for kind in (LOST, DOOMED)),
            "a repository to delete": self._phase("Repository", UNUSED) == "Ready",
            "a preparation under way": len(self._remotes.preparations()) == 1,
            "a lock that is held": self._runs(repositories.FIRST_WRITER, phases),
            "a job to fail": bool(self._gates.fail.exists() or self._runs(RETRY, phases)),
        }
        return [what for what, there in wanted.items() if not there]

    def _phase(self, kind: str, name: str) -> object:
        return self._world.cluster.all(self._name, kind)[name].get("status", {}).get("phase")

    def _runs(self, kind: str, phases: Mapping[str, str | None]) -> bool:
        return phases.get(kind) == "Running" and bool(read_ledger(self.facts.ledgers / self._named(kind)))

    def _submit(self, cases: Sequence[Case]) -> None:
        later = LATER if not self.facts.uids else ()
        super()._submit([case for case in cases if case.name.partition("-")[2] not in later])

    def _named(self, kind: str) -> str:
        return next(name for name in self.facts.uids if name.partition("-")[2] == kind)

    def _meanwhile(self) -> None:
        """No controller runs."""
        cluster, home = self._world.cluster, self.facts.home
        self._lose(f"{self.facts.uids[self._named(LOST)]}.1")
        doomed = self._named(DOOMED)
        self._doomed = self.facts.uids[doomed]
        cluster.delete(self._name, "BatchJob", doomed)
        self.facts.cases = [case for case in self.facts.cases if case.name != doomed]
        unused = cluster.all(self._name, "Repository")[UNUSED]["metadata"]["uid"]
        cluster.delete(self._name, "Repository", UNUSED)
        cluster.create(self._name, _object("Snapshot", SNAPSHOT, {}))
        identity = read_identity(home)
        assert identity is not None
        spec = {"stateId": identity.state_id, "startId": str(uuid4())}
        cluster.create(self._name, _object("RecoveryReport", OLD_REPORT, spec))
        self._litter, long_ago = [*litter(home)], time.time() - AGED_SECONDS
        for path in self._litter:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half of wh")
            os.utime(path, (long_ago, long_ago))
        age_leftovers(home)
        self._litter += operations_of(home, unused)
        assert self._litter[-1].is_dir(), f"no operation of {UNUSED} is kept"

    def _lose(self, attempt: str) -> None:
        """Supervisor, recorder and command die at once: nobody is left to tell."""
        run = RunDir.of(str(self.facts.home / "runs"), attempt)
        process, supervisor = run.read_process(), run.read_supervisor()
        assert process is not None and supervisor is not None, f"{attempt} runs without a record"
        for identity in (supervisor, process.recorder):
            send(identity, signal.SIGKILL)
        for pid in invariants.processes({attempt.rpartition(".")[0]}):
            os.kill(pid, signal.SIGKILL)

    # --- the starts

    def _start(self, name: str, kill_at: int) -> Controller:
        self._before = set(self._reports())
        return super()._start(name, kill_at)

    def _look(self, jobs: dict[str, Object]) -> None:
        super()._look(jobs)
        note_dead_letters(jobs, self._receiver, self._settled)
        if not self._gates.go.exists() and self._complete():
            self._gates.go.touch()
            self._receiver.open()

    def _complete(self) -> bool:
        """Its own report is Complete: that of a start before may have been too, before it was killed."""
        reports = self._reports()
        own = reports.keys() - self._before
        return bool(own) and reports[max(own)] == "Complete"

    def _quiet(self) -> bool:
        jobs = self._world.cluster.jobs(self._name)
        self._look(jobs)  # the person may get the lock after all jobs are over
        told = not any(undelivered(job) for job in jobs.values())
        return super()._quiet() and self._complete() and told and not [*self._left_over()]

    def _conclude(self, controller: Controller, status: int | None, finished: bool) -> None:
        super()._conclude(controller, status, finished)
        found = [*self._wrong_reports(), *self._wrong_callbacks(), *self._left_over()]
        self.facts.violations += found

    def _wrong_reports(self) -> Iterator[str]:
        results = self._reports()
        if [*results.values()][-1:] != ["Complete"]:
            yield f"the last start is not Complete: {results}"
        if {*results.values()} - {"Complete", "Aborted"}:
            yield f"reports of starts that were killed are neither Complete nor Aborted: {results}"
        if results.get(OLD_REPORT) != "Aborted":
            yield f"the report that was left open is {results.get(OLD_REPORT)}"

    def _wrong_callbacks(self) -> Iterator[str]:
        """6.1, 6.3: what was under way arrived, under the id that is recorded; what was given up stays given up."""
        jobs = self._world.cluster.jobs(self._name)
        told, dead = jobs[self._named(TOLD)], jobs[self._named(DEAD)]
        yield from wrong_deliveries(told, "Delivered")
        yield from wrong_deliveries(dead, "Failed")
        recorded = {(told["metadata"]["name"], each["id"]) for each in deliveries(told)}
        if {*self._receiver.taken} != recorded or len(recorded) != 1:
            yield f"arrived are {sorted(set(self._receiver.taken))}, recorded are {sorted(recorded)}"
        letters = self._world.cluster.all(self._name, "Callback")
        yield from wrong_dead_letters(letters, self._receiver, self._settled, 1, 0)

    def _left_over(self) -> Iterator[str]:
        """7.6, 7.10: orphans are gone, the Snapshot was taken once and can be read."""
        home = self.facts.home
        yield from (f"{path} is left" for path in self._litter if path.exists())
        yield from (f"{path} of a deleted job is left" for path in home.glob(f"runs/{self._doomed}.*"))
        yield from (f"process {pid} of a deleted job is left" for pid in invariants.processes({self._doomed}))
        snapshot = self._world.cluster.all(self._name, "Snapshot")[SNAPSHOT]
        yield from wrong_snapshot(snapshot, home / "snapshots")

    def _reports(self) -> dict[str, str]:
        """Results of the starts of this run by the names of their reports, oldest first."""
        identity = read_identity(self.facts.home)
        found = self._world.cluster.all(self._name, "RecoveryReport")
        own = [name for name in found if identity and found[name]["spec"]["stateId"] == identity.state_id]
        return {name: _result(found[name]) for name in sorted(own)}

    def _final(self) -> Object:
        return final(self._world.cluster, self._name)


def _object(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": "holdfast.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _result(report: Object) -> str:
    return str(report.get("status", {}).get("result", "Running"))
