"""Which fields the kinds have, by their paths, as an OpenAPI schema tells them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller.api.keys import GROUP, VERSION
from controller.api.kinds import DECLARED
from controller.api.schema import openapi

Schema = Mapping[str, Any]
PUBLISHED = f"{'.'.join(reversed(GROUP.split('.')))}.{VERSION}."  # in front of the kind, as kube-apiserver names it


def declared() -> dict[str, frozenset[str]]:
    """Kind -> the fields that this version writes or reads."""
    return {kind: frozenset(paths(openapi(model))) for kind, model in DECLARED.items()}


def published(document: Schema) -> dict[str, frozenset[str]]:
    """Kind -> fields, of the document that the API server publishes under /openapi/v3 for our group."""
    schemas = document.get("components", {}).get("schemas", {})
    found = {kind: schemas.get(PUBLISHED + kind) for kind in DECLARED}
    return {kind: frozenset(paths(schema)) for kind, schema in found.items() if schema is not None}


def paths(schema: Schema, before: str = "") -> Iterator[str]:
    """The paths of all fields below a schema, such as `spec.callbacks[].url`."""
    for name, child in (schema.get("properties") or {}).items():
        path = f"{before}.{name}" if before else name
        yield path
        yield from paths(child, path)
    if isinstance(items := schema.get("items"), Mapping):
        yield from paths(items, f"{before}[]")
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        yield from paths(values, f"{before}{{}}")
