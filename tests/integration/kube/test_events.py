"""Kubernetes Events (requirements 1.1, 10.1; issue 3: Events that tell the story of a job)."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from controller.api.keys import API_VERSION
from controller.kube.client import Api
from controller.kube.events import BURST_PER_OBJECT, MAX_MESSAGE, MAX_PENDING, Recorder, Reference
from controller.telemetry.metrics import Metrics
from tests.integration.kube.objects import batch_job


@pytest.fixture
async def about(client: Api, namespace: str) -> Reference:
    made = await client.create("BatchJob", namespace, batch_job("a"))
    return Reference(API_VERSION, "BatchJob", namespace, "a", made["metadata"]["uid"])


@pytest.fixture
async def recorder(client: Api, metrics: Metrics) -> AsyncIterator[Recorder]:
    made = Recorder(client, metrics)
    yield made
    await made.flush(5)


async def events(client: Api, about: Reference) -> list[dict[str, Any]]:
    return (await client.list("Event", about.namespace, field_selector=f"involvedObject.uid={about.uid}")).items


def count(metrics: Metrics, outcome: str) -> float:
    return metrics.registry.get_sample_value("holdfast_kubernetes_events_total", {"outcome": outcome}) or 0.0


async def test_describe_shows_the_story(
    recorder: Recorder, about: Reference, kubectl: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Requirement 1.1: `kubectl describe` shows Events that tell the story."""
    recorder.start()
    recorder.record(about, "Normal", "Started", "attempt 1 runs as process 4711")
    recorder.record(about, "Warning", "Failed", "the command ended with exit code 7")
    assert await recorder.flush(60)
    told = kubectl("describe", "batchjob", "a").stdout
    assert "attempt 1 runs as process 4711" in told and "exit code 7" in told and "holdfast" in told


async def test_repetitions_are_one_event_with_a_count(
    client: Api, recorder: Recorder, about: Reference, metrics: Metrics
) -> None:
    """Design 2: aggregated, also across a restart of the controller."""
    for number in range(3):
        recorder.record(about, "Warning", "Retry", f"try {number}")
    recorder.start()
    assert await recorder.flush(60)
    assert count(metrics, "posted") == 1 and count(metrics, "aggregated") == 2
    later = Recorder(client, metrics)
    later.start()
    later.record(about, "Warning", "Retry", "after the restart")
    assert await later.flush(60)
    (event,) = await events(client, about)
    assert (event["count"], event["message"]) == (4, "after the restart")


async def test_an_event_that_expired_is_made_again(client: Api, recorder: Recorder, about: Reference) -> None:
    """Events live one hour; a story goes on after it."""
    recorder.start()
    recorder.record(about, "Normal", "Queued", "once")
    assert await recorder.flush(60)
    (event,) = await events(client, about)
    await client.delete("Event", about.namespace, event["metadata"]["name"], event["metadata"]["uid"])
    recorder.start()
    recorder.record(about, "Normal", "Queued", "twice")
    assert await recorder.flush(60)
    (event,) = await events(client, about)
    assert event["message"] == "twice"


async def test_one_object_cannot_flood(recorder: Recorder, about: Reference, metrics: Metrics) -> None:
    """Design 2: rate-limited per object; what is over is counted."""
    for number in range(BURST_PER_OBJECT + 5):
        recorder.record(about, "Normal", f"Reason{number}", "x")
    assert count(metrics, "dropped") == 5


async def test_the_queue_is_bounded(recorder: Recorder, metrics: Metrics) -> None:
    """Design 2: best effort; memory does not grow while the API server is away."""
    for number in range(MAX_PENDING + 7):
        recorder.record(Reference(API_VERSION, "BatchJob", "ns", "a", f"u{number}"), "Normal", "Queued", "x")
    assert count(metrics, "dropped") == 7
    assert not await recorder.flush(0.01)


async def test_long_messages_and_names_are_cut(client: Api, recorder: Recorder, namespace: str) -> None:
    """The API server refuses messages over 1,024 characters and names over 253."""
    name = "n" * 253
    uid = (await client.create("BatchJob", namespace, batch_job(name)))["metadata"]["uid"]
    about = Reference(API_VERSION, "BatchJob", namespace, name, uid)
    recorder.start()
    recorder.record(about, "Normal", "Long", "m" * 5000)
    assert await recorder.flush(60)
    (event,) = await events(client, about)
    assert len(event["message"]) == MAX_MESSAGE


async def test_a_namespace_that_is_gone_costs_only_the_event(
    recorder: Recorder, about: Reference, metrics: Metrics
) -> None:
    """Design 2: best effort; the next Event goes out."""
    recorder.start()
    recorder.record(about._replace(namespace="no-such-namespace"), "Normal", "Lost", "x")
    recorder.record(about, "Normal", "Kept", "x")
    assert await recorder.flush(60)
    assert count(metrics, "failed") == 1 and count(metrics, "posted") == 1


async def test_an_api_server_that_is_away_does_not_hold_the_stop(tmp_path: Path) -> None:
    """Requirement 7.9: exit within the grace period."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "current-context: x\nusers: [{name: x, user: {}}]\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
        "clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]\n"
    )
    metrics = Metrics()
    async with await Api.connect(kubeconfig, metrics) as nowhere:
        recorder = Recorder(nowhere, metrics)
        recorder.start()
        recorder.record(Reference(API_VERSION, "BatchJob", "ns", "a", "u"), "Normal", "Queued", "x")
        assert not await recorder.flush(0.3)
    assert count(metrics, "dropped") == 1
