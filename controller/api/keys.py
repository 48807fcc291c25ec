"""Keys: what the work queue holds. A reconciler gets a key, never an event."""

from __future__ import annotations

from typing import NamedTuple

GROUP = "holdfast.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Key(NamedTuple):
    """Names one object of one kind for the work queue and the store."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"
