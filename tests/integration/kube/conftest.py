"""Fixtures of the tests of `controller.kube`: our own client to the real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from controller.kube.client import Api
from controller.telemetry.metrics import Metrics
from tests.running_plane import RunningPlane


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def client(plane: RunningPlane, metrics: Metrics) -> AsyncIterator[Api]:
    """Our client, as administrator of the plane."""
    async with await Api.connect(plane.kubeconfig, metrics, version="test", timeout_seconds=60) as made:
        yield made
