"""The fixtures that all integration tests stand on."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess

from kubernetes.aio import client

from tests.eventually import eventually, eventually_sync
from tests.running_plane import RunningPlane


async def test_namespace_is_real_to_both_clients(
    api: client.ApiClient, namespace: str, kubectl: Callable[..., CompletedProcess[str]], plane: RunningPlane
) -> None:
    """Requirement 1.1: kubectl and the Python client see the same server, and the audit log both of them."""
    found = await client.CoreV1Api(api).read_namespace(namespace)
    assert found.metadata.name == namespace
    assert kubectl("get", "namespace", namespace, "-o", "name").stdout.strip() == f"namespace/{namespace}"

    def agents() -> set[str]:
        return {entry["userAgent"].split("/")[0] for entry in plane.audit() if namespace in entry["requestURI"]}

    # A call is logged when its answer is complete, which its caller may see first.
    await eventually(lambda: {"kubectl", "OpenAPI-Generator"} <= agents(), what="the audit log tells of both")


def test_crds_are_served(kubectl: Callable[..., CompletedProcess[str]], namespace: str) -> None:
    """Requirement 1.1: a ready plane serves our kinds."""
    served = kubectl("api-resources", "--api-group=holdfast.dev", "-o", "name").stdout.split()
    assert {"batchjobs.holdfast.dev", "jobqueues.holdfast.dev"} <= set(served)


def test_children_of_our_kinds_are_collected(kubectl: Callable[..., CompletedProcess[str]], namespace: str) -> None:
    """Design 3: claims and batches go with the object that owns them, for there are no finalizers."""

    def make(kind: str, spec: dict[str, object], owners: list[dict[str, object]]) -> str:
        body = {
            "apiVersion": "holdfast.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": "a", "ownerReferences": owners},
            "spec": spec,
        }
        made = kubectl("create", "-f", "-", "-o", "jsonpath={.metadata.uid}", input=json.dumps(body))
        return made.stdout.strip()

    uid = make("BatchJob", {"command": ["true"], "suspend": True}, [])
    owner = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "BatchJob", "name": "a", "uid": uid, "controller": True}
    make("RepositoryLock", {"repository": "shop", "holder": {"name": "a"}}, [owner])
    kubectl("delete", "bj", "a")
    eventually_sync(lambda: kubectl("get", "rlock", "-o", "name").stdout == "", 120, "the claim is collected")
