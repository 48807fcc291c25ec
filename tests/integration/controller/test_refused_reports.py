"""A RecoveryReport that the API server does not take: recovery goes on, says so, and heals (requirements 7.1, 7.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controller.api.recoveryreport import RecoveryReport
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.reports import Reports, phases
from tests.integration.controller.rights import GROUP, WORK, Rights, rule
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon
from tests.running_plane import RunningPlane

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PLURAL = RecoveryReport.names.plural
HEALS_SECONDS = 120.0


@pytest.fixture
def reports(plane_http: httpx.Client) -> Reports:
    return Reports(plane_http)


@pytest.fixture
def rights(plane_http: httpx.Client, namespace: str) -> Iterator[Rights]:
    made = Rights(plane_http, namespace)
    yield made
    made.remove()


def refused(one: RunningController, reason: str) -> None:
    """Log, metric and /health say so, and the recovery is over all the same."""

    def told() -> bool:
        _, page = one.page("/health")
        assert page["components"]["recovery"]["state"] == "degraded", page["components"]["recovery"]
        return PLURAL in page["components"]["recovery"]["message"]

    soon(told, "/health says so")
    assert one.metric("holdfast_recovery_report_refused") == 1
    soon(lambda: one.metric('holdfast_recoveries_total{result="Complete"}') == 1, "the recovery is over")
    events = [entry for entry in one.log_lines() if "cannot be written" in str(entry.get("event"))]
    assert events and events[-1]["reason"] == reason
    assert one.page("/startup-log")[1]["items"][0]["result"] == "Complete"


def healed(one: RunningController, reports: Reports, known: list[str]) -> None:
    """The same start is reported as a whole."""

    def complete() -> bool:
        new = [each for each in reports.all() if each["metadata"]["name"] not in known]
        return bool(new) and new[-1].get("status", {}).get("result") == "Complete"

    soon(complete, "the report is written", HEALS_SECONDS)
    assert set(phases(reports.newest()).values()) == {"Done"}
    soon(lambda: one.metric("holdfast_recovery_report_refused") == 0, "the metric says so")
    assert one.page("/health")[1]["components"]["recovery"]["state"] == "ok"
    assert one.alive


def test_without_the_right_to_write_reports(
    other_controller: OtherController,
    jobs: Jobs,
    reports: Reports,
    rights: Rights,
    plane: RunningPlane,
    tmp_path: Path,
) -> None:
    """7.3: creation, then the writes of the status are forbidden (403); the rights come back, nobody restarts."""
    rights.allow("work", *WORK)
    rights.allow("look", rule(GROUP, PLURAL, verbs=("get", "list")))
    kubeconfig = rights.kubeconfig(plane.kubeconfig, tmp_path / "limited")
    one = other_controller({"HOLDFAST_KUBECONFIG": str(kubeconfig)})
    known = reports.names()
    one.start()
    jobs.create("plain")
    jobs.finished("plain", "Succeeded")
    refused(one, "Forbidden")
    assert reports.names() == known
    rights.allow("create", rule(GROUP, PLURAL))
    soon(lambda: reports.names() != known, "it is created", HEALS_SECONDS)
    refused(one, "Forbidden")
    assert not reports.newest().get("status")
    rights.allow("status", rule(GROUP, f"{PLURAL}/status"))
    healed(one, reports, known)


def test_without_the_kind_of_reports(
    other_controller: OtherController, jobs: Jobs, reports: Reports, plane_http: httpx.Client
) -> None:
    """7.3: the CRD of RecoveryReport is missing (404); it comes, and nobody restarts."""
    url = f"{CRDS}/{PLURAL}.{GROUP}"
    crd = plane_http.get(url).raise_for_status().json()
    one = other_controller()
    plane_http.delete(url).raise_for_status()
    try:
        soon(lambda: plane_http.get(url).status_code == 404, "the CRD is gone")
        one.start()
        jobs.create("plain")
        jobs.finished("plain", "Succeeded")
        refused(one, "NotServed")
    finally:
        meta = {key: crd["metadata"][key] for key in ("name", "annotations", "labels") if key in crd["metadata"]}
        whole = {**{key: crd[key] for key in ("apiVersion", "kind", "spec")}, "metadata": meta}
        plane_http.post(CRDS, json=whole).raise_for_status()
    soon(lambda: reports.http.get(f"/apis/{GROUP}/v1alpha1/{PLURAL}").status_code == 200, "the CRD is served")
    healed(one, reports, [])
