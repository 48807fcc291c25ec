"""A full disk under etcd: the reserve brings the API server back, so that errors can reach a status."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controller.local import etcd_care, logs, plane
from controller.local.http import tls_context
from tests.disks import small_disk
from tests.eventually import eventually
from tests.running_plane import find_binaries

MIB = 1024**2
PATIENCE = 120.0  # seconds, for a busy machine


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 500 MiB."""
    with small_disk(tmp_path, "500m") as place:
        yield place


async def test_etcd_comes_back_with_the_reserve(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirement 8.3 and design 10: etcd that dies of a full disk gets the ballast's room; later it is made again."""
    monkeypatch.setattr(etcd_care, "BALLAST_ROOM_BYTES", 64 * MIB)
    monkeypatch.setattr(plane, "HOUSEKEEPING_SECONDS", 0.5)
    said: list[str] = []
    running = plane.Plane(disk / "home", find_binaries(print), ballast_bytes=96 * MIB, say=said.append)
    async with running:
        ballast = running.home.etcd / "ballast"
        assert ballast.stat().st_blocks * 512 == 96 * MIB
        filler = disk / "filler"
        write_until_full(filler)
        port = running.record("apiserver").port
        base = f"https://127.0.0.1:{port}/api/v1/namespaces/default/configmaps"
        async with httpx.AsyncClient(verify=tls_context(running.home), timeout=60, trust_env=False) as http:
            number = 0
            while ballast.exists():
                assert number < 200, "etcd never ran out of space"
                # What is refused takes no space: then etcd has ended, and it is a matter of time until that is seen.
                number += 1 if await create(http, base, number) else 0
                await asyncio.sleep(0.01)
            await eventually(lambda: any("the reserve of 96 MiB was freed" in message for message in said), PATIENCE)
            await eventually(lambda: create(http, base, 1000), PATIENCE, "the API server takes writes again")
            filler.unlink()
            await eventually(ballast.exists, PATIENCE, "the reserve is there again")


async def test_housekeeping_outlives_a_full_disk(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirement 8.3: a log over its bound is cut where its copy has no room, and kept again when there is room."""
    monkeypatch.setattr(plane, "HOUSEKEEPING_SECONDS", 0.3)
    said: list[str] = []
    async with plane.Plane(disk / "home", find_binaries(print), ballast_bytes=0, say=said.append) as running:
        log = running.home.log("etcd")
        kept = log.with_name("etcd.log.1")
        assert await running.wait_ready("controller-manager", PATIENCE) is None
        filler = disk / "filler"
        write_until_full(filler, but=40 * MIB)
        grow(log)
        await eventually(lambda: logs.size(log) < MIB, PATIENCE, "the log is cut")
        assert not kept.exists()
        (told,) = [message for message in said if "bounding the log of etcd failed" in message]
        assert "No space left on device" in told
        filler.unlink()
        grow(log)
        await eventually(lambda: logs.size(log) < MIB, PATIENCE, "the log is cut again")
        assert kept.stat().st_size > logs.MAX_BYTES
        running.check()


def grow(log: Path) -> None:
    """Over its bound; as the server, by appending."""
    with log.open("ab") as file:
        file.write(b"x" * (logs.MAX_BYTES + 1))


def write_until_full(path: Path, but: int = 8 * MIB) -> None:
    """Take all the room but what a few small files need, or so many bytes."""
    usage = os.statvfs(path.parent)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(fd, 0, usage.f_bavail * usage.f_frsize - but)
    finally:
        os.close(fd)


async def create(http: httpx.AsyncClient, url: str, number: int) -> bool:
    """Create a ConfigMap of 900 kB; False where the server does not take it."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"big-{number}"},
        "data": {"x": os.urandom(450_000).hex()},
    }
    try:
        return (await http.post(url, json=body)).status_code in (201, 409)
    except httpx.HTTPError:
        return False
