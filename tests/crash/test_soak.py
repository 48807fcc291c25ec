"""Minutes of random SIGKILLs of controller, supervisors, API server and etcd while jobs keep coming.

What is enumerated elsewhere is one crash at a known place; here crashes meet each other. HOLDFAST_SOAK_SECONDS says how
long, HOLDFAST_SOAK_SEED repeats the choices of an earlier run (not their timing).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from controller.executors.process.identity import send
from controller.executors.process.records import RecordError
from controller.executors.process.rundir import RunDir, is_locked
from tests.crash import invariants
from tests.crash.cases import MAKERS, make
from tests.crash.controllers import Controller
from tests.crash.scenario import LOOK_SECONDS, QUEUE, Facts, Interventions, World, age_leftovers

SOAK_SECONDS = float(os.environ.get("HOLDFAST_SOAK_SECONDS", "600"))
SEED = int(os.environ.get("HOLDFAST_SOAK_SEED", "0")) or random.randrange(1, 10**6)
CONCURRENCY = 4
UNFINISHED = 16  # jobs at once
BETWEEN_KILLS = (0.5, 3.0)  # seconds
VICTIMS = {"controller": 5, "supervisor": 5, "launcher": 1, "apiserver": 1, "etcd": 1}  # weights
DRAIN_SECONDS = 300.0
ROUND_SECONDS = 0.3
NOT_NOW = (httpx.TransportError, httpx.HTTPStatusError)  # the API server is away or starts: a user tries again


class Soak:
    """The jobs, the controller, and what kills."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._namespace = "soak"
        self.directory = world.directory / "soak"
        ledgers = self.directory / "ledgers"
        ledgers.mkdir(parents=True)
        self.facts = Facts([], self.directory / "home", ledgers, CONCURRENCY)
        self._interventions = Interventions(world.cluster, self._namespace, self.facts)
        self._random = random.Random(SEED)
        self._controllers: list[Controller] = []
        self.killed: Counter[str] = Counter()
        self.ended: Counter[int] = Counter()  # controllers that ended by themselves, by exit status

    def run(self) -> None:
        """Kill for SOAK_SECONDS, then let the last controller finish all jobs."""
        cluster = self._world.cluster
        cluster.create_namespace(self._namespace)
        queue = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "JobQueue", "metadata": {"name": QUEUE}}
        cluster.create(self._namespace, {**queue, "spec": {"concurrency": CONCURRENCY}})
        try:
            self._storm()
            self._drain()
        finally:
            for controller in self._controllers:
                controller.kill()
            for pid in invariants.processes(set(self.facts.uids.values())):
                os.kill(pid, signal.SIGKILL)

    def _storm(self) -> None:
        end = next_kill = time.monotonic() + SOAK_SECONDS
        next_kill -= SOAK_SECONDS
        while (now := time.monotonic()) < end:
            self._keep_controller()
            self._round(submit=True)
            if now >= next_kill:
                self._kill_one()
                next_kill = now + self._random.uniform(*BETWEEN_KILLS)
            time.sleep(ROUND_SECONDS)

    def _round(self, *, submit: bool) -> None:
        cluster, facts = self._world.cluster, self.facts
        try:
            for name, job in cluster.jobs(self._namespace).items():
                facts.saw(name, job)
            self._interventions.look(cluster.jobs(self._namespace))
            while submit and len(facts.cases) - len(facts.first_end) < UNFINISHED:
                kind = self._random.choice(list(MAKERS))
                case = make(kind, f"{kind}-{len(facts.cases)}", facts.ledgers)
                facts.uids[case.name] = cluster.create(self._namespace, case.manifest(QUEUE))["metadata"]["uid"]
                facts.cases.append(case)
        except NOT_NOW:
            return

    def _keep_controller(self) -> None:
        if self._controllers:
            newest = self._controllers[-1]
            status = newest.ended()
            if status is None:
                return
            self.facts.violations += [f"a controller: {line}" for line in newest.defects()]
            if status != -signal.SIGKILL:
                self.ended[status] += 1
        self._start()

    def _start(self) -> Controller:
        home, kubeconfig = self.facts.home, self._world.cluster.kubeconfig
        name = f"controller-{len(self._controllers)}"
        self._controllers.append(self._world.preloaded.start(home, kubeconfig, name, HOLDFAST_MAX_RUNNING="32"))
        return self._controllers[-1]

    def _kill_one(self) -> None:
        victim = self._random.choices(list(VICTIMS), list(VICTIMS.values()))[0]
        plane = self._world.cluster.running.plane
        if victim == "controller":
            self._controllers[-1].kill()
        elif victim == "supervisor":
            if not self._kill_supervisor():
                return
        elif victim == "launcher":
            if not self._kill_launcher():
                return
        elif (pid := plane.pid(victim)) is not None:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return
        self.killed[victim] += 1

    def _kill_supervisor(self) -> bool:
        runs = sorted(self.facts.home.glob("runs/[!.]*"))
        self._random.shuffle(runs)
        for path in runs:
            run = RunDir(str(path))
            try:
                supervisor = run.read_supervisor() if is_locked(run.file("lock")) else None
            except RecordError:  # it has the lock and has not signed it yet
                continue
            if supervisor is not None and send(supervisor, signal.SIGKILL):
                return True
        return False

    def _kill_launcher(self) -> bool:
        """The controller's helper that forks supervisors."""
        pid = self._controllers[-1].pid
        try:
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                if b"launcher.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)
                    return True
        except (FileNotFoundError, ProcessLookupError):
            pass  # it, or the controller, has just ended
        return False

    def _drain(self) -> None:
        """No more kills: everything ends, and a last start removes what the killed ones left."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline and not self.facts.all_finished:
            self._keep_controller()
            self._round(submit=False)
            time.sleep(ROUND_SECONDS)
        self._stop()
        age_leftovers(self.facts.home, supervisors_too=True)
        controller = self._start()
        deadline = time.monotonic() + invariants.SETTLE_SECONDS * 3
        while time.monotonic() < deadline and (
            not controller.ready(self.facts.home) or invariants.leftovers(self.facts.home)
        ):
            time.sleep(LOOK_SECONDS)
        self._stop()
        cluster = self._world.cluster
        jobs, queue = cluster.jobs(self._namespace), cluster.queue(self._namespace, QUEUE)
        self.facts.violations += invariants.check(self.facts, jobs, queue)
        self.facts.violations += invariants.strays(self._world.preloaded)

    def _stop(self) -> None:
        status = self._controllers[-1].stop()
        self.facts.violations += [f"a controller: {line}" for line in self._controllers[-1].defects()]
        if status != 0:
            self.facts.violations.append(f"the controller ended with {status}, see {self._controllers[-1].log}")

    def summary(self) -> str:
        """What was done."""
        kills = ", ".join(f"{count} of {name}" for name, count in self.killed.most_common())
        starts = sum(path.read_text().count("start ") for path in self.facts.ledgers.iterdir())
        return (
            f"soak of {SOAK_SECONDS:g} s, seed {SEED}: {len(self.facts.cases)} jobs, {starts} executions; "
            f"kills: {kills}; controllers that ended by themselves: {dict(self.ended)}; "
            f"{len(self.facts.violations)} violations"
        )


@pytest.mark.soak
@pytest.mark.timeout(SOAK_SECONDS + DRAIN_SECONDS + 300)
def test_soak(worlds: list[World], capsys: pytest.CaptureFixture[str]) -> None:
    """2.3, 2.6, 3.3-3.6, 7.2, 7.6: crashes of everything at any time: no job is lost, run twice, or without its end."""
    soak = Soak(worlds[0])
    soak.run()
    with capsys.disabled():
        print(f"\ncrash: {soak.summary()}", file=sys.stderr, flush=True)
    assert not soak.facts.violations, "\n".join([*soak.facts.violations, f"left to look at: {soak.directory}"])
    shutil.rmtree(soak.directory)
