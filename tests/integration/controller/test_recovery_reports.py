"""What a start says of itself, on the real API server (requirements 7.1-7.4)."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.integration.controller.jobs import Jobs
from tests.integration.controller.reports import REPORTS, Reports, phases
from tests.integration.controller.running_controller import RunningController


@pytest.fixture
def reports(plane_http: httpx.Client) -> Reports:
    return Reports(plane_http)


def test_a_start_is_reported(controller: RunningController, jobs: Jobs, reports: Reports) -> None:
    """7.1: phases in the order of their dependencies with their durations, counts, names, how the last stop was."""
    jobs.queue("narrow", concurrency=1)
    jobs.shell("runs", "sleep 60", queue="narrow", gracePeriod="1s")
    jobs.running("runs")
    jobs.create("waits", queue="narrow")
    jobs.phase("waits", "Queued")
    known = reports.names()
    controller.restart()
    status = reports.after(known, "Complete")["status"]
    names = [phase["name"] for phase in status["phases"]]
    assert names[0] == "integrity" and names[-3:] == ["callbacks", "orphans", "steady"]
    assert set(phases({"status": status}).values()) == {"Done"}
    assert status["counts"]["reattached"] >= 1 and status["counts"]["recovered"] >= 1
    listed = {each["outcome"]: each["names"] for each in status["names"]}
    assert f"{jobs.namespace}/runs" in listed["reattached"] and f"{jobs.namespace}/waits" in listed["recovered"]
    assert status["previousStop"]["clean"] is False and "at" in status["previousStop"]
    assert status["finishedAt"] > status["startedAt"] and status["duration"] and status["bootId"] and status["host"]
    assert [c["status"] for c in status["conditions"] if c["type"] == "Complete"] == ["True"]
    assert controller.metric('holdfast_recoveries_total{result="Complete"}') == 1
    assert controller.metric('holdfast_recovery_objects{outcome="reattached"}') == status["counts"]["reattached"]
    assert controller.metric("holdfast_recovery_running") == 0
    assert controller.metric("holdfast_recovery_report_writes_total") <= 12


def test_a_clean_stop_is_told_from_a_crash(controller: RunningController, reports: Reports) -> None:
    """7.1, 7.9: previous stop clean or not and how long ago; the mark speaks of one stop only."""
    known = reports.names()
    assert controller.terminate(timeout=20) == 0
    controller.start()
    stop = reports.after(known, "Complete")["status"]["previousStop"]
    assert stop["clean"] is True and stop["secondsAgo"] < 60 and stop["rebooted"] is False
    known = reports.names()
    controller.restart()
    assert reports.after(known, "Complete")["status"]["previousStop"]["clean"] is False


def test_an_open_report_is_closed_by_the_next_start(controller: RunningController, reports: Reports) -> None:
    """7.2: a start that did not finish is found by its report, marked Aborted, and its work done again."""
    name = reports.after([], "Complete")["metadata"]["name"]
    controller.kill()
    known = reports.names()
    url = f"{REPORTS}/{name}/status"
    merge = {"Content-Type": "application/merge-patch+json"}
    reports.http.patch(url, content=json.dumps({"status": {"result": "Running"}}), headers=merge).raise_for_status()
    controller.start()
    reports.after(known, "Complete")
    assert reports.get(name)["status"]["result"] == "Aborted"
    assert controller.metric('holdfast_recoveries_total{result="Aborted"}') == 1
