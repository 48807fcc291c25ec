"""The Plane as a library, for whoever embeds it: it never leaves a server behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from controller.errors import Transient
from controller.executors.process.identity import of_pid
from controller.local import logs, plane, records, up
from controller.local.home import Home
from controller.local.plane import Plane
from tests.eventually import eventually, eventually_sync
from tests.running_plane import find_binaries

NAMES = ("etcd", "apiserver", "controller-manager")
PATIENCE = 120.0  # seconds, for a busy machine


def test_an_event_loop_that_is_torn_down_leaves_no_server(tmp_path: Path) -> None:
    """An exception out of the loop cancels every task, the supervising ones too; the servers end all the same."""
    pids: list[int] = []

    async def life() -> None:
        async with Plane(tmp_path / "home", find_binaries(print), fsync=False, ballast_bytes=0) as plane:
            assert await plane.wait_ready("controller-manager", PATIENCE) is None
            pids.extend(pid for name in NAMES if (pid := plane.pid(name)) is not None)
            asyncio.get_running_loop().call_soon(tear_down)
            await asyncio.Event().wait()

    def tear_down() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(life())
    assert len(pids) == len(NAMES)
    assert [pid for pid in pids if of_pid(pid) is not None] == []


async def test_certificates_are_renewed_after_what_kept_them_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first error ended the housekeeping, and with it all renewals: this plane's clients ran out after a year."""
    monkeypatch.setattr(plane, "HOUSEKEEPING_SECONDS", 0.2)
    said: list[str] = []
    async with Plane(tmp_path / "home", find_binaries(print), fsync=False, ballast_bytes=0, say=said.append) as running:
        assert await running.wait_ready("controller-manager", PATIENCE) is None
        before = running.pid("apiserver")
        key = running.home.key("admin")
        key.unlink()
        key.mkdir()
        await eventually(lambda: any("renewing certificates failed" in message for message in said), PATIENCE)
        # Two rounds later, by what the chore before it does in each of them.
        log = running.home.log("etcd")
        for _ in range(2):
            os.truncate(log, logs.MAX_BYTES + 1)
            await eventually(lambda: logs.size(log) < logs.MAX_BYTES, PATIENCE, "a round of housekeeping")
        assert len([message for message in said if "renewing certificates" in message]) == 1
        key.rmdir()
        await eventually(lambda: "renewed certificates: admin" in said, PATIENCE)
        await eventually(
            lambda: running.pid("apiserver") not in (None, before), PATIENCE, "it serves with the new ones"
        )
        assert await running.wait_ready("apiserver", PATIENCE) is None


async def test_a_new_port_reaches_the_kubeconfigs_however_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port was renewed on a full disk: what could not be written then is written when it can be."""
    monkeypatch.setattr(plane, "HOUSEKEEPING_SECONDS", 0.2)
    said: list[str] = []
    async with Plane(tmp_path / "home", find_binaries(print), fsync=False, ballast_bytes=0, say=said.append) as running:
        assert await running.wait_ready("controller-manager", PATIENCE) is None
        port, pid = running.record("apiserver").port, running.pid("apiserver")
        assert port is not None and pid is not None
        running.kubeconfig.unlink()
        running.kubeconfig.mkdir()
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            os.kill(pid, signal.SIGKILL)
            # Without giving the event loop a turn: the supervision must find the port taken.
            eventually_sync(lambda: of_pid(pid) is None, 60)
            stranger.bind(("127.0.0.1", port))
            stranger.listen()
            await eventually(lambda: any("writing the kubeconfigs failed" in message for message in said), PATIENCE)
        await eventually(lambda: running.record("apiserver").port != port, PATIENCE, "it is started with the new one")
        running.kubeconfig.rmdir()
        await eventually(running.kubeconfig.exists, PATIENCE)
        assert f":{running.record('apiserver').port}" in running.kubeconfig.read_text()
        assert await running.wait_ready("apiserver", PATIENCE) is None


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
        await eventually(is_up, PATIENCE)
        found = [records.read(home.record(name)) for name in NAMES]
        pids.extend(each.process.pid for each in found if each is not None and each.process is not None)
        (supervising,) = [task for task in asyncio.all_tasks() if task.get_name() == "supervise controller-manager"]
        supervising.cancel()
        await asyncio.wait_for(living, PATIENCE)

    with pytest.raises(Transient, match="nobody looks after controller-manager"):
        asyncio.run(life())
    assert len(pids) == len(NAMES)
    assert [pid for pid in pids if of_pid(pid) is not None] == []
