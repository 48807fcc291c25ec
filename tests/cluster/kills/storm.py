"""Kills at random moments of whatever a job depends on, while jobs keep coming; then everything must end."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.kills import invariants
from tests.cluster.kills.cases import KINDS, Work, executions
from tests.cluster.kills.project import Project
from tests.cluster.kills.victims import NOT_NOW, Strike, Victims
from tests.cluster.release import Release
from tests.crash import invariants as of_every_job
from tests.crash.scenario import Facts
from tests.eventually import eventually_sync
from tests.integration.controller.jobs import Jobs, uid_of

QUEUE = "storm"
CONCURRENCY = 4
UNFINISHED = 8  # jobs at once
ALONE = 2  # of them that have the repository alone: one runs, one waits for its lock
BETWEEN_KILLS = (0.5, 4.0)  # seconds
ROUND_SECONDS = 0.5
DRAIN_SECONDS = 240.0
PODS_SECONDS = 120.0
AWAY = (httpx.TransportError, AssertionError)  # the API server is away or starts: a user tries again


class Storm:
    """See the module.

    Args:
        directory: that Pods reach: it gets `ledgers`, and `output`, which is what the release keeps output in.
        project: the repository of those that have it alone.
        seed: repeats the choices of an earlier run, not their timing.
    """

    def __init__(self, release: Release, jobs: Jobs, directory: Path, project: Project, seed: int) -> None:
        self._release = release
        self._jobs = jobs
        self._project = project
        self._ledgers, self._kept = directory / "ledgers", directory / "output"
        self._seed = seed
        self._random = random.Random(seed)
        self._victims = Victims(release, jobs.namespace, self._random)
        self._works: list[Work] = []
        self._canceled: set[str] = set()
        self._facts = Facts([], directory, self._ledgers, CONCURRENCY)
        self.struck: Counter[str] = Counter()
        self._moments: list[str] = []

    def run(self, seconds: float) -> list[str]:
        """Kill for so long, let everything end, and return what is violated; a wait in vain is one thing of many."""
        self._jobs.queue(QUEUE, concurrency=CONCURRENCY)
        self._project.declare(self._jobs)
        strikes, order = self._victims.strikes(), list[str]()
        end = time.monotonic() + seconds
        following = time.monotonic() + BETWEEN_KILLS[1]
        while time.monotonic() < end:
            self._round(submit=True)
            self._project.move_sometimes(self._random)
            if time.monotonic() >= following:
                order = order or self._random.sample(sorted(strikes), len(strikes))  # each as often as the others
                name = order.pop()
                if what := self._strike(strikes[name]):
                    self.struck[name] += 1
                    self._moments.append(f"{time.clock_gettime(time.CLOCK_BOOTTIME):.1f} {name}: {what}")
                following = time.monotonic() + self._random.uniform(*BETWEEN_KILLS)
            time.sleep(ROUND_SECONDS)
        return [
            *_in_vain(lambda: eventually_sync(self._all_ended, DRAIN_SECONDS, "all jobs have ended")),
            *_in_vain(self._release.settled),
            *_in_vain(
                lambda: eventually_sync(self._pods_are_gone, PODS_SECONDS, "the Pods of ended attempts are gone")
            ),
            *self._check(),
        ]

    def _strike(self, strike: Strike) -> str:
        try:
            return strike()
        except NOT_NOW:
            return ""

    def _round(self, *, submit: bool) -> None:
        try:
            for job in self._jobs.all():
                self._facts.saw(job["metadata"]["name"], job)
                self._cancel(job["metadata"]["name"])
            while submit and len(self._works) - len(self._facts.first_end) < UNFINISHED:
                kind = self._random.choice(self._kinds())
                work = Work(f"{kind}-{len(self._works)}", kind)
                spec = work.spec(self._ledgers, QUEUE)
                made = self._jobs.make("batchjobs", "BatchJob", work.name, spec=spec)
                self._facts.uids[work.name] = uid_of(made)
                self._works.append(work)
        except AWAY:
            return

    def _kinds(self) -> list[str]:
        """Which the next job may be of: one has the repository at any time, and they are never all that there is."""
        alone = [work for work in self._works if work.does.exclusive and work.name not in self._facts.first_end]
        if not alone:
            return sorted(name for name, kind in KINDS.items() if kind.exclusive)
        return sorted(name for name, kind in KINDS.items() if not kind.exclusive or len(alone) < ALONE)

    def _cancel(self, name: str) -> None:
        """What is to be canceled is canceled once it has run for a while."""
        if name.startswith("canceled") and name not in self._canceled:
            ran = executions(self._ledgers / name)
            if ran and ran[-1].until - ran[-1].since > 2:
                self._jobs.patch(name, {"cancel": True})
                self._canceled.add(name)

    def _all_ended(self) -> bool:
        self._round(submit=False)
        left = [work.name for work in self._works if work.name not in self._facts.first_end]
        states = {name: self._jobs.get(name).get("status") for name in left[:3]} if left else {}
        assert not left, f"{len(left)} jobs have not ended: {states}"
        return True

    def _check(self) -> list[str]:
        jobs = {job["metadata"]["name"]: job for job in self._jobs.all()}
        found = list(self._facts.violations)
        for work in self._works:
            if work.name not in jobs:
                found.append(f"{work.name}: the BatchJob is gone")
                continue
            if work.name not in self._facts.first_end:
                continue  # told by the wait for it
            status, ledger = jobs[work.name]["status"], self._ledgers / work.name
            found += invariants.check(work, status, ledger, self._kept, self._victims.deleted, self._victims.deaf)
            found += [f"{work.name}: {text}" for text in of_every_job.unchanged(self._facts, work.name, status)]
        found += self._check_repository(jobs)
        found += invariants.concurrency([executions(self._ledgers / work.name) for work in self._works], CONCURRENCY)
        in_turn = [work.name for work in self._works if not work.does.exclusive]  # the others wait for the lock too
        found += of_every_job.in_order(in_turn, jobs, CONCURRENCY)
        found += _in_vain(lambda: eventually_sync(self._idle_queue, 90, "the queue is told to be empty"))
        return found + self._defects()

    def _check_repository(self, jobs: dict[str, dict[str, Any]]) -> list[str]:
        alone = [work for work in self._works if work.does.exclusive]
        found = list(invariants.one_holder({work.name: executions(self._ledgers / work.name) for work in alone}))
        for work in alone:
            if work.name in jobs and work.name in self._facts.first_end:
                status, ledger = jobs[work.name]["status"], self._ledgers / work.name
                found += invariants.workspace(work, status, ledger, self._project.contents)
        return found

    def _pods_are_gone(self) -> bool:
        found = self._release.cluster.get("pods", f"--namespace={self._jobs.namespace}")["items"]
        names = [pod["metadata"]["name"] for pod in found]
        assert not names, names[:3]
        return True

    def _idle_queue(self) -> bool:
        queue = self._jobs.get(QUEUE, "jobqueues")
        assert not of_every_job.slots(queue), queue["status"]
        return True

    def _defects(self) -> list[str]:
        """Style: anything that is not an error by reaction is a defect, and loud."""
        lines: list[str] = []
        for pod in self._release.pods():
            for which in ([], ["--previous"]):
                lines += self._release.kubectl("logs", pod, *which, check=False).stdout.splitlines()
        return [f"a controller: {line}" for line in lines if "Traceback" in line or '"defect' in line]

    def timeline(self) -> list[str]:
        """When what was killed, in the seconds since boot that the ledgers have: to judge a violation by."""
        return [f"killed at {moment}" for moment in self._moments]

    def summary(self) -> str:
        """What was done."""
        kills = ", ".join(f"{count} of {name}" for name, count in sorted(self.struck.items()))
        ran = sum(len(executions(self._ledgers / work.name)) for work in self._works)
        alone = [work for work in self._works if work.does.exclusive]
        held = sum(len(executions(self._ledgers / work.name)) for work in alone)
        jobs = f"{len(self._works)} jobs, {ran} executions; {len(alone)} and {held} of them had the repository alone"
        return f"seed {self._seed}: {jobs}; {len(self._project.contents)} commits; killed: {kills}"


def _in_vain(wait: Callable[[], object]) -> list[str]:
    """What a wait says that came to its limit: everything else is to be told beside it."""
    try:
        wait()
    except AssertionError as error:
        return [str(error)]
    return []
