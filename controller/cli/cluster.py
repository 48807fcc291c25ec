"""Calls to the API server, one after the other: what a command needs and no more.

Promises: every call has a time limit and raises only the errors of `controller.kube.errors`, whose message says what is
wrong and what to do. Objects are plain JSON, as they came.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from controller.cli.access import Access
from controller.errors import HoldfastError
from controller.kube.errors import Forbidden, Invalid, NotFound, NotServed, Unreachable, error_of
from controller.kube.kinds import SERVED

Object = dict[str, Any]

PAGE = 500
TIMEOUT_SECONDS = 10.0
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class Cluster:
    """One connection to one API server, in one namespace.

    Args:
        access: server and credentials.
        namespace: overrides the one of the context.
        timeout_seconds: limit of one call.
    """

    def __init__(self, access: Access, namespace: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._access = access
        self.namespace = namespace or access.namespace
        self.timeout_seconds = timeout_seconds
        self._connection: http.client.HTTPConnection | None = None

    def get(self, kind: str, name: str) -> Object:
        """One object of the namespace. Raises NotFound, NotServed, Unreachable, Forbidden, Invalid."""
        return self._call("GET", SERVED[kind].path(self.namespace, name), f"{kind.lower()} {name}")

    def list(
        self,
        kind: str,
        *,
        everywhere: bool = False,
        metadata_only: bool = False,
        fields: str | None = None,
        labels: str | None = None,
    ) -> Iterator[Object]:
        """The objects of a kind in this namespace, or in all. Raises as `get`."""
        query: dict[str, str] = {"limit": str(PAGE)} | ({"fieldSelector": fields} if fields else {})
        query |= {"labelSelector": labels} if labels else {}
        path = SERVED[kind].path(None if everywhere else self.namespace)
        accept = METADATA_ONLY if metadata_only else "application/json"
        while True:
            page = self._call("GET", f"{path}?{urlencode(query)}", f"{kind.lower()}s", accept=accept)
            yield from page.get("items") or ()
            following = page.get("metadata", {}).get("continue")
            if not following:
                return
            query["continue"] = following

    def log(self, pod: str, container: str) -> bytes:
        """What the kubelet has of a container's output, each line with its time before it. Raises as `get`."""
        query = urlencode({"container": container, "timestamps": "true"})
        path = f"{SERVED['Pod'].path(self.namespace, pod, 'log')}?{query}"
        return self._bytes("GET", path, f"pod {pod}", accept="*/*")

    def create(self, kind: str, body: Object) -> Object:
        """Make an object; unknown fields are refused. Raises as `get`, and AlreadyExists."""
        path = f"{SERVED[kind].path(self.namespace)}?fieldValidation=Strict&fieldManager=holdfast-cli"
        return self._call("POST", path, kind.lower(), body)

    def patch(self, kind: str, name: str, change: Object) -> Object:
        """Merge `change` into an object. Raises as `get`."""
        path = f"{SERVED[kind].path(self.namespace, name)}?fieldValidation=Strict&fieldManager=holdfast-cli"
        return self._call("PATCH", path, f"{kind.lower()} {name}", change, "application/merge-patch+json")

    def _call(
        self,
        verb: str,
        path: str,
        what: str,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        return dict(json.loads(self._bytes(verb, path, what, body, content_type, accept)))

    def _bytes(
        self,
        verb: str,
        path: str,
        what: str,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        headers = {"Accept": accept, "User-Agent": "holdfast-cli", **self._access.headers}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = content_type
        status, answer_headers, answer = self._exchange(verb, path, data, headers)
        if status < 300:
            return answer
        raise self._explained(error_of(what, status, answer_headers, answer), what)

    def _exchange(
        self, verb: str, path: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        reused = self._connection is not None
        try:
            if self._connection is None:
                self._connection = self._connect()
            prefix = urlsplit(self._access.server).path.rstrip("/")
            self._connection.request(verb, prefix + path, body=data, headers=headers)
            response = self._connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if reused and verb == "GET" and not isinstance(error, TimeoutError):
                return self._exchange(verb, path, data, headers)  # the server had closed it while it was idle
            why = str(error) or type(error).__name__
            raise Unreachable(
                "NoAnswer",
                f"the API server {self._access.server} does not answer ({why}): start it with `holdfast up`, "
                f"or check {self._access.source}",
            ) from error

    def _connect(self) -> http.client.HTTPConnection:
        url = urlsplit(self._access.server)
        host, port = url.hostname or "", url.port
        if self._access.tls is None:
            return http.client.HTTPConnection(host, port, timeout=self.timeout_seconds)
        return http.client.HTTPSConnection(host, port, timeout=self.timeout_seconds, context=self._access.tls)

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _explained(self, error: HoldfastError, what: str) -> HoldfastError:
        """The same error with the way out in its message."""
        message = error.message.removeprefix(f"{what}: ").removesuffix(".")
        match error:
            case NotServed():
                message = (
                    f"the cluster of {self._access.source} does not know the kinds of Holdfast: "
                    "apply crds/ to it, or use the one of `holdfast up`"
                )
            case NotFound():
                kind = what.partition(" ")[0]
                message = f"no {what} in namespace {self.namespace}: see `kubectl get {kind} -A`, or give -n NAMESPACE"
            case Forbidden():
                message = f"{message}: ask for the rights, or use another kubeconfig than {self._access.source}"
            case Invalid():
                message = f"the API server refuses it: {' '.join(message.split())}"
            case Unreachable():
                message = f"the API server {self._access.server} cannot serve this now: {message}"
        error.message = message
        return error
