"""Connections as other users of the API server, and their rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
from kubernetes.aio.client.api_client import ApiClient

from controller.kube import config
from controller.kube.client import Api
from controller.telemetry.metrics import Metrics
from tests.running_plane import RunningPlane


@asynccontextmanager
async def connected(
    plane: RunningPlane, metrics: Metrics, host: str | None = None, user: str | None = None
) -> AsyncIterator[Api]:
    """A client to another `host`, or as another `user`."""
    configuration = await config.load(plane.kubeconfig)
    config.tune(configuration, 4)
    configuration.host = host or configuration.host
    client = ApiClient(configuration)
    if user is not None:
        client.set_default_header("Impersonate-User", user)
    async with Api(client, metrics, 5) as api:
        yield api


@contextmanager
def allowed(http: httpx.Client, user: str) -> Iterator[None]:
    """A user may do all from now on."""
    rbac = "rbac.authorization.k8s.io"
    body = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": user}],
    }
    http.post(f"/apis/{rbac}/v1/clusterrolebindings", json=body).raise_for_status()
    yield
    http.delete(f"/apis/{rbac}/v1/clusterrolebindings/{user}").raise_for_status()
