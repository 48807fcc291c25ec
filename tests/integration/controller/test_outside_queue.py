"""Jobs in Pods that name an outside queue such as Kueue, beside a JobQueue that is full (issue 7, item 3).

No node is needed to see who may start: a Job that nobody runs holds its slot for as long as it takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from controller.api.outside import QUEUE_LABEL
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon
from tests.outside_queue import OutsideQueue

POD: dict[str, Any] = {"image": "busybox"}
TEAM: dict[str, Any] = {**POD, "labels": {QUEUE_LABEL: "team"}}


@pytest.fixture
def controller(other_controller: OtherController) -> RunningController:
    made = other_controller({"HOLDFAST_EXECUTORS": "Pod", "HOLDFAST_MAX_RUNNING": "1"})
    made.start()
    return made


@pytest.fixture
def team(plane_http: httpx.Client, namespace: str) -> Iterator[OutsideQueue]:
    made = OutsideQueue(plane_http, namespace)
    made.install()
    yield made
    made.remove()


def counts(jobs: Jobs, **expected: int) -> None:
    def look() -> bool:
        status = jobs.get("full", "jobqueues").get("status") or {}
        found = {name: status.get(name) for name in expected}
        assert found == expected, status
        return True

    soon(look, f"the queue tells {expected}")


def test_they_take_no_slot_and_wait_for_none(controller: RunningController, jobs: Jobs, team: OutsideQueue) -> None:
    """2.3: also across a crash of the controller and a status that is wiped; the slot's next owner waits for it."""
    jobs.queue("full", concurrency=1)
    jobs.create("holds", queue="full", pod=POD)
    jobs.phase("holds", "Starting")
    for name in ("first", "second"):
        jobs.create(name, queue="full", pod=TEAM)
    jobs.create("next", queue="full", pod=POD)
    for name in ("first", "second"):
        found = jobs.phase(name, "Waiting", reason="Suspended")
        assert found["status"]["attempt"]["outsideQueue"] == "team"
    assert team.held() == {"first": "team", "second": "team"}
    counts(jobs, running=1, outside=2, pending=1)
    outside = f'holdfast_queue_outside{{queue="{jobs.namespace}/full"}}'
    soon(lambda: controller.metric(outside) == 2, "the gauge tells it")

    controller.kill()
    jobs.wipe("second")
    controller.start()
    jobs.phase("second", "Waiting", reason="Suspended")
    counts(jobs, running=1, outside=2, pending=1)

    jobs.patch("first", {"pod": POD})
    jobs.create("third", queue="full", pod=TEAM)
    jobs.phase("third", "Waiting", reason="Suspended")
    counts(jobs, running=1, outside=3, pending=1)
    line = queue_line(controller, jobs)
    assert [job["name"] for job in line["waiting"]] == ["next"]
    assert [(job["name"], job["outsideQueue"]) for job in line["heldOutside"]] == [
        ("first", "team"),
        ("second", "team"),
        ("third", "team"),
    ]

    jobs.patch("holds", {"cancel": True})
    jobs.phase("next", "Starting")
    for name in ("first", "second", "third"):
        jobs.patch(name, {"cancel": True})
        jobs.finished(name, "Canceled")
    counts(jobs, running=1, outside=0, pending=0)


def test_a_pause_holds_them_back(controller: RunningController, jobs: Jobs, team: OutsideQueue) -> None:
    """2.4: it is a person's order, and no limit."""
    jobs.queue("full", concurrency=1, paused=True)
    jobs.create("waits", queue="full", pod=TEAM)
    waiting = jobs.phase("waits", "Queued")
    assert "estimatedStartTime" not in waiting["status"]
    counts(jobs, running=0, pending=1)
    assert team.held() == {}
    jobs.patch("full", {"paused": False}, plural="jobqueues")
    jobs.phase("waits", "Waiting", reason="Suspended")
    counts(jobs, running=0, outside=1, pending=0)


def queue_line(controller: RunningController, jobs: Jobs) -> dict[str, Any]:
    """What `holdfast queue` says of the full queue."""
    argv = [sys.executable, "-m", "controller.cli.main", "queue", "full", f"--namespace={jobs.namespace}"]
    env = {**os.environ, **controller.settings}
    text = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "3 started without a slot, by outside queues" in text and "outside queue team" in text
    argv += ["--output=json"]
    return dict(json.loads(subprocess.run(argv, env=env, capture_output=True, timeout=60, check=True).stdout)[0])
