"""A watch that begins anew, and a re-check, tell jobs by name; they start in the order of their creation (2.1)."""

from __future__ import annotations

import signal

import pytest

from controller.executors.process.identity import send
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.test_restarts import freeze, thaw
from tests.integration.controller.test_world import component, served
from tests.integration.controller.waits import soon
from tests.running_plane import RunningPlane

MANY = 150


@pytest.mark.timeout(900)
def test_jobs_made_while_no_watch_was_open(other_controller: OtherController, jobs: Jobs, plane: RunningPlane) -> None:
    """2.1: the API server comes back, jobs are made whose names sort the other way, and only then the watch comes.

    A re-check is always due: it finds the jobs before the watch has noticed that it was cut.
    """
    controller = other_controller({"HOLDFAST_RELIST_SECONDS": "0.1"})
    controller.start()
    jobs.queue("one", concurrency=1)
    freeze(controller)
    try:
        server = component(plane, "apiserver")
        assert send(server, signal.SIGKILL)
        soon(lambda: component(plane, "apiserver") != server and served(jobs), "the API server is back")
        names = [f"job-{MANY - number:03}" for number in range(MANY)]
        for name in names:
            jobs.create(name, queue="one")
    finally:
        thaw(controller)
    ended = jobs.all_finished(names, timeout=600)
    assert {ended[name]["status"]["phase"] for name in names} == {"Succeeded"}
    admitted = {each["metadata"]["name"]: each["status"]["attempt"]["admittedAt"] for each in jobs.all()}
    assert sorted(names, key=lambda name: admitted[name]) == names
