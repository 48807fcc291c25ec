"""Every window of a launch and of a take-over: SIGKILL at each system call of supervisor and recorder (design 12).

For each call of a list and each k, the k-th such call is the last one of the process that makes it; k grows until a run
is not hit any more. Once only the supervisor is traced, and once (-f, which counts per process) recorder, its shell's
children and the command too. Then the loop goes on as a controller would: it launches again (even k) or gives the
attempt up (odd k).

Invariants, checked after each: the command ran at most once; the end that is proved is the end that happened; nothing
of the attempt is left; another launch starts nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.decisions.observed import Evidence, Observation
from controller.executors.base import AttemptId, LaunchSpec
from controller.executors.process import cgroup, supervisor
from controller.executors.process.environment import DEFAULT_PATH, attempt_record
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.identity import Stat, send
from controller.executors.process.rundir import RunDir, is_locked
from controller.executors.process.tree import has_marker, scan, signal_each
from controller.files import journal
from tests.eventually import eventually

OVER = (Evidence.ENDED, Evidence.GONE, Evidence.NEVER_STARTED)
AT_ONCE = 4
RUN_LIMIT_SECONDS = 120
FORKS = "clone,clone3,fork,vfork"
RENAMES = "rename,renameat,renameat2"
LAUNCH_CALLS = [
    "fsync",
    RENAMES,
    "write",
    "pwrite64",
    "flock",
    "mkdir",
    FORKS,
    "execve",
    "wait4,waitid",
    "dup2",
    "pipe2",
]
CHILDREN_ONLY = ("execve", "dup2")  # a supervisor does not call these after its own start
WINDOWS = [(calls, tree) for calls in LAUNCH_CALLS for tree in (False, True) if tree or calls not in CHILDREN_ONLY]
ATTACH_CALLS = ["fsync", "write", "flock", "poll", "pidfd_open", "rmdir"]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def strace() -> None:
    """These tests need strace and the right to trace."""
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is not installed")
        pytest.skip("strace is not installed")


def marked(spec: LaunchSpec) -> list[Stat]:
    """All processes that carry the attempt's marker."""
    return [stat for pid, stat in scan().items() if has_marker(pid, str(spec.attempt))]


@dataclass
class Scenario:
    """Attempts whose command appends a line to a file of its own, so that its runs can be counted."""

    place: Path
    executor: ProcessExecutor

    def spec(self, name: str, seconds: float, *, gated: bool = False) -> LaunchSpec:
        """An attempt whose command counts itself, waits (where `gated`, to be let go first) and exits with 7."""
        wait = f"until [ -e {self.place}/{name}.go ]; do sleep 0.1; done; " if gated else ""
        script = f"echo ran >>{self.place}/{name}.ran; {wait}sleep {seconds:g}; exit 7"
        return LaunchSpec(AttemptId(name, 1), "default", name, ["/bin/sh", "-c", script])

    def runs(self, spec: LaunchSpec) -> int:
        """How often the command ran."""
        path = self.place / f"{spec.job}.ran"
        return path.read_text().count("ran\n") if path.exists() else 0

    def let_go(self, spec: LaunchSpec) -> None:
        """Of a gated one."""
        (self.place / f"{spec.job}.go").touch()

    def attached(self, spec: LaunchSpec) -> bool:
        """Whether another supervisor has taken it over."""
        return journal.read(self.run(spec).journal).last("Attached") is not None

    def run(self, spec: LaunchSpec) -> RunDir:
        """Its run directory."""
        return RunDir.of(str(self.place / "runs"), str(spec.attempt))

    async def supervise(
        self, spec: LaunchSpec, calls: str, k: int, *, attach: bool = False, tree: bool = False
    ) -> bool:
        """Run a supervisor under strace, with all its children where `tree`; whether the k-th call killed anything."""
        path = self.run(spec).path
        record = attempt_record(spec, path, "state-1", time.time(), home="private", search_path=DEFAULT_PATH)
        payload = b"" if attach else b"{}\n" + record.to_bytes()
        log = self.place / f"{spec.job}.strace"
        process = await asyncio.create_subprocess_exec(
            *("strace", *(("-f",) if tree else ()), "-qq", "-o", str(log)),
            *("-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={k}"),
            *(sys.executable, "-I", "-S", str(supervisor.__file__), path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await asyncio.wait_for(process.communicate(payload), RUN_LIMIT_SECONDS)
        return "killed by SIGKILL" in log.read_text(errors="replace")

    async def settle(self, spec: LaunchSpec, *, again: bool) -> Observation:
        """What a controller does about an attempt in any state, until it is over."""
        end = time.monotonic() + RUN_LIMIT_SECONDS
        while True:
            seen = await self.executor.observe(spec.attempt)
            assert seen.evidence is not Evidence.UNKNOWN, seen
            if seen.evidence in OVER and not seen.processes_left:
                return seen
            assert time.monotonic() < end, seen
            if seen.evidence in (Evidence.ABSENT, Evidence.LAUNCHING):
                await (self.executor.launch(spec) if again else self.executor.void(spec.attempt, "given up"))
            elif not seen.supervised:
                await self.executor.ensure_supervised(spec.attempt)
            await asyncio.sleep(0.02)

    def kill_all(self, spec: LaunchSpec) -> None:
        """KILL recorder and command, wherever they are."""
        signal_each(marked(spec), signal.SIGKILL)

    async def check(self, spec: LaunchSpec, seen: Observation) -> None:
        """The invariants."""
        runs = self.runs(spec)
        assert runs <= 1, f"{spec.job} ran {runs} times"
        if seen.evidence is Evidence.NEVER_STARTED:
            assert runs == 0, f"{spec.job} is recorded as never started and ran"
        if seen.evidence is Evidence.ENDED:
            assert seen.exit is not None and seen.exit.code in (7, 137), f"{spec.job}: {seen}"
            assert runs == 1 or seen.exit.code == 137, f"{spec.job} ended with {seen.exit.code} and did not run"
        await eventually(lambda: not marked(spec), what=f"no process of {spec.job}, its recorder included")
        await self.executor.launch(spec)
        assert (await self.settle(spec, again=True)).evidence is seen.evidence
        assert self.runs(spec) == runs, f"{spec.job} ran again after its end"
        await self.executor.release(spec.attempt, keep_record=False)
        assert not Path(cgroup.path_of(str(spec.attempt))).exists() or not cgroup.own_directory()


@pytest.fixture
async def scenario(tmp_path: Path) -> AsyncIterator[Scenario]:
    """An executor on an empty state directory."""
    executor = ProcessExecutor(tmp_path / "runs", "state-1", 5.0)
    yield Scenario(tmp_path, executor)
    executor.close()
    left = [path.name for path in (tmp_path / "runs").iterdir()]
    assert not [name for name in left if not name.startswith(".")], "every attempt could be released"


@pytest.mark.parametrize(("calls", "tree"), WINDOWS)
async def test_launch(scenario: Scenario, calls: str, tree: bool) -> None:
    """2.6, 3.4: a kill at any call of a launch never makes a second run or a wrong end."""

    async def one(k: int) -> bool:
        spec = scenario.spec(f"launch-{k}", 0.05)
        killed = await scenario.supervise(spec, calls, k, tree=tree)
        await scenario.check(spec, await scenario.settle(spec, again=k % 2 == 0))
        return killed

    hit = await _enumerate(one)
    assert hit > 0, f"no process of a launch calls {calls}"


@pytest.mark.parametrize("calls", ["fsync", RENAMES, "write"])
async def test_launch_with_the_recorder_killed_too(scenario: Scenario, calls: str) -> None:
    """2.6: when supervisor, recorder and command all die, what was durable before "go" keeps it from running again."""

    async def one(k: int) -> bool:
        spec = scenario.spec(f"all-{k}", 0.8)
        killed = await scenario.supervise(spec, calls, k)
        with contextlib.suppress(AssertionError):  # most kills come before the command may run
            await eventually(lambda: scenario.runs(spec), timeout=0.3)
        scenario.kill_all(spec)
        await scenario.check(spec, await scenario.settle(spec, again=True))
        return killed

    hit = await _enumerate(one)
    assert hit > 0, f"no supervisor calls {calls}"


@pytest.mark.parametrize("calls", ATTACH_CALLS)
async def test_attach(scenario: Scenario, calls: str) -> None:
    """3.3, 3.4: a kill at any call of a supervisor that takes over loses no exit code."""

    async def one(k: int) -> bool:
        spec = scenario.spec(f"attach-{k}", 1.0, gated=True)
        await scenario.executor.launch(spec)
        identity = scenario.run(spec).read_supervisor()
        assert identity is not None and send(identity, signal.SIGKILL)
        await eventually(lambda: not is_locked(scenario.run(spec).file("lock")), what="the supervisor's end")
        supervising = asyncio.create_task(scenario.supervise(spec, calls, k, attach=True))
        await eventually(lambda: supervising.done() or scenario.attached(spec), RUN_LIMIT_SECONDS, "it is taken over")
        scenario.let_go(spec)  # not sooner: who takes over an attempt that is over does less
        killed = await supervising
        seen = await scenario.settle(spec, again=True)
        assert seen.exit is not None and seen.exit.code == 7, f"{calls} {k}: {seen}"
        await scenario.check(spec, seen)
        return killed

    hit = await _enumerate(one)
    assert hit > 0, f"a supervisor that takes over never calls {calls}"


async def _enumerate(one: Callable[[int], Awaitable[bool]]) -> int:
    """k = 1, 2, … until a run is not hit; how many were."""
    first, hit = 1, 0
    while True:
        results = await asyncio.gather(*(one(k) for k in range(first, first + AT_ONCE)))
        hit += sum(results)
        if not all(results):
            return hit
        first += AT_ONCE
