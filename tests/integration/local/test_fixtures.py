"""The fixtures that all integration tests stand on."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

from kubernetes.aio import client

from tests.running_plane import RunningPlane


async def test_namespace_is_real_to_both_clients(
    api: client.ApiClient, namespace: str, kubectl: Callable[..., CompletedProcess[str]], plane: RunningPlane
) -> None:
    """Requirement 1.1: kubectl and the Python client see the same server, and the audit log both of them."""
    found = await client.CoreV1Api(api).read_namespace(namespace)
    assert found.metadata.name == namespace
    assert kubectl("get", "namespace", namespace, "-o", "name").stdout.strip() == f"namespace/{namespace}"
    agents = {entry["userAgent"].split("/")[0] for entry in plane.audit() if namespace in entry["requestURI"]}
    assert {"kubectl", "OpenAPI-Generator"} <= agents


def test_crds_are_served(kubectl: Callable[..., CompletedProcess[str]], namespace: str) -> None:
    """Requirement 1.1: a ready plane serves our kinds."""
    served = kubectl("api-resources", "--api-group=holdfast.dev", "-o", "name").stdout.split()
    assert {"batchjobs.holdfast.dev", "jobqueues.holdfast.dev"} <= set(served)
