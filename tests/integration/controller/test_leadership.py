"""Two controllers, one of which acts: take-over after a crash, a stop and a pause (requirement 10.5).

Both run on this machine, each with a state directory of its own, and nobody's attempts are under way when the lead
changes: what a host's processes are to another host is the matter of the Pod executor.
"""

from __future__ import annotations

import time
from datetime import datetime
from uuid import uuid4

import httpx
import pytest

from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import PATIENCE, soon
from tests.running_plane import RunningPlane

LEASE_SECONDS = 20  # a leader that stands still for a moment keeps it; a call may take a fifth of it
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


def told(http: httpx.Client, name: str, field: str) -> str:
    """What the Lease says: holderIdentity, renewTime, acquireTime."""
    found: str = http.get(f"{LEASES}/{name}").raise_for_status().json()["spec"][field]
    return found


def holder(http: httpx.Client, name: str) -> str:
    """Who holds the Lease."""
    return told(http, name, "holderIdentity")


def takes_over(controller: RunningController, jobs: Jobs) -> None:
    """Wait until a job that is made now has run."""
    name = f"job-{uuid4().hex[:8]}"
    jobs.create(name)
    jobs.finished(name, "Succeeded")
    assert leads(controller)


def test_take_over_after_a_crash(pair: Pair, jobs: Jobs, plane_http: httpx.Client, lease_name: str) -> None:
    """10.5: the standby acts when the lease has run out, and not before."""
    first, second = pair
    jobs.create("before")
    jobs.finished("before", "Succeeded")
    first.kill()
    renewed = _seconds(told(plane_http, lease_name, "renewTime"))
    takes_over(second, jobs)
    waited = _seconds(told(plane_http, lease_name, "acquireTime")) - renewed
    assert waited >= LEASE_SECONDS, "a lease that had not run out was taken"


def test_take_over_after_a_stop(pair: Pair, jobs: Jobs, plane_http: httpx.Client, lease_name: str) -> None:
    """7.9, 10.5: the lease is handed over, so the next one begins at once."""
    first, second = pair
    before = holder(plane_http, lease_name)
    assert first.terminate() == 0
    assert holder(plane_http, lease_name) != before, "it was released, and does not have to run out"
    soon(lambda: leads(second), "the second one leads", LEASE_SECONDS)
    assert holder(plane_http, lease_name) not in ("", before)
    takes_over(second, jobs)


def test_what_was_paused_writes_nothing(
    pair: Pair, jobs: Jobs, plane: RunningPlane, plane_http: httpx.Client, lease_name: str
) -> None:
    """10.5: SIGSTOP past its lease, then SIGCONT: the audit log knows no write of it after that, and it ends."""
    first, second = pair
    before = holder(plane_http, lease_name)
    assert first.child is not None
    with first.standing_still():
        takes_over(second, jobs)
        for number in range(20):  # what the paused one would want to do at once
            jobs.create(f"wanted-{number}")
        continued = time.time()
    assert first.child.wait(PATIENCE) == 1
    after = holder(plane_http, lease_name)
    assert after != before
    for number in range(20):
        jobs.finished(f"wanted-{number}", "Succeeded")
    writes = [entry for entry in plane.audit() if entry["verb"] in WRITES and entry["stage"] == "ResponseComplete"]
    ours = [entry for entry in writes if f"({before})" in entry.get("userAgent", "")]
    late = [entry for entry in ours if _seconds(entry["requestReceivedTimestamp"]) > continued]
    assert ours, "the audit log tells who wrote"
    assert not [entry for entry in late if entry["responseStatus"]["code"] < 300], late
    assert {entry["objectRef"]["resource"] for entry in late} <= {"leases"}, "only its try to renew"


def test_one_that_stands_by_tells_so(pair: Pair) -> None:
    """9.4, 10.5: it is ready, and /health says who leads."""
    _, second = pair

    def said() -> bool:
        status, found = second.page("/health")
        leader = found["components"].get("leader", {})
        assert "stands by" in leader.get("message", ""), (status, found)
        return True

    soon(said, "it stands by")


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
