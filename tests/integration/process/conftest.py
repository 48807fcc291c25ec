"""The fixture of all tests with real attempts; what they leave running is ended by its identity."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.executors.process.executor import ProcessExecutor
from tests.integration.process.attempts import Host


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """An executor on an empty state directory."""
    executor = ProcessExecutor(tmp_path / "runs", "state-1", 5.0)
    host = Host(tmp_path / "runs", executor)
    executor.subscribe(host.woken.append)
    yield host
    executor.close()
    host.clean()
