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
    async with Api(client, metrics, 30) as api:
        yield api


@contextmanager
def allowed(http: httpx.Client, user: str, *rules: dict[str, list[str]]) -> Iterator[None]:
    """A user may do what the rules say from now on; without any: all."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    group = "rbac.authorization.k8s.io"
    body = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": user if rules else "cluster-admin"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    if rules:
        role = {"metadata": {"name": user}, "rules": [*rules]}
        http.post(f"{rbac}/clusterroles", json=role).raise_for_status()
    http.post(f"{rbac}/clusterrolebindings", json=body).raise_for_status()
    yield
    http.delete(f"{rbac}/clusterrolebindings/{user}").raise_for_status()
    if rules:
        http.delete(f"{rbac}/clusterroles/{user}").raise_for_status()
