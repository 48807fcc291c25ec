"""A plane of its own for the crash tests, and plain HTTP to it: what a user with kubectl would do.

Not the session's plane: a controller looks at a whole cluster, and here there is one at a time and then none.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from controller.api.names import KINDS, WRITTEN, Names
from controller.local.http import tls_context
from tests.running_plane import RunningPlane, find_binaries, make_directory

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
GROUP = "/apis/holdfast.dev/v1alpha1"
Object = dict[str, Any]


class Cluster:
    """etcd, API server and controller manager, without a controller."""

    def __init__(self) -> None:
        self.directory = make_directory()
        self.running = RunningPlane(self.directory, find_binaries(_say), _say)

    def __enter__(self) -> Self:
        self.running.start()
        port = self.running.plane.record("apiserver").port
        context = tls_context(self.running.plane.home)
        self._http = httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, timeout=60, trust_env=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self.running.stop()
        shutil.rmtree(self.directory)

    @property
    def kubeconfig(self) -> Path:
        return self.running.kubeconfig

    def create_namespace(self, name: str) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self._http.post("/api/v1/namespaces", json=body).raise_for_status()

    def secret(self, namespace: str, name: str, **data: str) -> None:
        """Create a Secret."""
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
        self._http.post(f"/api/v1/namespaces/{namespace}/secrets", json=body).raise_for_status()

    def create(self, namespace: str, manifest: Object) -> Object:
        """Create an object of ours, unless an earlier try without an answer did; returns it as stored."""
        path = f"{GROUP}/namespaces/{namespace}/{Names(manifest['kind']).plural}"
        response = self._http.post(path, json=manifest)
        if response.status_code == httpx.codes.CONFLICT:
            response = self._http.get(f"{path}/{manifest['metadata']['name']}")
        return self._body(response)

    def jobs(self, namespace: str) -> dict[str, Object]:
        """All BatchJobs of the namespace by name."""
        return self.all(namespace, "BatchJob")

    def all(self, namespace: str, kind: str) -> dict[str, Object]:
        """All objects of a kind of ours in the namespace by name."""
        found = self._body(self._http.get(f"{GROUP}/namespaces/{namespace}/{Names(kind).plural}"))["items"]
        return {each["metadata"]["name"]: each for each in found}

    def delete(self, namespace: str, kind: str, name: str) -> None:
        """Delete one object; it may be gone already."""
        response = self._http.delete(f"{GROUP}/namespaces/{namespace}/{Names(kind).plural}/{name}")
        if response.status_code != httpx.codes.NOT_FOUND:
            response.raise_for_status()

    def queue(self, namespace: str, name: str) -> Object:
        return self._body(self._http.get(f"{GROUP}/namespaces/{namespace}/jobqueues/{name}"))

    def change(self, namespace: str, job: str, **spec: Any) -> None:
        """Change spec fields of a BatchJob, as `kubectl patch` does."""
        path = f"{GROUP}/namespaces/{namespace}/batchjobs/{job}"
        self._http.patch(path, json={"spec": spec}, headers=MERGE_PATCH).raise_for_status()

    def delete_all(self, namespace: str) -> None:
        """Delete the jobs and queues of a namespace, so that the next controller finds none of them."""
        for plural in (Names(kind).plural for kind in (*KINDS, *WRITTEN)):
            self._http.delete(f"{GROUP}/namespaces/{namespace}/{plural}").raise_for_status()

    def _body(self, response: httpx.Response) -> Object:
        response.raise_for_status()
        body: Object = response.json()
        return body


def _say(message: str) -> None:
    print(f"plane: {message}", file=sys.stderr)
