"""SIGKILL of every operation at each of its steps and at many instants: done again it ends well (requirement 5.2).

With strace the k-th call of a kind is the last one of the operation's own process: its renames, its syncs, the
directories that it makes, and each start of a git. Inside git the whole process group is killed after a delay that
grows. After each kill what is in place is whole, and the same operation, asked for again, succeeds and leaves nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.repositories import facts, fence, refs, requests
from controller.repositories.places import base_key
from controller.repositories.requests import Request, Target
from controller.repositories.results import Result
from tests.integration.repositories.homes import LIMIT_SECONDS, Home, git
from tests.needs import need

CALLS = ["rename,renameat,renameat2", "fsync", "mkdir,mkdirat", "vfork,clone,clone3,fork", "unlink,unlinkat,rmdir"]
DELAYS = 14
COMMAND = ["sh", "-c", "for n in 1 2 3; do echo $n >prepared.$n; sleep 0.03; done"]

pytestmark = pytest.mark.timeout(1200)


class Case:
    """One operation, begun from the same state again and again."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.round = 0
        self.commit = ""

    def begin(self) -> None:
        """Bring about the state that the operation starts from."""

    def request(self, target: Target) -> Request:
        """The operation."""
        raise NotImplementedError

    def check(self) -> None:
        """What has to hold after a kill already."""
        mirror = self.home.mirror
        if mirror.exists():
            assert facts.read_mirror(mirror) is not None and fence.hook_is_installed(mirror)
            git(mirror, "fsck", "--connectivity-only")

    def done(self, result: Result) -> None:
        """What has to hold after it was done again."""
        assert result.commit == self.commit


class Clone(Case):
    def begin(self) -> None:
        subprocess.run(["rm", "-rf", self.home.repository], check=True)
        self.commit = self.home.upstream.head()

    def request(self, target: Target) -> Request:
        return requests.clone(target, self.home.remote, "main")


class Fetch(Case):
    def begin(self) -> None:
        if not self.home.mirror.exists():
            self.home.clone()
        self.round += 1
        self.commit = self.home.upstream.commit({f"round-{self.round}": "x\n" * 2000})
        self.home.upstream.tag(f"r{self.round}", annotated=True)

    def request(self, target: Target) -> Request:
        return requests.fetch(target, self.home.remote, "main")

    def done(self, result: Result) -> None:
        super().done(result)
        assert refs.read_ref(self.home.mirror, f"r{self.round}") == self.commit


class Verify(Case):
    def begin(self) -> None:
        if not self.home.mirror.exists():
            self.commit = self.home.clone().commit
        for name in ("packed-refs.lock", "refs/upstream/main.lock", "objects/pack/tmp_pack_1"):
            (self.home.mirror / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home.mirror / name).write_text("left")

    def request(self, target: Target) -> Request:
        return requests.verify(target, "main")

    def done(self, result: Result) -> None:
        super().done(result)
        assert not (self.home.mirror / "packed-refs.lock").exists()


class Workspace(Case):
    key = ""

    def begin(self) -> None:
        if not self.home.mirror.exists():
            self.commit = self.home.clone().commit
            if self.key:
                self.key = base_key(self.commit, COMMAND)
                assert self.home.perform(requests.prepare, self.commit, self.key, COMMAND).succeeded
        self.round += 1

    @property
    def path(self) -> Path:
        return self.home.places.workspace(f"job.{self.round}")

    def request(self, target: Target) -> Request:
        return requests.workspace(target, f"job.{self.round}", "main", key=self.key)

    def check(self) -> None:
        super().check()
        if self.path.exists():
            self.whole()

    def whole(self) -> None:
        changes = git(self.path, "status", "--porcelain", "-uno").stdout
        assert changes == "" and facts.read_workspace(self.path) is not None
        assert not self.key or (self.path / "prepared.3").exists()

    def done(self, result: Result) -> None:
        super().done(result)
        self.whole()


class Copied(Workspace):
    key = "a base"


class Prepare(Case):
    def begin(self) -> None:
        if not self.home.mirror.exists():
            self.commit = self.home.clone().commit
        self.round += 1

    @property
    def command(self) -> list[str]:
        return [*COMMAND, str(self.round)]

    @property
    def base(self) -> Path:
        return self.home.places.base("default", "shop", base_key(self.commit, self.command))

    def request(self, target: Target) -> Request:
        return requests.prepare(target, self.commit, base_key(self.commit, self.command), self.command)

    def check(self) -> None:
        super().check()
        assert not self.base.exists() or (self.base / "prepared.3").exists()

    def done(self, result: Result) -> None:
        super().done(result)
        assert (self.base / "prepared.3").exists()


class Publish(Case):
    def begin(self) -> None:
        if not self.home.mirror.exists():
            self.home.clone()
            self.home.grant(1)
            self.workspace = self.home.workspace()
        self.round += 1
        self.commit = self.home.job_commit(self.workspace, f"round-{self.round}")
        assert self.home.push(self.workspace, "main").returncode == 0

    def request(self, target: Target) -> Request:
        return requests.publish(target, self.home.remote, "main", self.commit)

    def check(self) -> None:
        super().check()
        for lock in self.home.upstream.bare.rglob("*.lock"):
            lock.unlink()  # the remote was killed too, and it is nobody's but the test's

    def done(self, result: Result) -> None:
        super().done(result)
        assert git(self.home.upstream.bare, "rev-parse", "main").stdout.strip() == self.commit
        assert refs.read_head(self.home.mirror, "main", refs.UPSTREAM) == self.commit


CASES = [Clone, Fetch, Verify, Workspace, Copied, Prepare, Publish]


def kill_at(case: Case, prefix: list[str], stop: Callable[[subprocess.Popen[str]], None]) -> str:
    """Run the operation until it is killed; what was left is looked at, then it is done again. Returns its output."""
    case.begin()
    target = case.home.target()
    process = case.home.start(case.request(target), prefix)
    try:
        stop(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=LIMIT_SECONDS)
    case.check()
    again = case.home.perform(case.request)
    assert again.succeeded, again
    case.check()
    case.done(again)
    assert case.home.half_made() == []
    return output


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("calls", CALLS)
def test_at_every_step(home: Home, tmp_path: Path, kind: type[Case], calls: str) -> None:
    """5.2: k grows until the operation is not hit any more."""
    need("strace")
    case, log, hits = kind(home), tmp_path / "strace.log", 0
    for k in range(1, 200):
        inject = ("-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={k}")
        kill_at(case, ["strace", "-qq", "-o", str(log), *inject], _wait)
        if "killed by SIGKILL" not in log.read_text(errors="replace"):
            break
        hits += 1
    assert hits or calls.startswith("unlink"), f"no {calls} in this operation"


@pytest.mark.parametrize("kind", CASES)
def test_at_many_instants(home: Home, kind: type[Case]) -> None:
    """5.2: all of it at once, wherever git is."""
    case = kind(home)
    case.begin()
    began = time.monotonic()
    assert home.perform(case.request).succeeded
    whole = time.monotonic() - began
    for number in range(DELAYS):
        delay = whole * (0.3 + 0.7 * number / DELAYS)  # before that Python starts
        kill_at(case, [], lambda process, delay=delay: _wait(process, delay))  # type: ignore[misc]


def _wait(process: subprocess.Popen[str], limit: float = LIMIT_SECONDS) -> None:
    """Until it ends or the time is over; the output fits the pipe."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(limit)
