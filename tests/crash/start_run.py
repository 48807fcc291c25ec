"""A run that dies in its recovery, again and again: the next start still ends Complete (requirements 7.1, 7.2).

A first controller works until some of the jobs are over, some run and some wait, and is killed. Then starts are killed
at the same crossing, counted from the start of each process, before one is let go on. What must be true of the jobs and
repositories is what must be true of them without any kill.
"""

from __future__ import annotations

import time

from controller.recovery.binding import read_identity
from tests.crash.cluster import Object
from tests.crash.controllers import Controller
from tests.crash.repository_run import RepositoryRun
from tests.crash.scenario import FINISH_SECONDS, LOOK_SECONDS, age_leftovers

UNDER_WAY = ("Starting", "Running", "Stopping")


class StartRun(RepositoryRun):
    """See the module. The objects are those of the scenario of repositories: jobs, claims, preparations, a queue."""

    def _declare(self) -> None:
        super()._declare()
        controller = self._start("controller-before", 0)
        try:
            deadline = time.monotonic() + FINISH_SECONDS
            while not self._in_the_middle() and time.monotonic() < deadline:
                assert controller.ended() is None, f"the first controller ended, see {controller.log}"
                time.sleep(LOOK_SECONDS)
        finally:
            controller.kill()
        age_leftovers(self.facts.home)

    def _in_the_middle(self) -> bool:
        jobs = self._world.cluster.jobs(self._name)
        for name, job in jobs.items():
            self.facts.saw(name, job)
        self._look(jobs)
        phases = [job.get("status", {}).get("phase") for job in jobs.values()]
        return bool(self.facts.first_end) and any(phase in UNDER_WAY for phase in phases)

    def _start(self, name: str, kill_at: int) -> Controller:
        self._before = set(self._reports())
        return super()._start(name, kill_at)

    def _quiet(self) -> bool:
        """Its own report is Complete: that of a start before may have been too, before it was killed."""
        reports = self._reports()
        own = reports.keys() - self._before
        return super()._quiet() and bool(own) and reports[max(own)] == "Complete"

    def _conclude(self, controller: Controller, status: int | None, finished: bool) -> None:
        super()._conclude(controller, status, finished)
        results = [*self._reports().values()]
        if results[-1:] != ["Complete"]:
            self.facts.violations.append(f"the last start is not Complete: {results}")
        if {*results} - {"Complete", "Aborted"}:
            self.facts.violations.append(
                f"reports of starts that were killed are neither Complete nor Aborted: {results}"
            )

    def _reports(self) -> dict[str, str]:
        """Results of the starts of this run by the names of their reports, oldest first."""
        identity = read_identity(self.facts.home)
        found = self._world.cluster.all(self._name, "RecoveryReport")
        own = [name for name in found if identity and found[name]["spec"]["stateId"] == identity.state_id]
        return {name: _result(found[name]) for name in sorted(own)}


def _result(report: Object) -> str:
    return str(report.get("status", {}).get("result", "Running"))
