"""The client against the real API server (design 2; requirements 9.1, 10.1)."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path

import pytest

from controller.errors import Terminal, Transient, Waiting
from controller.kube.client import PAGE, Api
from controller.kube.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    NotServed,
    Unreachable,
    error_of,
)
from controller.kube.kinds import SERVED, Served
from controller.telemetry.metrics import Metrics
from tests.eventually import eventually
from tests.integration.kube.objects import batch_job
from tests.running_plane import RunningPlane


def calls(metrics: Metrics, verb: str, kind: str, code: str) -> float:
    labels = {"verb": verb, "kind": kind, "code": code}
    return metrics.registry.get_sample_value("holdfast_api_requests_total", labels) or 0.0


async def test_create_get_delete(client: Api, namespace: str, metrics: Metrics) -> None:
    """Requirement 9.1: each call is counted by verb, kind and code."""
    made = await client.create("BatchJob", namespace, batch_job("a"))
    assert (await client.get("BatchJob", namespace, "a"))["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(AlreadyExists):
        await client.create("BatchJob", namespace, batch_job("a"))
    with pytest.raises(Conflict):
        await client.delete("BatchJob", namespace, "a", "another-uid")
    await client.delete("BatchJob", namespace, "a", made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.delete("BatchJob", namespace, "a", made["metadata"]["uid"])
    assert calls(metrics, "create", "BatchJob", "2xx") == 1
    assert calls(metrics, "create", "BatchJob", "409") == 1
    assert calls(metrics, "delete", "BatchJob", "404") == 1
    assert calls(metrics, "get", "BatchJob", "2xx") == 1


async def test_a_stale_status_write_is_a_conflict(client: Api, namespace: str) -> None:
    """Design 1: at most one PATCH of /status, always with resourceVersion."""
    made = await client.create("BatchJob", namespace, batch_job("a"))
    uid, version = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    patched = await client.patch_status("BatchJob", namespace, "a", uid, version, {"phase": "Queued", "reason": "x"})
    assert patched["status"]["phase"] == "Queued"
    with pytest.raises(Conflict):
        await client.patch_status("BatchJob", namespace, "a", uid, version, {"phase": "Running"})
    newer = patched["metadata"]["resourceVersion"]
    merged = await client.patch_status("BatchJob", namespace, "a", uid, newer, {"reason": None})
    assert merged["status"] == {"phase": "Queued"}
    wiped = await client.patch_status("BatchJob", namespace, "a", uid, merged["metadata"]["resourceVersion"], None)
    assert "status" not in wiped


async def test_a_status_write_does_not_reach_another_object_of_that_name(client: Api, namespace: str) -> None:
    """Issue 3, faults: deleted and created again under the same name."""
    old = (await client.create("BatchJob", namespace, batch_job("a")))["metadata"]
    await client.delete("BatchJob", namespace, "a", old["uid"])
    await client.create("BatchJob", namespace, batch_job("a"))
    with pytest.raises(Conflict):
        await client.patch_status("BatchJob", namespace, "a", old["uid"], old["resourceVersion"], {"phase": "Running"})


async def test_gone_is_proved_only_by_a_404_that_names_the_object_or_by_another_uid(
    client: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Design 2: a bare 404 means that the kind is not served, and proves nothing."""
    uid = (await client.create("BatchJob", namespace, batch_job("a")))["metadata"]["uid"]
    assert await client.get_uncached_gone("BatchJob", namespace, "a", uid) is False
    assert await client.get_uncached_gone("BatchJob", namespace, "a", "an-older-uid") is True
    assert await client.get_uncached_gone("BatchJob", namespace, "never-made", uid) is True
    monkeypatch.setitem(SERVED, "Ghost", Served("/apis/holdfast.dev/v1alpha1", "ghosts"))
    assert await client.get_uncached_gone("Ghost", namespace, "a", uid) is None
    with pytest.raises(NotServed):
        await client.get("Ghost", namespace, "a")


async def test_nothing_is_proved_by_silence(tmp_path: Path, namespace: str) -> None:
    """Design 2: not answering is Unknown, within the time limit of a call."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "current-context": "x",
                    "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{silent.getsockname()[1]}"}}],
                    "users": [{"name": "x", "user": {}}],
                    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                }
            )
        )
        metrics, began = Metrics(), time.monotonic()
        async with await Api.connect(kubeconfig, metrics, timeout_seconds=0.3) as silent_api:
            assert await silent_api.get_uncached_gone("BatchJob", namespace, "a", "u") is None
            with pytest.raises(Unreachable, match="no answer from http://127"):
                await silent_api.get("BatchJob", namespace, "a")
        assert time.monotonic() - began < 30, "not for ever"
        assert calls(metrics, "get", "BatchJob", "unreachable") == 2


async def test_a_missing_kubeconfig_says_what_to_do(tmp_path: Path) -> None:
    """Issue 3: errors are one line that says what to do."""
    with pytest.raises(Terminal, match="holdfast up"):
        await Api.connect(tmp_path / "none", Metrics())


async def test_a_404_of_the_namespace_is_not_one_of_the_object(client: Api) -> None:
    """Design 2: the 404 has to name the object."""
    with pytest.raises(NotFound) as caught:
        await client.create("BatchJob", "no-such-namespace", batch_job("a"))
    assert not caught.value.names("batchjobs", "a")


async def test_what_the_schema_refuses_is_terminal(client: Api, namespace: str) -> None:
    """Requirement 1.2: the message names the field."""
    with pytest.raises(Invalid, match=r"spec\.priority") as caught:
        await client.create("BatchJob", namespace, batch_job("a", priority="high"))
    assert isinstance(caught.value, Terminal)


async def test_lists_are_paged_selected_exact_or_metadata_only(client: Api, namespace: str) -> None:
    """Design 2 and 4: LISTs for the first sync, the re-check and the bisection of a sequence."""
    count = PAGE + 7
    limit = asyncio.Semaphore(16)

    async def make(number: int) -> int:
        async with limit:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}"}}
            return int((await client.create("ConfigMap", namespace, body))["metadata"]["resourceVersion"])

    versions = await asyncio.gather(*(make(number) for number in range(count)))
    listing = await client.list("ConfigMap", namespace, metadata_only=True)
    names = {item["metadata"]["name"] for item in listing.items}
    assert names >= {f"c{number}" for number in range(count)}
    assert listing.resource_version >= max(versions)
    assert all("data" not in item for item in listing.items)
    selected = await client.list("ConfigMap", namespace, field_selector="metadata.name=c5")
    assert [item["metadata"]["name"] for item in selected.items] == ["c5"]
    made = await client.create("ConfigMap", namespace, {"metadata": {"name": "last"}})
    version = int(made["metadata"]["resourceVersion"])
    for at, there in ((version - 1, 0), (version, 1)):
        exact = await client.list(
            "ConfigMap",
            namespace,
            field_selector="metadata.name=last",
            resource_version=at,
            resource_version_match="Exact",
        )
        assert (len(exact.items), exact.resource_version) == (there, at)


async def test_the_audit_log_knows_us_by_our_name(client: Api, namespace: str, plane: RunningPlane) -> None:
    """Requirement 10.1: the audit log is the judge, by user agent."""
    await client.create("BatchJob", namespace, batch_job("a"))

    def seen() -> bool:
        return any(
            entry.get("userAgent") == "holdfast-controller/test"
            for entry in plane.audit()
            if (entry.get("objectRef") or {}).get("namespace") == namespace
        )

    await eventually(seen)


async def test_ready_is_asked_of_the_server(client: Api) -> None:
    """Requirement 9.4: real checks."""
    assert await client.ready()


def status(code: int, reason: str, **details: object) -> bytes:
    return json.dumps(
        {"kind": "Status", "code": code, "reason": reason, "message": "said", "details": details}
    ).encode()


@pytest.mark.parametrize(
    ("code", "headers", "body", "expected", "reaction"),
    [
        (404, {}, status(404, "NotFound", name="a", kind="batchjobs"), NotFound, Transient),
        (404, {}, b"404 page not found\n", NotServed, Transient),
        (409, {}, status(409, "Conflict"), Conflict, Transient),
        (409, {}, status(409, "AlreadyExists"), AlreadyExists, Transient),
        (410, {}, status(410, "Expired"), Expired, Transient),
        (403, {}, status(403, "Forbidden"), Forbidden, Waiting),
        (422, {}, status(422, "Invalid"), Invalid, Terminal),
        (400, {}, b"<html>", Invalid, Terminal),
        (401, {}, status(401, "Unauthorized"), Unreachable, Transient),
        (429, {"Retry-After": "7"}, b"", Unreachable, Transient),
        (500, {}, b"etcdserver: request timed out", Unreachable, Transient),
        (503, {"Retry-After": "Fri, 20 Nov 2026 12:00:00 GMT"}, b"[1]", Unreachable, Transient),
        (504, {}, status(504, "Timeout", retryAfterSeconds=3), Unreachable, Transient),
    ],
)
def test_errors_are_typed_by_reaction(
    code: int, headers: dict[str, str], body: bytes, expected: type[Exception], reaction: type[Exception]
) -> None:
    """Habit 5: one reaction for each answer; the server's Retry-After is kept."""
    error = error_of("get BatchJob /a", code, headers, body)
    assert type(error) is expected and isinstance(error, reaction)
    if isinstance(error, Unreachable):
        assert error.retry_after == {429: 7.0, 504: 3.0}.get(code)
