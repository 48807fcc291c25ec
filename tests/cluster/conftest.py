"""Fixtures for tests with real Pods. All tests here have the marker `cluster` and are run by `hack/test --cluster`."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from kubernetes.aio import client, config

from tests.cluster.installed import installed, release
from tests.cluster.namespaces import a_namespace
from tests.cluster.pods import Pods
from tests.cluster.running_node import PATIENT_SECONDS, Cluster

__all__ = ["installed", "release"]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever writes a test here need not remember the marker, nor that the first test brings a node up."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(PATIENT_SECONDS))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for one test, ready for Pods; it is deleted afterwards, without waiting."""
    with a_namespace(cluster) as name:
        yield name


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`kubectl(*arguments, input=None, check=True, timeout=60)`: the real one, in the test's namespace."""
    return functools.partial(cluster.kubectl, f"--namespace={namespace}")


@pytest.fixture
def pods(cluster: Cluster, namespace: str) -> Pods:
    """Run Pods in the test's namespace."""
    return Pods(cluster, namespace)


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[client.ApiClient]:
    """The official asyncio client, as administrator of the cluster."""
    made = await config.new_client_from_config(str(cluster.kubeconfig))
    async with made:
        yield made
