"""The supervision of one component goes on whatever is raised in it (design 10: it restarts what dies)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.errors import Transient
from controller.executors.process.identity import of_pid
from controller.local import records
from controller.local.components import Launch
from controller.local.exits import Exit
from controller.local.home import Home
from controller.local.records import State
from controller.local.supervise import MAX_BACKOFF_SECONDS, Supervised, backoff_seconds
from tests.eventually import eventually

LIMIT = 60.0  # seconds: of a wait


@dataclass
class Sleeper:
    """A component that sleeps; it is as real as a server, and its binary can be taken away."""

    home: Home
    binary: Path
    port: int | None = None
    name: str = "apiserver"
    stop_seconds: float = 1.0
    problems: list[Exception] = field(default_factory=list)

    def launch(self) -> Launch:
        version = str(self.binary.stat().st_mtime_ns)
        return Launch([str(self.binary), "1000"], self.home.path, {"PATH": "/usr/bin:/bin"}, self.port, version)

    async def probe(self) -> str | None:
        if self.problems:
            raise self.problems.pop(0)
        return None


@pytest.fixture
def sleeper(tmp_path: Path) -> Sleeper:
    home = Home.at(tmp_path / "home")
    home.prepare()
    found = shutil.which("sleep")
    assert found is not None
    return Sleeper(home, Path(shutil.copy(found, tmp_path / "server")))


@asynccontextmanager
async def supervising(
    sleeper: Sleeper, said: list[str], exited: Callable[[Exit], Awaitable[bool]] | None = None
) -> AsyncIterator[Supervised]:
    supervised = Supervised(sleeper, sleeper.home, said.append, exited=exited)
    supervised.start()
    try:
        yield supervised
    finally:
        await supervised.stop()


def kill(supervised: Supervised) -> int:
    process = supervised.record.process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    return process.pid


async def test_a_binary_that_is_gone_for_a_moment_costs_a_backoff(sleeper: Sleeper) -> None:
    """The cache was emptied and the server died: it runs again once the binary is there, and status says why not."""
    said: list[str] = []
    async with supervising(sleeper, said) as supervised:
        assert await supervised.wait_ready(LIMIT) is None
        aside = sleeper.binary.rename(sleeper.binary.with_name("aside"))
        killed = kill(supervised)

        def told() -> bool:
            record = records.read(sleeper.home.record("apiserver"))
            return record is not None and record.state is State.BACKOFF and str(sleeper.binary) in record.message

        await eventually(told, LIMIT, "the record tells what is missing")
        assert any("apiserver cannot be started" in each and str(sleeper.binary) in each for each in said)
        supervised.check()
        aside.rename(sleeper.binary)
        await eventually(lambda: supervised.is_ready, LIMIT, "it runs again")
        process = supervised.record.process
        assert process is not None and process.pid != killed and of_pid(process.pid) == process
        assert supervised.record.message == ""


async def test_a_look_that_fails_leaves_the_server_alone(sleeper: Sleeper) -> None:
    """An answer that cannot be read says nothing against the server: it is asked again, and not restarted."""
    sleeper.problems = [ValueError("no JSON"), OSError("no descriptor left")]
    said: list[str] = []
    async with supervising(sleeper, said) as supervised:
        assert await supervised.wait_ready(LIMIT) is None
        assert supervised.record.restarts == 0
    assert [each for each in said if "no JSON" in each] and [each for each in said if "no descriptor left" in each]


async def test_a_port_that_cannot_be_renewed_costs_a_backoff(sleeper: Sleeper) -> None:
    """No free port, or a full disk under the file that remembers it: it starts once there is one."""
    said: list[str] = []

    async def renew() -> None:
        raise Transient("NoFreePort", "no free TCP port")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        sleeper.port = taken.getsockname()[1]
        supervised = Supervised(sleeper, sleeper.home, said.append, renew_port=renew)
        supervised.start()
        await eventually(lambda: supervised.record.state is State.BACKOFF, LIMIT)
        assert "no free TCP port" in supervised.record.message
    assert await supervised.wait_ready(LIMIT) is None
    await supervised.stop()


async def test_what_fails_to_mend_does_not_end_the_supervision(sleeper: Sleeper) -> None:
    said: list[str] = []

    async def exited(ending: Exit) -> bool:
        raise FileNotFoundError(2, "No such file or directory", "etcd")

    async with supervising(sleeper, said, exited) as supervised:
        assert await supervised.wait_ready(LIMIT) is None
        killed = kill(supervised)

        def again() -> bool:
            process = supervised.record.process
            return supervised.is_ready and process is not None and process.pid != killed

        await eventually(again, LIMIT, "it was started again")
    assert any("cannot be mended" in each for each in said)


async def test_a_supervision_that_ends_unasked_is_told(sleeper: Sleeper) -> None:
    """`up` ends with this error instead of running on with a server that nobody would start again."""
    broken = asyncio.Event()

    def say(message: str) -> None:
        broken.set()
        raise ValueError("nobody listens")

    supervised = Supervised(sleeper, sleeper.home, say)
    supervised.check()
    supervised.start()
    assert await supervised.wait_ready(LIMIT) is None
    supervised.check()
    kill(supervised)
    await asyncio.wait_for(broken.wait(), LIMIT)

    def told() -> bool:
        try:
            supervised.check()
        except Transient as error:
            return "apiserver" in error.message and "nobody listens" in error.message
        return False

    await eventually(told, LIMIT)
    await supervised.stop()  # it was told once, that is enough
    supervised.check()


@pytest.mark.parametrize(
    ("failed", "seconds"), [(0, 0.2), (1, 0.4), (7, 25.6), (8, MAX_BACKOFF_SECONDS), (5000, MAX_BACKOFF_SECONDS)]
)
def test_the_backoff_has_no_end(failed: int, seconds: float) -> None:
    """After nine hours of failed starts the next power of two was no float any more, and nobody tried again."""
    assert backoff_seconds(failed) == pytest.approx(seconds)
