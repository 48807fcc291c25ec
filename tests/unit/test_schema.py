"""The generator of the CRDs: what it promises, what it refuses, and that `crds/` is what it makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field

from controller.api.batchjob import BatchJob
from controller.api.crd import Rule
from controller.api.jobqueue import JobQueue
from controller.api.kinds import DECLARED
from controller.api.model import Model, ObjectMeta, Time
from controller.api.schema import SchemaError, custom_resource_definition, manifests, openapi

CRDS = Path(__file__).resolve().parents[2] / "crds"


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")


def kind(**fields: Any) -> type[BaseModel]:
    """A kind whose spec has `fields`: name=(type, Field)."""
    spec = type("Spec", (Model,), {"__annotations__": {k: v[0] for k, v in fields.items()}, **_defaults(fields)})
    return type(
        "Thing",
        (Model,),
        {
            "__annotations__": {"metadata": ObjectMeta, "spec": spec},
            "spec": Field(description="What a user declares."),
        },
    )


def _defaults(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: v[1] for k, v in fields.items() if v[1] is not None}


def spec_of(**fields: Any) -> dict[str, Any]:
    spec: dict[str, Any] = openapi(kind(**fields))["properties"]["spec"]
    return spec


def test_the_files_are_what_the_models_say() -> None:
    """1.2, design 3: nobody edits crds/ by hand; hack/generate writes it."""
    assert {path.name: path.read_text() for path in CRDS.glob("*.yaml")} == manifests(), "run hack/generate"


@pytest.mark.parametrize("model", DECLARED.values(), ids=lambda model: model.__name__)
def test_every_field_has_a_description(model: type[BaseModel]) -> None:
    """1.1: kubectl explain has text for every field."""
    for path, node in nodes(openapi(model)):
        if path != ".metadata" and not path.endswith("[]"):
            assert node.get("description"), path


@pytest.mark.parametrize("model", DECLARED.values(), ids=lambda model: model.__name__)
def test_every_string_and_list_is_bounded(model: type[BaseModel]) -> None:
    """1.2: the cost of CEL is estimated from the bounds."""
    for path, node in nodes(openapi(model)):
        if path in (".apiVersion", ".kind"):
            continue
        if node.get("type") == "string":
            assert "maxLength" in node or "enum" in node or node.get("format") == "date-time", path
        if node.get("type") == "array":
            assert "maxItems" in node, path


def test_definition_of_a_kind() -> None:
    """1.1: names, status subresource, columns, category."""
    definition = custom_resource_definition(BatchJob)
    version = definition["spec"]["versions"][0]
    assert definition["metadata"]["name"] == "batchjobs.holdfast.dev"
    assert definition["spec"]["names"]["shortNames"] == ["bj"]
    assert definition["spec"]["names"]["categories"] == ["holdfast"]
    assert version["subresources"] == {"status": {}}
    assert {"name": "ETA", "type": "string", "jsonPath": ".status.estimatedStartTime", "priority": 1} in version[
        "additionalPrinterColumns"
    ]
    assert version["schema"]["openAPIV3Schema"]["properties"]["metadata"] == {"type": "object"}


def test_nested_objects_default_to_empty_so_that_their_own_defaults_apply() -> None:
    """1.2"""
    spec = openapi(BatchJob)["properties"]["spec"]["properties"]
    assert spec["retry"]["default"] == {}
    assert spec["retry"]["properties"]["backoff"]["default"] == "10s"
    assert openapi(JobQueue)["properties"]["spec"]["default"] == {}


@pytest.mark.parametrize("model", DECLARED.values(), ids=lambda model: model.__name__)
def test_a_status_has_no_defaults(model: type[BaseModel]) -> None:
    """1.3: it is absent until something was recorded."""
    assert [path for path, node in nodes(openapi(model)["properties"]["status"]) if "default" in node] == []


def test_optional_is_left_out_and_never_null() -> None:
    """1.2"""
    number = int | None
    spec = spec_of(count=(number, Field(default=None, description="Count.", ge=1)))
    assert spec["properties"]["count"] == {"type": "integer", "minimum": 1, "description": "Count."}
    assert "required" not in spec


def test_literals_enums_and_times() -> None:
    """1.2"""
    spec = spec_of(
        one=(Literal["a"], Field(description="One.")),
        two=(Literal["a", "b"], Field(description="Two.")),
        when=(Time, Field(description="When.")),
    )["properties"]
    assert spec["one"]["enum"] == ["a"]
    assert spec["two"]["enum"] == ["a", "b"]
    assert spec["when"] == {"type": "string", "format": "date-time", "description": "When."}


class Ruled(Model):
    """Has a rule of its own."""

    rules: ClassVar[tuple[Rule, ...]] = (Rule("self.a > 1", "a is more than 1", "a", "FieldValueForbidden"),)
    a: int = Field(description="A number.", ge=0, le=9)


def test_rules_become_validations_where_they_stand() -> None:
    """1.2"""
    ruled = spec_of(inner=(Ruled, Field(description="Inner.")))["properties"]["inner"]
    assert ruled["x-kubernetes-validations"] == [
        {"rule": "self.a > 1", "message": "a is more than 1", "reason": "FieldValueForbidden", "fieldPath": ".a"}
    ]


class Bare(Model):
    """Its description is not the field's."""

    a: int = Field(description="A number.")


BOUNDED = Annotated[str, Field(max_length=8)]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ((str, Field(description="Unbounded.")), r"spec\.field: a string without maxLength"),
        ((str | None, Field(default=None, description="Unbounded.")), r"spec\.field: a string without maxLength"),
        ((tuple[BOUNDED, ...], Field(description="Unbounded.")), r"spec\.field: a list without maxItems"),
        ((tuple[str, ...], Field(description="Items.", max_length=3)), r"spec\.field\[\]: a string without maxLength"),
        ((dict[str, BOUNDED], Field(description="Unbounded.")), r"spec\.field: a map without maxProperties"),
        ((Any, Field(description="Anything.")), r"spec\.field: a field without type"),
        ((BOUNDED | int, Field(description="Both.")), r"spec\.field: a choice between types is not structural"),
        ((int, Field(description="Odd.", multiple_of=2)), r"spec\.field: the CRD has no word for multipleOf"),
        ((int, Field(description="Open.", gt=0)), r"spec\.field: the CRD has no word for exclusiveMinimum"),
        ((set[int], Field(description="Set.", max_length=3)), r"spec\.field: the CRD has no word for uniqueItems"),
        ((int, Field(ge=0)), r"Spec\.field: a field without description"),
        ((Bare, None), r"Spec\.field: a field without description"),
    ],
)
def test_what_a_crd_cannot_say_is_refused(field: tuple[Any, Any], message: str) -> None:
    """1.1, 1.2: nothing that a model demands is lost on the way to the API server."""
    with pytest.raises(SchemaError, match=message):
        openapi(kind(field=field))
