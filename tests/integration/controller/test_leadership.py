"""Two controllers, one of which acts: take-over after a crash, a stop and a pause (requirement 10.5).

Both run on this machine, each with a state directory of its own, and nobody's attempts are under way when the lead
changes: what a host's processes are to another host is the matter of the Pod executor.
"""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime
from uuid import uuid4

import httpx
import pytest

from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon
from tests.running_plane import RunningPlane

LEASE_SECONDS = 5
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
WRITES = {"create", "update", "patch", "delete"}
Pair = tuple[RunningController, RunningController]


@pytest.fixture
def lease_name() -> str:
    return f"lease-{uuid4().hex[:8]}"


@pytest.fixture
def pair(other_controller: OtherController, lease_name: str) -> Pair:
    """Two that are ready, the first of which leads."""
    settings = {
        "HOLDFAST_LEADER_ELECTION": "true",
        "HOLDFAST_LEASE_SECONDS": str(LEASE_SECONDS),
        "HOLDFAST_LEASE_NAME": lease_name,
    }
    first, second = other_controller(settings), other_controller(settings)
    first.start()
    soon(lambda: leads(first), "the first one leads")
    second.start()
    assert not leads(second), "ready, and standing by"
    return first, second


def leads(controller: RunningController) -> bool:
    return controller.metric("holdfast_leader") == 1


def holder(http: httpx.Client, name: str) -> str:
    """Who holds the Lease."""
    found: str = http.get(f"{LEASES}/{name}").raise_for_status().json()["spec"]["holderIdentity"]
    return found


def takes_over(controller: RunningController, jobs: Jobs, within: float) -> float:
    """Seconds until a job that was made now has run."""
    began = time.monotonic()
    name = f"job-{uuid4().hex[:8]}"
    jobs.create(name)
    jobs.finished(name, "Succeeded", timeout=within)
    assert leads(controller)
    return time.monotonic() - began


def test_take_over_after_a_crash(pair: Pair, jobs: Jobs) -> None:
    """10.5: the standby acts when the lease has run out, and not before."""
    first, second = pair
    jobs.create("before")
    jobs.finished("before", "Succeeded")
    first.kill()
    took = takes_over(second, jobs, LEASE_SECONDS + 15)
    assert took > LEASE_SECONDS / 2, "a lease that was renewed just now was taken"


def test_take_over_after_a_stop(pair: Pair, jobs: Jobs, plane_http: httpx.Client, lease_name: str) -> None:
    """7.9, 10.5: the lease is handed over, so the next one begins at once."""
    first, second = pair
    assert first.terminate() == 0
    soon(lambda: leads(second), "the second one leads", 4.0)
    assert holder(plane_http, lease_name) != ""
    takes_over(second, jobs, 15)


def test_what_was_paused_writes_nothing(
    pair: Pair, jobs: Jobs, plane: RunningPlane, plane_http: httpx.Client, lease_name: str
) -> None:
    """10.5: SIGSTOP past its lease, then SIGCONT: the audit log knows no write of it after that, and it ends."""
    first, second = pair
    before = holder(plane_http, lease_name)
    assert first.child is not None
    os.kill(first.child.pid, signal.SIGSTOP)
    try:
        takes_over(second, jobs, LEASE_SECONDS + 15)
        for number in range(20):  # what the paused one would want to do at once
            jobs.create(f"wanted-{number}")
    finally:
        continued = time.time()
        os.kill(first.child.pid, signal.SIGCONT)
    assert first.child.wait(30) == 1
    after = holder(plane_http, lease_name)
    assert after != before
    for number in range(20):
        jobs.finished(f"wanted-{number}", "Succeeded")
    told = [entry for entry in plane.audit() if entry["verb"] in WRITES and entry["stage"] == "ResponseComplete"]
    ours = [entry for entry in told if f"({before})" in entry.get("userAgent", "")]
    late = [entry for entry in ours if _seconds(entry["requestReceivedTimestamp"]) > continued]
    assert ours, "the audit log tells who wrote"
    assert not [entry for entry in late if entry["responseStatus"]["code"] < 300], late
    assert {entry["objectRef"]["resource"] for entry in late} <= {"leases"}, "only its try to renew"


def test_one_that_stands_by_tells_so(pair: Pair) -> None:
    """9.4, 10.5: it is ready, and /health says who leads."""
    _, second = pair
    status, found = second.page("/health")
    leader = found["components"]["leader"]
    assert "stands by" in leader["message"], (status, found)


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
