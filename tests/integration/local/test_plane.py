"""The Plane as a library, for whoever embeds it: it never leaves a server behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from controller.executors.process.identity import of_pid
from controller.local.plane import Plane
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
