"""The chart's files that are made from something else are what they are made from. Needs no helm."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import version
from typing import Any

import yaml

from controller.settings import Settings
from hack.chart.schema import OF_THE_CHART, values_schema
from tests.chart.rendered import CHART

ROOT = CHART.parents[1]


def test_the_crds_are_those_of_the_project() -> None:
    """Design 3: the chart's copies are generated; helm installs them from here."""
    copies = {path.name: path.read_text() for path in (CHART / "crds").iterdir()}
    assert copies == {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}, "run hack/generate"


def test_the_schema_is_what_the_settings_say() -> None:
    """Issue 7.5: a setting that does not exist is refused, one that is new is known."""
    assert json.loads((CHART / "values.schema.json").read_text()) == values_schema(), "run hack/generate"
    assert set(Settings.model_fields) >= OF_THE_CHART


def test_what_the_template_sets_are_settings() -> None:
    """A name that Holdfast does not know would be ignored."""
    names = set(re.findall(r"HOLDFAST_[A-Z_]+", (CHART / "templates" / "deployment.yaml").read_text()))
    assert {name.removeprefix("HOLDFAST_").lower() for name in names} <= OF_THE_CHART


def test_the_version_is_that_of_the_project() -> None:
    """The image's default tag is the version of what is in it."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["appVersion"] == project == version("holdfast")


def test_every_value_is_in_the_schema_and_has_a_default() -> None:
    """Issue 7.5: values.yaml shows all there is."""

    def names(schema: dict[str, Any], path: str = "") -> set[str]:
        found = {path} if path else set()
        if path == "settings":
            return found
        for name, child in schema.get("properties", {}).items():
            found |= names(child, f"{path}.{name}".lstrip("."))
        return found

    def given(values: object, schema: dict[str, Any], path: str = "") -> set[str]:
        found = {path} if path else set()
        if isinstance(values, dict) and "properties" in schema:
            for name, child in values.items():
                found |= given(child, schema["properties"][name], f"{path}.{name}".lstrip("."))
        return found

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert names(values_schema()) - given(values, values_schema()) == {"global", "resources.claims"}
