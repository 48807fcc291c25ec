"""Takes the crossings of a scenario one after the other, several runs side by side, each in a world of its own."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.scenario import Result, Run, World

UNKILLED_IN_A_ROW = 3  # runs differ by a few crossings: so many must have done their work before their crossing
MOST_VIOLATED = 8  # then the rest is not worth the wait
AGAIN = 40
ATTEMPT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9]+")
BUDGET_SECONDS = 60.0  # of one scenario where not every crossing is taken


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is run again and again.

    Args:
        kinds: of the jobs, in the order of their creation.
        concurrency: of their queue.
        again: the controller that goes on after the crash is killed too, at one of its first AGAIN crossings.
        times: so many controllers in a row are killed at the same crossing.
        play: how one run goes.
    """

    kinds: Sequence[str]
    concurrency: int
    again: bool = False
    times: int = 1
    play: type[Run] = Run

    def run(self, world: World, number: int, whole: Result | None = None) -> Result:
        """With a crash before crossing `number`, 0 for none; `whole` is what came of the run without one."""
        second = (1 + number * 7 % AGAIN,) if self.again and number else ()  # 7: neighbours differ, all are met
        kills = (number,) * (self.times if number else 1)
        played = self.play(world, self.kinds, self.concurrency, *kills, *second)
        played.expected = whole.final if whole is not None else None
        return played.play()


@dataclass(slots=True)
class Enumeration:
    """The crossings of one scenario, and what became of the runs so far.

    Args:
        scenario: see Scenario.
        every: takes each crossing; otherwise each n-th, as many as fit into BUDGET_SECONDS.
        say: told about progress.
    """

    scenario: Scenario
    every: bool
    say: Callable[[str], None]
    results: list[Result] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def take(self, worlds: Sequence[World]) -> None:
        """Run: once without a kill, then for each crossing in turn."""
        began = time.monotonic()
        whole = self.scenario.run(worlds[0], 0)
        self.results.append(whole)
        step = 1 if self.every else self._step(whole, len(worlds))
        crossings = iter(_numbers(step))
        with ThreadPoolExecutor(len(worlds), thread_name_prefix="lane") as pool:
            lanes = [pool.submit(self._lane, world, crossings, whole) for world in worlds]
            try:
                for lane in lanes:
                    lane.result()
            finally:
                self._stop.set()  # the other lanes end with their run where one failed or a person interrupts
        self.say(self._summary(whole, step, time.monotonic() - began))

    def _step(self, whole: Result, lanes: int) -> int:
        """n of "every n-th": a run with a crash takes up to twice the time of one without."""
        runs = max(1.0, (BUDGET_SECONDS - whole.seconds) * lanes / (2.0 * whole.seconds))
        return max(1, -(-len(whole.crossings[0]) // int(runs)))

    def _lane(self, world: World, crossings: Iterator[int], whole: Result) -> None:
        while not self._stop.is_set() and not self._over():
            with self._lock:
                number = next(crossings)
            result = self.scenario.run(world, number, whole)
            with self._lock:
                self.results.append(result)
            if result.violations:
                self.say("\n  ".join([_name(result), *result.violations]))

    def _over(self) -> bool:
        with self._lock:
            enough = UNKILLED_IN_A_ROW if self.every else 1
            newest = sorted(self.results[1:], key=lambda result: result.kills)[-enough:]
            done = len(newest) == enough and not any(result.killed_before for result in newest)
            return done or len(self.violated) >= MOST_VIOLATED

    @property
    def violated(self) -> list[Result]:
        """The runs in which an invariant did not hold."""
        return [result for result in self.results if result.violations]

    def report(self) -> str:
        """What was violated, after which crossing; empty for nothing."""
        return "\n".join(line for result in self.violated for line in (_name(result), *result.violations))

    def _summary(self, whole: Result, step: int, seconds: float) -> str:
        crashes = [site(crossing) for result in self.results for crossing in result.killed_before]
        crossed = {site(one) for result in self.results for crossings in result.crossings for one in crossings}
        taken = "each one" if step == 1 else f"one of {step}"
        return (
            f"{len(self.scenario.kinds)} jobs: {len(whole.crossings[0])} crossings in a run without a crash, "
            f"{taken} taken in {len(self.results)} runs: {len(crashes)} crashes at {len(set(crashes))} "
            f"of {len(crossed)} kinds of crossing, {len(self.violated)} runs with a violated invariant, {seconds:.0f} s"
        )


def _numbers(step: int) -> Iterator[int]:
    number = 1 + _commit() % step
    while True:
        yield number
        number += step


def _commit() -> int:
    """So that each commit takes other crossings than the one before."""
    root = Path(__file__).parent
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, check=False, capture_output=True, text=True, timeout=60
    )
    return int(done.stdout.strip()[:12] or "0", 16)


def _name(result: Result) -> str:
    if not result.killed_before:
        return f"crossing {result.kills[0]}: not reached, ended by itself after {len(result.crossings[0])}"
    pairs = zip(result.kills, result.killed_before, strict=False)
    return ", then ".join(f"crossing {number}: killed before {what}" for number, what in pairs)


def site(crossing: str) -> str:
    """A crossing without what differs from run to run: directories, and names of jobs, attempts and temporary files."""
    name, _, what = crossing.rpartition(" ")
    if what.startswith("/api"):
        return name
    leaf = what.rpartition("/")[2].split(".tmp.")[0]
    return f"{name} {ATTEMPT.sub('ATTEMPT', leaf)}"
