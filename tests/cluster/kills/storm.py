"""Kills at random moments of whatever a job depends on, while jobs keep coming; then everything must end."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.cluster.kills import invariants
from tests.cluster.kills.cases import KINDS, Work, executions
from tests.cluster.kills.victims import NOT_NOW, Victims
from tests.cluster.release import Release
from tests.crash import invariants as of_every_job
from tests.crash.scenario import Facts
from tests.eventually import eventually_sync
from tests.integration.controller.jobs import Jobs, uid_of

QUEUE = "storm"
CONCURRENCY = 4
UNFINISHED = 8  # jobs at once
BETWEEN_KILLS = (0.5, 4.0)  # seconds
ROUND_SECONDS = 0.5
DRAIN_SECONDS = 240.0
AWAY = (httpx.TransportError, AssertionError)  # the API server is away or starts: a user tries again


class Storm:
    """See the module.

    Args:
        directory: that Pods reach: it gets `ledgers`, and `output`, which is what the release keeps output in.
        seed: repeats the choices of an earlier run, not their timing.
    """

    def __init__(self, release: Release, jobs: Jobs, directory: Path, seed: int) -> None:
        self._release = release
        self._jobs = jobs
        self._ledgers, self._kept = directory / "ledgers", directory / "output"
        self._seed = seed
        self._random = random.Random(seed)
        self._victims = Victims(release, jobs.namespace, self._random)
        self._works: list[Work] = []
        self._canceled: set[str] = set()
        self._facts = Facts([], directory, self._ledgers, CONCURRENCY)
        self.struck: Counter[str] = Counter()

    def run(self, seconds: float) -> list[str]:
        """Kill for so long, let everything end, and return what is violated."""
        self._jobs.queue(QUEUE, concurrency=CONCURRENCY)
        strikes, order = self._victims.strikes(), list[str]()
        end = time.monotonic() + seconds
        following = time.monotonic() + BETWEEN_KILLS[1]
        while time.monotonic() < end:
            self._round(submit=True)
            if time.monotonic() >= following:
                order = order or self._random.sample(sorted(strikes), len(strikes))  # each as often as the others
                name = order.pop()
                if self._strike(strikes[name]):
                    self.struck[name] += 1
                following = time.monotonic() + self._random.uniform(*BETWEEN_KILLS)
            time.sleep(ROUND_SECONDS)
        eventually_sync(self._all_ended, DRAIN_SECONDS, f"all jobs have ended; seed {self._seed}")
        return self._check()

    def _strike(self, strike: object) -> bool:
        assert callable(strike)
        try:
            return bool(strike())
        except NOT_NOW:
            return False

    def _round(self, *, submit: bool) -> None:
        try:
            for job in self._jobs.all():
                self._facts.saw(job["metadata"]["name"], job)
                self._cancel(job["metadata"]["name"])
            while submit and len(self._works) - len(self._facts.first_end) < UNFINISHED:
                kind = self._random.choice(sorted(KINDS))
                work = Work(f"{kind}-{len(self._works)}", kind)
                spec = work.spec(self._ledgers, QUEUE)
                made = self._jobs.make("batchjobs", "BatchJob", work.name, spec=spec)
                self._facts.uids[work.name] = uid_of(made)
                self._works.append(work)
        except AWAY:
            return

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
        self._release.settled()
        eventually_sync(self._pods_are_gone, 120, "the Pods of ended attempts are gone")
        jobs = {job["metadata"]["name"]: job for job in self._jobs.all()}
        found = list(self._facts.violations)
        for work in self._works:
            if work.name not in jobs:
                found.append(f"{work.name}: the BatchJob is gone")
                continue
            status, ledger = jobs[work.name]["status"], self._ledgers / work.name
            found += invariants.check(work, status, ledger, self._kept, self._victims.deleted)
            found += [f"{work.name}: {text}" for text in of_every_job.unchanged(self._facts, work.name, status)]
        found += invariants.concurrency([executions(self._ledgers / work.name) for work in self._works], CONCURRENCY)
        found += of_every_job.in_order([work.name for work in self._works], jobs, CONCURRENCY)
        queue = eventually_sync(self._idle_queue, 30, "the queue is told to be empty")
        return found + of_every_job.slots(queue) + self._defects()

    def _pods_are_gone(self) -> bool:
        found = self._release.cluster.get("pods", f"--namespace={self._jobs.namespace}")["items"]
        names = [pod["metadata"]["name"] for pod in found]
        assert not names, names[:3]
        return True

    def _idle_queue(self) -> dict[str, object]:
        queue = self._jobs.get(QUEUE, "jobqueues")
        assert not of_every_job.slots(queue), queue["status"]
        return queue

    def _defects(self) -> list[str]:
        """Style: anything that is not an error by reaction is a defect, and loud."""
        lines: list[str] = []
        for pod in self._release.pods():
            for which in ([], ["--previous"]):
                lines += self._release.kubectl("logs", pod, *which, check=False).stdout.splitlines()
        return [f"a controller: {line}" for line in lines if "Traceback" in line or '"defect' in line]

    def summary(self) -> str:
        """What was done."""
        kills = ", ".join(f"{count} of {name}" for name, count in sorted(self.struck.items()))
        ran = sum(len(executions(self._ledgers / work.name)) for work in self._works)
        return f"seed {self._seed}: {len(self._works)} jobs, {ran} executions; killed: {kills}"
