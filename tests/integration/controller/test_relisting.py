"""A watch that begins anew, and a re-check, tell jobs by name; they start in the order of their creation (2.1)."""

from __future__ import annotations

import os
import signal

from controller.executors.process.identity import send
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.test_world import component, served
from tests.integration.controller.waits import soon
from tests.running_plane import RunningPlane

MANY = 150


def test_jobs_made_while_no_watch_was_open(other_controller: OtherController, jobs: Jobs, plane: RunningPlane) -> None:
    """2.1: the API server comes back, jobs are made whose names sort the other way, and only then the watch comes.

    A re-check is always due: it finds the jobs before the watch has noticed that it was cut.
    """
    controller = other_controller({"HOLDFAST_RELIST_SECONDS": "0.1"})
    controller.start()
    jobs.queue("one", concurrency=1)
    assert controller.child is not None
    os.kill(controller.child.pid, signal.SIGSTOP)
    try:
        server = component(plane, "apiserver")
        assert send(server, signal.SIGKILL)
        soon(lambda: component(plane, "apiserver") != server and served(jobs), "the API server is back")
        names = [f"job-{MANY - number:03}" for number in range(MANY)]
        for name in names:
            jobs.create(name, queue="one")
    finally:
        os.kill(controller.child.pid, signal.SIGCONT)
    for name in reversed(names):
        jobs.finished(name, "Succeeded", timeout=120)
    admitted = {each["metadata"]["name"]: each["status"]["attempt"]["admittedAt"] for each in jobs.all()}
    assert sorted(names, key=lambda name: admitted[name]) == names
