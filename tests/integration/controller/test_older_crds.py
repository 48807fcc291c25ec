"""CRDs older than the controller: it does not start (issue 7, "Bad input and faults")."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.controller.conftest import OtherController
from tests.integration.controller.waits import soon
from tests.running_plane import RunningPlane

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/recoveryreports.holdfast.dev"
CRDS = Path(__file__).resolve().parents[3] / "crds"
OPENAPI = "/openapi/v3/apis/holdfast.dev/v1alpha1"
REPORT = "dev.holdfast.v1alpha1.RecoveryReport"


@pytest.fixture
def older(plane: RunningPlane, plane_http: httpx.Client) -> Iterator[Callable[[], None]]:
    """Serves a RecoveryReport without `status.phases`, as an earlier version of the CRD would be."""

    def published() -> bool:
        schemas = plane_http.get(OPENAPI).raise_for_status().json()["components"]["schemas"]
        return "phases" in schemas[REPORT]["properties"]["status"]["properties"]

    def take_away() -> None:
        field = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/phases"
        patch = json.dumps([{"op": "remove", "path": field}])
        headers = {"Content-Type": "application/json-patch+json"}
        plane_http.patch(CRD, content=patch, headers=headers).raise_for_status()
        soon(lambda: not published(), "the older schema is published")

    yield take_away
    plane.run_kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRDS}")
    soon(published, "the schema of this version is published again")


def test_it_does_not_start_and_says_which_command_helps(
    other_controller: OtherController, plane: RunningPlane, older: Callable[[], None]
) -> None:
    """Faults: it ends with the field that would be lost; after the command it starts."""
    older()
    controller = other_controller()
    child = controller.spawn()
    assert child.wait(120) == 1
    said = [entry for entry in controller.log_lines() if entry.get("reason") == "OlderCRDs"]
    assert said and "recoveryreports: status.phases" in said[0]["error"]
    command = said[0]["error"].partition("apply those of this version: kubectl ")[2]
    assert command.endswith("-f charts/holdfast/crds/")
    plane.run_kubectl(*command.replace("charts/holdfast/crds/", str(CRDS)).split())
    controller.start()
