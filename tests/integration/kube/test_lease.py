"""The Lease on the real API server: take-over after a release, after silence, and never two at once (10.5)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from controller.kube.client import Api
from controller.kube.errors import NotFound
from controller.kube.lease import LOOK_SECONDS, RENEW_SHARE, Lease, LeaseLost, NotLeading
from controller.telemetry.metrics import Metrics
from tests.eventually import eventually
from tests.integration.kube.users import allowed, connected
from tests.running_plane import RunningPlane

DURATION, REQUEST = 4.0, 1.0  # seconds: a Lease counts whole ones
KEPT = 10.0  # of one whose leader is to stay one, also where this process stands still for some seconds
LONG = 600.0  # of one that does not run out before a test is over
LIMIT = 60.0  # of every wait
Make = Callable[..., Lease]


@pytest.fixture
def others_metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def other(plane: RunningPlane, others_metrics: Metrics) -> AsyncIterator[Api]:
    """A connection of somebody else."""
    async with await Api.connect(plane.kubeconfig, others_metrics, version="other") as made:
        yield made


@pytest.fixture
def make(client: Api, other: Api) -> Make:
    """Candidates for one Lease that nobody used before."""
    name = f"lease-{uuid4().hex[:8]}"

    def candidate(identity: str, duration: float = DURATION) -> Lease:
        return Lease({"a": client}.get(identity, other), "default", name, identity, duration, REQUEST)

    return candidate


def looks(metrics: Metrics) -> float:
    labels = {"verb": "get", "kind": "Lease", "code": "2xx"}
    return metrics.registry.get_sample_value("holdfast_api_requests_total", labels) or 0.0


async def test_a_released_lease_is_taken_at_once(make: Make, others_metrics: Metrics) -> None:
    """10.5: under two seconds after a clean stop; the one that let go writes nothing any more."""
    first, second = make("a", LONG), make("b", LONG)
    await asyncio.wait_for(first.acquire(), LIMIT)
    standing_by = asyncio.create_task(second.acquire())
    await eventually(lambda: second.holder == "a")
    first.check()
    await first.release()
    before = looks(others_metrics)
    with pytest.raises(NotLeading):
        first.check()
    await asyncio.wait_for(standing_by, LIMIT)
    assert looks(others_metrics) - before <= 2 and 2 * LOOK_SECONDS < 2, "one may have been under way"
    second.check()


async def test_a_silent_leader_is_waited_for(make: Make) -> None:
    """10.5: after a crash the next one leads when the lease has run out, and not before; the old one has stopped."""
    first, second = make("a", KEPT), make("b", KEPT)
    await asyncio.wait_for(first.acquire(), LIMIT)
    keeping = asyncio.create_task(first.keep())
    standing_by = asyncio.create_task(second.acquire())
    done, _ = await asyncio.wait({standing_by, keeping}, timeout=KEPT + 2 * REQUEST + 1)
    assert not done and first.leads, "it renews, and nobody takes it away"
    keeping.cancel()
    last = first._renewed_at
    await asyncio.wait_for(standing_by, LIMIT)
    assert last is not None and time.clock_gettime(time.CLOCK_BOOTTIME) - last >= KEPT + REQUEST
    assert not first.leads
    with pytest.raises(LeaseLost, match="b holds it"):
        await asyncio.wait_for(first.keep(), LIMIT)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_the_clock_of_another_machine_says_nothing(make: Make, client: Api, hours: int) -> None:
    """10.5, "clock skew between replicas": what the holder wrote as its time is neither too old nor too new for us."""
    first, second = make("a"), make("b", LONG)
    await asyncio.wait_for(first.acquire(), LIMIT)
    skewed = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    times = {"renewTime": skewed, "acquireTime": skewed}
    await client.patch("Lease", "default", first.name, {"spec": times})
    began = time.monotonic()
    await asyncio.wait_for(second.acquire(), LIMIT)
    assert time.monotonic() - began >= DURATION + REQUEST - 0.1, "seen unchanged for all of its duration"
    second.check()


async def test_who_cannot_renew_gives_up_in_time(
    plane: RunningPlane, plane_http: httpx.Client, metrics: Metrics
) -> None:
    """10.5: the API server takes no renewal (the right is gone): writing stops before the lease has run out."""
    user = f"renewer-{uuid4().hex[:8]}"
    async with connected(plane, metrics, user=user) as api:
        lease = Lease(api, "default", user, user, DURATION, REQUEST)
        with allowed(plane_http, user):
            await asyncio.wait_for(lease.acquire(), LIMIT)
        with pytest.raises(LeaseLost, match="cannot patch"):
            await asyncio.wait_for(lease.keep(), LIMIT)
        labels = {"verb": "patch", "kind": "Lease", "code": "4xx"}
        refused = metrics.registry.get_sample_value("holdfast_api_requests_total", labels)
        # Counted and not timed: the right goes some time after its binding, and until then it is renewed.
        assert refused is not None and (refused - 1) * DURATION * RENEW_SHARE < DURATION - REQUEST
        with pytest.raises(NotLeading):
            lease.check()


async def test_a_deleted_lease_makes_no_second_leader(make: Make, client: Api) -> None:
    """10.5: `kubectl delete lease` under a leader: it makes it anew and leads on, and nobody else ever does."""
    first, second = make("a", KEPT), make("b", KEPT)
    await asyncio.wait_for(first.acquire(), LIMIT)
    keeping = asyncio.create_task(first.keep())
    standing_by = asyncio.create_task(second.acquire())
    await eventually(lambda: second.holder == "a")
    for _ in range(2):
        uid = (await client.get("Lease", "default", first.name))["metadata"]["uid"]
        await client.delete("Lease", "default", first.name, uid)
        await eventually(lambda: _is_another(client, first.name, uid))  # noqa: B023  awaited in this turn
        assert first.leads and not second.leads and not standing_by.done()
    keeping.cancel()
    await asyncio.wait_for(standing_by, LIMIT)
    assert not first.leads


async def test_a_lease_deleted_after_its_leader_died_runs_out(make: Make, client: Api) -> None:
    """10.5: nobody makes it anew; who stood by leads once the dead one could have written last."""
    first, second = make("a"), make("b", LONG)
    await asyncio.wait_for(first.acquire(), LIMIT)
    standing_by = asyncio.create_task(second.acquire())
    await eventually(lambda: second.holder == "a")
    uid = (await client.get("Lease", "default", first.name))["metadata"]["uid"]
    await client.delete("Lease", "default", first.name, uid)
    deleted = time.monotonic()
    await asyncio.wait_for(standing_by, LIMIT)
    assert time.monotonic() - deleted >= DURATION + REQUEST - 0.1
    assert second.leads and not first.leads


async def test_a_lease_deleted_and_taken_by_another_is_lost(make: Make, client: Api) -> None:
    """10.5: whoever came meanwhile leads; the one before ends."""
    first, second = make("a", 3 * KEPT), make("b", 3 * KEPT)  # nobody renews the second one's
    await asyncio.wait_for(first.acquire(), LIMIT)
    uid = (await client.get("Lease", "default", first.name))["metadata"]["uid"]
    await client.delete("Lease", "default", first.name, uid)
    await asyncio.wait_for(second.acquire(), LIMIT)  # it never saw the first one: it has only just started
    with pytest.raises(LeaseLost, match="b holds it"):
        await asyncio.wait_for(first.keep(), LIMIT)
    second.check()


async def _is_another(client: Api, name: str, uid: str) -> bool:
    try:
        return bool((await client.get("Lease", "default", name))["metadata"]["uid"] != uid)
    except NotFound:
        return False


async def test_no_write_without_a_valid_lease(make: Make, client: Api) -> None:
    """10.5: reads go on, for a store that is warm; a write is not sent."""
    lease = make("a")
    client.guard = lease.check
    try:
        await client.list("Namespace")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"x-{uuid4().hex[:8]}"}}
        with pytest.raises(NotLeading):
            await client.create("ConfigMap", "default", body)
    finally:
        client.guard = None


async def test_many_candidates_and_one_leader(make: Make) -> None:
    """10.5: created at once by all of them; one gets it, and one after the other when it is let go."""
    candidates = [make(name, LONG) for name in "abcde"]
    waiting = {asyncio.create_task(each.acquire()): each for each in candidates}
    led = []
    while waiting:
        done, _ = await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1, "two at once, or nobody"
        leader = waiting.pop(done.pop())
        assert [each.leads for each in candidates].count(True) == 1
        led.append(leader)
        await leader.release()
    assert len(led) == len(candidates)
