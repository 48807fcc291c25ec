"""From models to CustomResourceDefinitions: the generator of `crds/`. Pure; `hack/generate` writes the files.

Promises: a structural OpenAPI v3 schema with a description on every field and a bound on every string, list and map
(requirements 1.1, 1.2). What it does not know it refuses: a keyword outside ALLOWED raises, so that nothing that a
model demands is lost on the way to the API server without a word.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from controller.api.crd import Column, Rule
from controller.api.keys import GROUP, VERSION
from controller.api.kind import Kind
from controller.api.kinds import DECLARED
from controller.api.model import ObjectMeta

ALLOWED = frozenset(
    {
        "type",
        "description",
        "default",
        "enum",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "items",
        "minItems",
        "maxItems",
        "properties",
        "required",
        "additionalProperties",
        "maxProperties",
        "anyOf",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
    }
)
_HEADER = "# Made by hack/generate from controller/api; do not edit.\n"
_API_VERSION = {
    "type": "string",
    "description": "Version of this schema, as <group>/<version>.",
}
_KIND = {"type": "string", "description": "Kind of this object."}


class SchemaError(ValueError):
    """A model says something that the CRD would not say, or does not say what a CRD needs; the message has the path."""


def custom_resource_definition(model: type[Kind]) -> dict[str, Any]:
    """The apiextensions.k8s.io/v1 CustomResourceDefinition of a kind.

    Raises:
        SchemaError: see the promises of this module.
    """
    names = model.names
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": openapi(model)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in model.columns],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": names.kind,
                "listKind": names.list_kind,
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": list(names.short),
                "categories": ["holdfast"],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def openapi(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of a kind: nothing but `type: object` is said of metadata, which is the API server's.

    Raises:
        SchemaError: see the promises of this module.
    """
    raw = model.model_json_schema(schema_generator=_Generator)
    definitions = raw.pop("$defs", {})
    raw["properties"].pop("metadata", None)
    raw["required"] = [name for name in raw.get("required", ()) if name != "metadata"]
    schema = _Structural(definitions).node(raw, model.__name__)
    status = schema["properties"].get("status")
    if status is not None:
        _drop_defaults(status)
    schema["properties"] = {
        "apiVersion": _API_VERSION,
        "kind": _KIND,
        "metadata": {"type": "object"},
        **schema["properties"],
    }
    return schema


def manifests() -> dict[str, str]:
    """File name in `crds/` -> its content, for every kind."""
    return {f"{model.names.plural}.yaml": render(custom_resource_definition(model)) for model in DECLARED.values()}


def render(definition: dict[str, Any]) -> str:
    """The definition as YAML with a line that says where it comes from."""
    return _HEADER + yaml.safe_dump(definition, sort_keys=False, width=120, allow_unicode=True)


def _column(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.priority:
        entry["priority"] = column.priority
    return entry


def _validations(rules: Iterable[Rule]) -> list[dict[str, str]]:
    return [_validation(rule) for rule in rules]


def _validation(rule: Rule) -> dict[str, str]:
    entry = {"rule": rule.rule, "message": rule.message, "reason": rule.reason}
    if rule.field:
        entry["fieldPath"] = f".{rule.field}"
    return entry


def _drop_defaults(node: dict[str, Any]) -> None:
    """No defaults in a status: it is absent until Holdfast has recorded something, and the model knows them."""
    node.pop("default", None)
    for child in node.get("properties", {}).values():
        _drop_defaults(child)
    if "items" in node:
        _drop_defaults(node["items"])


class _Generator(GenerateJsonSchema):
    """pydantic's generator, which also hands on CEL rules and the defaults of nested objects."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        model = schema["cls"]
        for name, field in model.model_fields.items():
            if name != "metadata" and model.__module__ != ObjectMeta.__module__:  # metadata is not ours to describe
                _require_description(model, name, field)
        result = super().model_schema(schema)
        rules: tuple[Rule, ...] = getattr(model, "rules", ())
        if rules:
            result["x-kubernetes-validations"] = _validations(rules)
        return result

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """A model made by its own class as factory is `{}`: the API server then applies the defaults inside."""
        factory: Any = schema.get("default_factory")
        if isinstance(factory, type) and issubclass(factory, BaseModel):
            return {}
        return super().get_default_value(schema)


def _require_description(model: type[BaseModel], name: str, field: FieldInfo) -> None:
    if not field.description:
        raise SchemaError(f"{model.__name__}.{name}: a field without description")


class _Structural:
    """Turns JSON schema 2020-12 as pydantic writes it into structural OpenAPI v3; knows the `$defs` of one kind."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions

    def node(self, raw: dict[str, Any], path: str) -> dict[str, Any]:
        """The structural form of one node; `path` is for messages.

        Raises:
            SchemaError: a keyword outside ALLOWED, or a missing bound.
        """
        node = self._without_null(self._inlined(raw))
        node.pop("title", None)
        if "const" in node:
            node["enum"] = [node.pop("const")]
        unknown = sorted(set(node) - ALLOWED)
        if unknown:
            raise SchemaError(f"{path}: the CRD has no word for {', '.join(unknown)}")
        _check_bounds(node, path)
        return self._with_children(node, path)

    def _inlined(self, raw: dict[str, Any]) -> dict[str, Any]:
        """`$ref` replaced by what it names; what stands beside it wins."""
        node = dict(raw)
        while "$ref" in node:
            name = node.pop("$ref").removeprefix("#/$defs/")
            node = {**copy.deepcopy(self._definitions[name]), **node}  # own copies: YAML would write aliases
        return node

    def _without_null(self, node: dict[str, Any]) -> dict[str, Any]:
        """`anyOf [X, null]` is X that may be left out: the API server knows absent fields, not null ones."""
        if "x-kubernetes-int-or-string" in node:
            return node
        some = [branch for branch in node.get("anyOf", ()) if branch != {"type": "null"}]
        if len(some) != 1:
            return node
        node = {key: value for key, value in node.items() if key != "anyOf"}
        if "default" in node and node["default"] is None:
            del node["default"]
        inner = self._inlined(some[0])
        return self._without_null({**inner, **node})

    def _with_children(self, node: dict[str, Any], path: str) -> dict[str, Any]:
        if "properties" in node:
            node["properties"] = {
                name: self.node(child, f"{path}.{name}") for name, child in node["properties"].items()
            }
        if not node.get("required", True):
            del node["required"]
        for name in ("items", "additionalProperties"):
            if name in node:
                node[name] = self.node(node[name], f"{path}[]")
        return node


def _check_bounds(node: dict[str, Any], path: str) -> None:
    """The API server estimates the cost of CEL rules from the bounds, and etcd has a limit for one object."""
    if node.get("x-kubernetes-int-or-string"):
        if "maxLength" not in node:
            raise SchemaError(f"{path}: a string without maxLength")
        return
    if "anyOf" in node:
        raise SchemaError(f"{path}: a choice between types is not structural")
    match node.get("type"):
        case "string" if not {"maxLength", "enum"} & node.keys() and node.get("format") != "date-time":
            raise SchemaError(f"{path}: a string without maxLength")
        case "array" if "maxItems" not in node:
            raise SchemaError(f"{path}: a list without maxItems")
        case "object" if not {"properties", "maxProperties", "x-kubernetes-preserve-unknown-fields"} & node.keys():
            raise SchemaError(f"{path}: a map without maxProperties")
        case None:
            raise SchemaError(f"{path}: a field without type")
