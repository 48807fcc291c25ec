"""The command with a state directory of its own, and jobs to use it on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.cli.following import Following
from tests.e2e.cli.holdfast_command import Holdfast, Jobs
from tests.running_plane import RunningPlane


@pytest.fixture
def holdfast(plane: RunningPlane, namespace: str, tmp_path: Path) -> Holdfast:
    return Holdfast(tmp_path / "home", plane.kubeconfig, namespace)


@pytest.fixture
def jobs(plane_http: httpx.Client, namespace: str) -> Jobs:
    return Jobs(plane_http, namespace)


@pytest.fixture
def following() -> Iterator[list[Following]]:
    """Processes that are ended with the test."""
    started: list[Following] = []
    yield started
    for one in started:
        one.end()
