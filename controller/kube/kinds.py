"""The kinds that Holdfast talks about, and where the API server serves them."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from controller.api.keys import GROUP, VERSION
from controller.api.names import KINDS, WRITTEN, Names


class Served(NamedTuple):
    """Where a kind is served: path prefix, plural, and whether its objects are in namespaces."""

    prefix: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of the collection or of one object; without a namespace that of all namespaces."""
        parts = [self.prefix]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


_OURS = f"/apis/{GROUP}/{VERSION}"

SERVED: dict[str, Served] = {
    **{kind: Served(_OURS, Names(kind).plural) for kind in (*KINDS, *WRITTEN)},
    "ConfigMap": Served("/api/v1", "configmaps"),
    "Secret": Served("/api/v1", "secrets"),
    "Job": Served("/apis/batch/v1", "jobs"),
    "Pod": Served("/api/v1", "pods"),
    "Lease": Served("/apis/coordination.k8s.io/v1", "leases"),
    "Event": Served("/api/v1", "events"),
    "Namespace": Served("/api/v1", "namespaces", namespaced=False),
    "CustomResourceDefinition": Served("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False),
}
