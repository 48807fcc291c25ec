"""What a start says of itself, on the real API server (requirements 7.1-7.4)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import httpx
import pytest

from controller.recovery.binding import LOCK
from controller.repositories.places import FENCE, Places
from controller.telemetry.components import NAMES
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs, condition_of
from tests.integration.controller.reports import REPORTS, Reports, phases
from tests.integration.controller.repositories import Repositories
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon


@pytest.fixture
def reports(plane_http: httpx.Client) -> Reports:
    return Reports(plane_http)


def test_a_start_is_reported(controller: RunningController, jobs: Jobs, reports: Reports) -> None:
    """7.1: phases in the order of their dependencies with their durations, counts, names, how the last stop was."""
    jobs.queue("narrow", concurrency=1)
    jobs.shell("runs", "sleep 300", queue="narrow", gracePeriod="1s")
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
    assert controller.terminate(timeout=60) == 0
    controller.start()
    stop = reports.after(known, "Complete")["status"]["previousStop"]
    assert stop["clean"] is True and stop["secondsAgo"] < 300 and stop["rebooted"] is False
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


def test_the_startup_log(controller: RunningController, reports: Reports) -> None:
    """7.1: GET /startup-log has this start and those before, newest first, also without asking the API server."""
    known = reports.names()
    controller.restart()
    report = reports.after(known, "Complete")
    status, page = controller.page("/startup-log")
    assert status == 200
    assert page["items"][0]["name"] == report["metadata"]["name"] and page["items"][0]["result"] == "Complete"
    names = [each["name"] for each in page["items"]]
    assert names == sorted(names, reverse=True) and len(names) > 1


def test_only_the_last_twenty_are_kept(controller: RunningController, reports: Reports) -> None:
    """7.1: the last 20 are kept; reports of another state directory are not ours."""
    state_id = reports.after([], "Complete")["spec"]["stateId"]
    controller.kill()
    for number in range(25):
        reports.make(f"start-20200101-000000-{number:03d}-aaaa", state_id)
    reports.make("start-20200101-000000-999-bbbb", "another")
    known = reports.names()
    controller.start()
    newest = reports.after(known, "Complete")["metadata"]["name"]
    soon(lambda: len(reports.of(state_id)) <= 20, "the old ones are removed")
    assert newest in reports.of(state_id) and "start-20200101-000000-999-bbbb" in reports.names()
    reports.remove("start-20200101-000000-999-bbbb")


def test_health_tells_of_every_component(controller: RunningController) -> None:
    """9.4: components with real checks behind them; the page wants the token."""

    def well() -> Any:
        status, page = controller.page("/health")
        return page if (status, page["state"]) == (200, "ok") else None

    page = soon(well, "all is well")
    assert list(page["components"]) == list(NAMES)
    assert {one["state"] for one in page["components"].values()} == {"ok"}
    assert "bytes free" in page["components"]["disk"]["message"]
    lock = controller.home / LOCK
    lock.rename(lock.with_suffix(".away"))
    status, page = controller.page("/health")
    assert (status, page["components"]["leader"]["state"]) == (503, "failed")
    assert controller.healthz()[0] == 200
    lock.with_suffix(".away").rename(lock)
    soon(well, "all is well again")


def test_what_cannot_be_looked_at_degrades_and_heals(
    other_controller: OtherController, jobs: Jobs, repositories: Repositories, reports: Reports
) -> None:
    """7.3: a phase that fails leaves what does not depend on it working, is told, and heals without a restart."""
    one = other_controller()
    one.start()
    repositories.ready("shop")
    fence = Places(one.home).repository(jobs.namespace, "shop") / FENCE
    soon(fence.exists, "it has a fence")
    one.kill()
    fence.rename(fence.with_name("kept"))
    fence.mkdir()
    known = reports.names()
    one.start()
    jobs.create("plain")
    jobs.finished("plain", "Succeeded")
    report = reports.after(known, "Degraded")
    told = phases(report)
    assert (told["locks"], told["attempts"], told["queue"]) == ("Failed", "Degraded", "Degraded")
    assert [c["status"] for c in report["status"]["conditions"] if c["type"] == "Degraded"] == ["True"]
    commands = [action["command"] for action in report["status"]["recommendedActions"]]
    assert f"holdfast repo -n {jobs.namespace} shop" in commands
    assert one.metric('holdfast_recovery_phase_failed{phase="locks"}') == 1
    soon(lambda: one.metric('holdfast_degraded{reason="RecoveryFailed"}') == 1, "the metric says so")
    _, page = one.page("/health")
    assert page["components"]["recovery"]["state"] == "degraded"
    fence.rmdir()
    fence.with_name("kept").rename(fence)
    jobs.patch("shop", {"refreshRequestedAt": "2026-01-01T00:00:00Z"}, "repositories")
    healed = reports.after(known, "Complete")
    assert set(phases(healed).values()) == {"Done"}
    soon(lambda: one.metric('holdfast_degraded{reason="RecoveryFailed"}') == 0, "the metric says so")
    assert one.metric("holdfast_recovery_report_writes_total") <= 12


@pytest.mark.parametrize(
    ("host", "queue"), [("0.5", {}), ("0", {"admission": {"ramp": {"newPerSecond": 0.5}}})], ids=["host", "queue"]
)
def test_work_ramps_up_after_a_restart(
    other_controller: OtherController, jobs: Jobs, host: str, queue: dict[str, Any]
) -> None:
    """7.4: jobs that waited start one after the other at first, in their order; without a restart all at once.

    The queue says why its jobs wait, and that it is over. A queue with a ramp of its own keeps no other one waiting.
    """
    one = other_controller({"HOLDFAST_RAMP_NEW_PER_SECOND": host})
    one.start()
    names = [f"waits-{number}" for number in range(4)]
    jobs.queue("line", paused=True, **queue)
    jobs.queue("other", paused=True)
    jobs.shell("runs", "sleep 300", gracePeriod="1s")
    jobs.running("runs")
    for name in names:
        jobs.create(name, queue="line")
    jobs.create("elsewhere", queue="other")
    jobs.phase("elsewhere", "Queued")
    one.kill()
    for name in ("line", "other"):
        jobs.patch(name, {"paused": False}, "jobqueues")
    size = one.log_size()
    one.start()
    soon(lambda: ramping(jobs, "line") == "True", "the queue says why its jobs wait")
    began = next(entry["time"] for entry in one.log_lines(size) if entry.get("event") == "books are filled")
    admitted = [datetime.fromisoformat(jobs.finished(name)["status"]["attempt"]["admittedAt"]) for name in names]
    seconds = [(moment - datetime.fromisoformat(began)).total_seconds() for moment in admitted]
    assert seconds == sorted(seconds)
    # Half a start per second, twice as many after each 2 s. A controller that stood still begins later, never earlier.
    assert all(late >= least for late, least in zip(seconds, (0.85, 2.05, 2.9, 3.55), strict=True)), seconds
    soon(lambda: ramping(jobs, "line") == "False", "nobody waits any more")
    jobs.finished("elsewhere")
    assert not queue or ramping(jobs, "other") is None


def ramping(jobs: Jobs, name: str) -> str | None:
    condition = condition_of(jobs.get(name, "jobqueues"), "Ramping")
    return condition["status"] if condition is not None else None
