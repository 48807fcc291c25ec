"""Typed-enough calls to the API server over the official asyncio client, with raw JSON objects.

Promises: every call has a time limit, is counted by (verb, kind, code), and raises only `controller.kube.errors`.
The generated model classes are not used: they would cost memory and CPU for what our own models do already.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from controller.api.keys import GROUP, VERSION
from controller.kube import config
from controller.kube.errors import Expired, Forbidden, NotFound, NotServed, Unreachable, error_of
from controller.kube.kinds import SERVED
from controller.telemetry.metrics import Metrics, code_class

Object = dict[str, Any]

PAGE = 500  # objects per page of a LIST; what kubectl and client-go use
LIST_RESTARTS = 5
MERGE_PATCH = "application/merge-patch+json"
JSON = "application/json"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
READS = ("get", "list")
BEARER = ["BearerToken"]


class Selection(TypedDict, total=False):
    """What a LIST asks for; without any of these all objects, whole, at the newest version.

    Args:
        field_selector: as `metadata.name=x`.
        label_selector: as `app=x,tier`.
        resource_version: the version to read at, not the newest one.
        resource_version_match: how `resource_version` is meant; Exact unless given.
        metadata_only: the objects come without spec and status.
    """

    field_selector: str
    label_selector: str
    resource_version: int
    resource_version_match: Literal["Exact", "NotOlderThan"]
    metadata_only: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects of one kind, and the version of the whole that they were read at."""

    items: list[Object]
    resource_version: int


class Api:
    """One connection pool to one API server.

    Args:
        client: as `Api.connect` makes it.
        metrics: where calls are counted.
        timeout_seconds: limit of one call.

    Attributes:
        scope: the only namespace that a LIST of "all" is about; None: of the whole cluster.
        guard: called before each write; what it raises keeps the write from being sent. None: nobody else leads.
    """

    def __init__(self, client: ApiClient, metrics: Metrics, timeout_seconds: float) -> None:
        self.guard: Callable[[], None] | None = None
        self.scope: str | None = None
        self._client: Any = client  # the official client is not annotated throughout
        self._metrics = metrics
        self._host = str(client.configuration.host)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    @classmethod
    async def connect(
        cls,
        kubeconfig: Path | None,
        metrics: Metrics,
        *,
        timeout_seconds: float = 10.0,
        connections: int = 64,
        version: str = "unknown",
        scope: str | None = None,
    ) -> Self:
        """Make a client; nothing is sent yet.

        Raises:
            Terminal: no kubeconfig can be read.
        """
        configuration = await config.load(kubeconfig)
        config.tune(configuration, connections)
        client = ApiClient(configuration)
        client.user_agent = f"holdfast-controller/{version}"
        made = cls(client, metrics, timeout_seconds)
        made.scope = scope
        return made

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def get(self, kind: str, namespace: str, name: str) -> Object:
        """One object, by a quorum read.

        Raises:
            NotFound: the API server says that it does not exist.
            NotServed: the kind is not served.
        """
        return await self._call("get", kind, "GET", SERVED[kind].path(namespace, name))

    async def get_uncached_gone(self, kind: str, namespace: str, name: str, uid: str) -> bool | None:
        """Whether the object with this uid is proved not to exist (design 2): before anything irreversible.

        Returns:
            True: a 404 naming this object and kind, or another uid. False: it is there. None: nothing is proved.
        """
        try:
            found = await self.get(kind, namespace, name)
        except NotFound as error:
            return True if error.names(SERVED[kind].plural, name) else None
        except (NotServed, Unreachable, Forbidden):
            return None
        return bool(found["metadata"]["uid"] != uid)

    async def pages(
        self, kind: str, namespace: str | None = None, **selection: Unpack[Selection]
    ) -> AsyncIterator[Listing]:
        """The objects of a kind page by page, all of one version; without a namespace all that we are to see.

        Raises:
            Expired: the version was compacted away, at the first page or while paging.
        """
        path = SERVED[kind].path(namespace or self.scope)
        accept = METADATA_ONLY if selection.get("metadata_only") else JSON
        query = _query(selection)
        while True:
            answer = await self._call("list", kind, "GET", f"{path}?{urlencode(query)}", accept=accept)
            yield Listing(answer.get("items") or [], int(answer["metadata"]["resourceVersion"]))
            following = answer["metadata"].get("continue")
            if not following:
                return
            query = {k: v for k, v in query.items() if k not in ("resourceVersion", "resourceVersionMatch")}
            query["continue"] = following

    async def list(self, kind: str, namespace: str | None = None, **selection: Unpack[Selection]) -> Listing:
        """All objects of a kind in one Listing; a LIST that expires while paging is begun anew.

        Raises:
            Expired: an exact version was asked for that is compacted away, or paging expired LIST_RESTARTS times.
        """
        for restarts in range(LIST_RESTARTS):
            items: list[Object] = []
            version = 0
            try:
                async for page in self.pages(kind, namespace, **selection):
                    items += page.items
                    version = page.resource_version
            except Expired:
                if version == 0 or restarts == LIST_RESTARTS - 1:
                    raise
                continue
            return Listing(items, version)
        raise AssertionError("unreachable")

    async def create(self, kind: str, namespace: str, body: Object) -> Object:
        """Create an object.

        Raises:
            AlreadyExists: an object of that name exists.
            Invalid: the schema refuses it.
        """
        return await self._call("create", kind, "POST", SERVED[kind].path(namespace), body)

    async def patch_status(
        self,
        kind: str,
        namespace: str,
        name: str,
        uid: str,
        resource_version: str | int,
        status_patch: Object | None,
    ) -> Object:
        """Merge into `status` (RFC 7386; None removes it), only if the object is still at this version.

        A version is an etcd revision, so it names this object too: one of the same name made later has another one
        (the API server itself does not compare the uid in a patch of /status; it is sent for the audit log).

        Raises:
            Conflict: it was written since, or is another object of the same name.
            NotFound: it is gone.
        """
        body = {"metadata": {"uid": uid, "resourceVersion": str(resource_version)}, "status": status_patch}
        path = SERVED[kind].path(namespace, name, "status")
        return await self._call("patch_status", kind, "PATCH", path, body, content=MERGE_PATCH)

    async def patch(self, kind: str, namespace: str, name: str, body: Object) -> Object:
        """JSON merge patch of an object; put metadata.resourceVersion inside for compare-and-swap."""
        return await self._call("patch", kind, "PATCH", SERVED[kind].path(namespace, name), body, content=MERGE_PATCH)

    async def delete(self, kind: str, namespace: str, name: str, uid: str, **options: str | int) -> None:
        """Delete exactly this object.

        Args:
            options: of metav1.DeleteOptions, such as propagationPolicy and gracePeriodSeconds.

        Raises:
            NotFound: it is gone already.
            Conflict: another object has its name now.
        """
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}, **options}
        await self._call("delete", kind, "DELETE", SERVED[kind].path(namespace, name), body)

    async def cluster_uid(self) -> str:
        """What tells this cluster from others: the uid of kube-system, or of the only namespace that we are to see."""
        found = await self.get("Namespace", self.scope or "", self.scope or "kube-system")
        return str(found["metadata"]["uid"])

    async def published_schemas(self) -> Object:
        """The OpenAPI v3 document of our group, which every authenticated user may read.

        Raises:
            NotServed: none of our kinds is served.
        """
        return await self._call("get", "CustomResourceDefinition", "GET", f"/openapi/v3/apis/{GROUP}/{VERSION}")

    async def ready(self) -> bool:
        """Whether the API server calls itself ready (/readyz); raises nothing."""
        try:
            response = await self._client.call_api("GET", f"{self._host}/readyz", {}, _request_timeout=self._timeout)
            await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        return bool(response.status == 200)

    async def _call(
        self,
        verb: str,
        kind: str,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        content: str = JSON,
        accept: str = JSON,
    ) -> Object:
        if self.guard is not None and verb not in READS:
            self.guard()
        client = self._client
        headers = {**client.default_headers, "Accept": accept, "Content-Type": content}
        began = time.perf_counter()
        status: int | None = None
        try:
            await client.update_params_for_auth(headers, [], BEARER, path, method, body)
            response = await client.call_api(method, self._host + path, headers, body, _request_timeout=self._timeout)
            data = await response.read()
            status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = f"{verb} {kind} {path}: no answer from {self._host}: {error or type(error).__name__}"
            raise Unreachable("Unreachable", message) from error
        finally:
            self._metrics.api_requests.labels(verb, kind, code_class(status)).inc()
            self._metrics.api_seconds.labels(verb).observe(time.perf_counter() - began)
        if status >= 300:
            refusal = error_of(f"{verb} {kind} {path}", status, response.headers, data)
            if isinstance(refusal, Forbidden):
                self._metrics.rights.refused(verb, kind, refusal.message)
            raise refusal
        self._metrics.rights.granted(verb, kind)
        answer: Object = json.loads(data)
        return answer


def _query(selection: Selection) -> dict[str, str | int]:
    """The parameters of a LIST's first page."""
    query: dict[str, str | int] = {"limit": PAGE}
    if "field_selector" in selection:
        query["fieldSelector"] = selection["field_selector"]
    if "label_selector" in selection:
        query["labelSelector"] = selection["label_selector"]
    if "resource_version" in selection:
        query["resourceVersion"] = selection["resource_version"]
        query["resourceVersionMatch"] = selection.get("resource_version_match", "Exact")
    return query
