"""The controller's HTTP server (design 10; requirement 9.4)."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.errors import Terminal
from controller.files.versions import known
from controller.settings import Settings
from controller.telemetry.health import Health
from controller.telemetry.metrics import Metrics
from controller.web.server import Server

ROWS = [{"namespace": "a", "queue": "default", "name": "x", "position": 1}]


def rows(namespace: str | None, queue: str | None) -> list[dict[str, Any]]:
    return [row for row in ROWS if namespace in (None, row["namespace"]) and queue in (None, row["queue"])]


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def server(tmp_path: Path, health: Health) -> AsyncIterator[Server]:
    made = Server(Settings(home=tmp_path), health, Metrics(), rows)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


def bearer(home: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {(home / 'token').read_text()}"}


async def test_it_says_where_it_is_and_takes_that_back(tmp_path: Path) -> None:
    """Issue 3: `status -o json` gives the URL; the files are only for the owner."""
    server = Server(Settings(home=tmp_path), Health(), Metrics(), rows)
    await server.start()
    told = json.loads((tmp_path / "http.json").read_text())
    assert told == {
        "version": known("http.json"),
        "url": server.url,
        "pid": os.getpid(),
        "maxRunning": Settings().running_limit,
        "executor": "Process",
    }
    assert server.url.startswith("http://127.0.0.1:")
    for name in ("token", "http.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    await server.stop()
    assert not (tmp_path / "http.json").exists()


async def test_probes_and_metrics_are_open(http: httpx.AsyncClient, health: Health) -> None:
    """Design 10: only /healthz, /readyz, /metrics go without a token."""
    health.readiness("first pass", lambda: "the first pass is not over")
    assert (await http.get("/healthz")).status_code == 200
    ready = await http.get("/readyz")
    assert ready.status_code == 503 and "the first pass is not over" in ready.text
    health.readiness("first pass", None)
    assert (await http.get("/readyz")).status_code == 200
    health.liveness("workers", lambda: "stuck")
    assert (await http.get("/healthz")).status_code == 503
    scraped = await http.get("/metrics")
    assert scraped.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'holdfast_jobs{phase="Running"} 0.0' in scraped.text


async def test_everything_else_wants_the_token(http: httpx.AsyncClient, tmp_path: Path) -> None:
    """Design 10: a bearer token from a 0600 file."""
    assert (await http.get("/queue")).status_code == 401
    assert (await http.get("/queue", headers={"Authorization": "Bearer wrong"})).status_code == 401
    assert (await http.get("/anything")).status_code == 401
    answer = await http.get("/queue", headers=bearer(tmp_path))
    assert answer.status_code == 200 and answer.json() == {"items": ROWS}
    filtered = await http.get("/queue", params={"namespace": "b"}, headers=bearer(tmp_path))
    assert filtered.json() == {"items": []}
    assert (await http.get("/anything", headers=bearer(tmp_path))).status_code == 404


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Host": "["}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1"}, 200),
    ],
)
async def test_a_page_in_a_browser_cannot_reach_it(
    http: httpx.AsyncClient, tmp_path: Path, extra: dict[str, str], status: int
) -> None:
    """Design 10: Host and Origin checks, against DNS rebinding; also with the right token."""
    assert (await http.get("/queue", headers=bearer(tmp_path) | extra)).status_code == status


async def test_a_token_is_kept_unless_others_could_read_it(tmp_path: Path) -> None:
    """Design 10: a restart does not log out; a token that leaked is replaced."""

    async def token() -> str:
        server = Server(Settings(home=tmp_path), Health(), Metrics(), rows)
        await server.start()
        await server.stop()
        return (tmp_path / "token").read_text()

    first = await token()
    assert await token() == first
    (tmp_path / "token").chmod(0o644)
    assert await token() != first
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


async def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """Issue 3: errors say what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(home=tmp_path, http_port=taken.getsockname()[1])
        with pytest.raises(Terminal, match="HOLDFAST_HTTP_PORT"):
            await Server(settings, Health(), Metrics(), rows).start()


async def test_it_serves_without_a_writable_state_directory(tmp_path: Path) -> None:
    """Requirement 8.3: a disk that cannot be written to does not end the controller; it says so when it can."""
    missing = tmp_path / "not-there"
    server = Server(Settings(home=missing), Health(), Metrics(), rows)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url, timeout=30, trust_env=False) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/queue", headers={"Authorization": "Bearer x"})).status_code == 401
    await server.stop()
