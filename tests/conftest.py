"""Fixtures for all tests: a real control plane, made once when the first test asks for it.

Unit tests ask for none of these and need no server.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from uuid import uuid4

import httpx
import pytest
from kubernetes.aio import client, config

from controller.local.http import tls_context
from tests.cluster.fixtures import cluster, helm, node, node_directory, operator_archive, operator_image
from tests.object_store import object_store, object_store_process
from tests.running_plane import RunningPlane, find_binaries, make_directory

__all__ = [
    "cluster",
    "helm",
    "node",
    "node_directory",
    "object_store",
    "object_store_process",
    "operator_archive",
    "operator_image",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options must be known before the directories below are looked at."""
    parser.addoption("--context", help="tests with real Pods: a cluster of your own, by its name in the kubeconfig")


def say(message: str) -> None:
    """Progress and incidents of the plane, shown by pytest beside a failing test."""
    print(f"plane: {message}", file=sys.stderr)


@pytest.fixture(scope="session")
def plane() -> Iterator[RunningPlane]:
    """etcd, API server and controller manager with our CRDs, an audit log, and no controller."""
    directory = make_directory()
    running = RunningPlane(directory, find_binaries(say), say)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def plane_http(plane: RunningPlane) -> Iterator[httpx.Client]:
    """Plain HTTP to the API server as its administrator; paths are relative to the server."""
    port = plane.plane.record("apiserver").port
    with httpx.Client(
        base_url=f"https://127.0.0.1:{port}", verify=tls_context(plane.plane.home), timeout=60, trust_env=False
    ) as http:
        yield http


@pytest.fixture
def namespace(plane_http: httpx.Client) -> Iterator[str]:
    """A namespace for one test; it is deleted afterwards, without waiting."""
    name = f"test-{uuid4().hex[:10]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    plane_http.post("/api/v1/namespaces", json=body).raise_for_status()
    yield name
    plane_http.delete(f"/api/v1/namespaces/{name}").raise_for_status()


@pytest.fixture
def kubectl(plane: RunningPlane, namespace: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`kubectl(*arguments, input=None, check=True, timeout=60)`: the real one, in the test's namespace."""
    return functools.partial(plane.run_kubectl, f"--namespace={namespace}")


@pytest.fixture
async def api(plane: RunningPlane) -> AsyncIterator[client.ApiClient]:
    """The official asyncio client, as administrator of the plane."""
    made = await config.new_client_from_config(str(plane.kubeconfig))
    async with made:
        yield made
