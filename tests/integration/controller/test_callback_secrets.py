"""Secrets of callbacks: what is missing or bad is waited for with a reason, and no value is ever told (6.2, 6.4)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.controller.conftest import OtherController
from tests.integration.controller.files import contents
from tests.integration.controller.jobs import GROUP, MERGE, Jobs
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.sinks import SECRET, SETTINGS, Sink, callbacks, deliveries, hook
from tests.integration.controller.waits import soon

OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDc2FsdA=="
TOKEN = "t0ken-of-the-receiver"


@pytest.fixture
def controller(other_controller: OtherController) -> RunningController:
    """One that may reach this machine."""
    made = other_controller(SETTINGS)
    made.start()
    return made


def set_secret(jobs: Jobs, name: str, **data: str) -> None:
    url = f"/api/v1/namespaces/{jobs.namespace}/secrets/{name}"
    assert jobs.http.patch(url, content=json.dumps({"stringData": data}), headers=MERGE).is_success


def test_bad_secrets_are_waited_for(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.2: each with its reason; nothing is sent, no try is used up; what is put right is gone on with."""
    jobs.secret("good", key=SECRET)
    jobs.secret("other-key", wrong=SECRET)
    jobs.secret("no-secret", key="hunter2")
    jobs.secret("bad-header", Authorization="two\nlines")
    bad: dict[str, tuple[str, dict[str, Any]]] = {
        "incomplete": ("SecretIncomplete", {"secretRef": {"name": "other-key", "key": "key"}}),
        "invalid": ("SecretInvalid", {"secretRef": {"name": "no-secret", "key": "key"}}),
        "headers": (
            "HeadersInvalid",
            {"secretRef": {"name": "good", "key": "key"}, "headersRef": {"name": "bad-header"}},
        ),
    }
    for name, (_, use) in bad.items():
        jobs.create(name, callbacks=[hook(sink, **use)])

    def reasons() -> dict[str, str]:
        told = {each["spec"]["job"]["name"]: each.get("status", {}).get("conditions", ()) for each in callbacks(jobs)}
        return {job: each["reason"] for job, found in told.items() for each in found if each["type"] == "Delivered"}

    soon(lambda: reasons() == {name: reason for name, (reason, _) in bad.items()}, "each says what it waits for")
    assert sink.tries == [] and all(not each["status"].get("attempts") for each in callbacks(jobs))
    assert "hunter2" not in json.dumps(callbacks(jobs)) + controller.log.read_text()
    set_secret(jobs, "other-key", key=SECRET)
    set_secret(jobs, "no-secret", key=SECRET)
    set_secret(jobs, "bad-header", Authorization=f"Bearer {TOKEN}")
    for name in bad:
        soon(lambda name=name: deliveries(jobs, name) == [("Succeeded", "Delivered")], f"{name} is delivered")  # type: ignore[misc]
    assert {each["status"]["attempts"] for each in callbacks(jobs)} == {1}


def test_a_rotated_secret_is_taken_up(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.2: the next try is signed with what the Secret holds then."""
    jobs.secret("hook", key=OTHER)
    jobs.create("one", callbacks=[hook(sink, schedule=["1s"] * 20)])
    soon(lambda: [each.get("status", {}).get("attempts", 0) > 0 for each in callbacks(jobs)] == [True], "it is refused")
    assert sink.tries == []
    set_secret(jobs, "hook", key=f"{OTHER} {SECRET}")
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Delivered")], "it is delivered")


def said_of_tries(jobs: Jobs) -> str:
    """All Events of the namespace, once both tries are among them; "" before."""
    events: str = jobs.http.get(f"/api/v1/namespaces/{jobs.namespace}/events").text
    return events if "DeliveryFailed" in events and "CallbackFailed" in events else ""


def test_secrets_are_nowhere(controller: RunningController, jobs: Jobs, sink: Sink) -> None:
    """6.4: not in a status, an Event, the audit journal or the log, also where the receiver sends back all it got."""
    sink.code, sink.echo = 500, True
    jobs.secret("hook", key=SECRET)
    jobs.secret("more", Authorization=f"Bearer {TOKEN}")
    jobs.create("one", callbacks=[hook(sink, schedule=["1s"], headersRef={"name": "more"})])
    soon(lambda: deliveries(jobs, "one") == [("Succeeded", "Failed")], "it is given up")
    (dead,) = callbacks(jobs)
    assert dead["status"]["lastAttempt"]["bodySnippet"], "what was answered is kept"
    told = json.dumps(dead) + soon(lambda: said_of_tries(jobs), "Events tell of the tries")
    told += jobs.http.get(f"{GROUP}/{jobs.namespace}/batchjobs").text + controller.log.read_text()
    for _, data in contents(controller.home):
        told += data.decode(errors="replace")
    assert "bodySnippet" in told
    for value in (SECRET, SECRET.removeprefix("whsec_"), TOKEN):
        assert value not in told
