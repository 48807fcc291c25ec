"""The Plane as a library, for whoever embeds it: it never leaves a server behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from controller.errors import Transient
from controller.executors.process.identity import of_pid
from controller.local import records, up
from controller.local.home import Home
from controller.local.plane import Plane
from tests.eventually import eventually
from tests.running_plane import find_binaries

NAMES = ("etcd", "apiserver", "controller-manager")


def test_an_event_loop_that_is_torn_down_leaves_no_server(tmp_path: Path) -> None:
    """An exception out of the loop cancels every task, the supervising ones too; the servers end all the same."""
    pids: list[int] = []

    async def life() -> None:
        async with Plane(tmp_path / "home", find_binaries(print), fsync=False, ballast_bytes=0) as plane:
            assert await plane.wait_ready("controller-manager", 60) is None
            pids.extend(pid for name in NAMES if (pid := plane.pid(name)) is not None)
            asyncio.get_running_loop().call_soon(tear_down)
            await asyncio.Event().wait()

    def tear_down() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(life())
    assert len(pids) == len(NAMES)
    assert [pid for pid in pids if of_pid(pid) is not None] == []


def test_up_ends_with_an_error_where_a_server_is_looked_after_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running on would look as if all were well, with a server that nobody starts again. Nothing is left running."""
    monkeypatch.setattr(up, "LOOK_AGAIN_SECONDS", 0.2)
    home = Home.at(tmp_path / "home")
    home.prepare()
    options = up.UpOptions(home.path, tmp_path, 1, controller=False)
    pids: list[int] = []

    def is_up() -> bool:
        record = records.read(home.record("up"))
        return record is not None and record.state is records.State.RUNNING

    async def life() -> None:
        living = asyncio.create_task(up._Up(options, home, find_binaries(print), print).run())
        await eventually(is_up, 60)
        found = [records.read(home.record(name)) for name in NAMES]
        pids.extend(each.process.pid for each in found if each is not None and each.process is not None)
        (supervising,) = [task for task in asyncio.all_tasks() if task.get_name() == "supervise controller-manager"]
        supervising.cancel()
        await asyncio.wait_for(living, 60)

    with pytest.raises(Transient, match="nobody looks after controller-manager"):
        asyncio.run(life())
    assert len(pids) == len(NAMES)
    assert [pid for pid in pids if of_pid(pid) is not None] == []
