"""`holdfast callbacks` against the real API server; no controller runs, statuses are written as it would (6.3)."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.e2e.cli.holdfast_command import NOW, Holdfast, Jobs, one_line

PATH = "/apis/holdfast.dev/v1alpha1/namespaces/{}/callbacks"


class Callbacks:
    """Callback objects of one namespace."""

    def __init__(self, http: httpx.Client, namespace: str) -> None:
        self._http, self._path = http, PATH.format(namespace)

    def make(self, name: str, job: str, event: str, status: dict[str, Any] | None = None) -> None:
        spec = {
            "job": {"name": job, "uid": "u", "attempt": 1},
            "callback": "ci",
            "event": event,
            "id": f"msg_{name}",
            "url": "https://example.org/hook",
            "secretRef": {"name": "s", "key": "k"},
            "payload": '{"told": true}',
            "schedule": ["1s", "2s"],
        }
        body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "Callback", "metadata": {"name": name}, "spec": spec}
        self._http.post(self._path, json=body).raise_for_status()
        if status is not None:
            merge = {"Content-Type": "application/merge-patch+json"}
            text = json.dumps({"status": status})
            self._http.patch(f"{self._path}/{name}/status", content=text, headers=merge).raise_for_status()

    def redeliver(self, name: str) -> int:
        return int(self._http.get(f"{self._path}/{name}").json()["spec"]["redeliver"])


def over(phase: str, code: int, body: str = "") -> dict[str, Any]:
    last = {"at": NOW, "code": code, "reason": "ServerError", "message": f"{code} from example.org", "durationMs": 12}
    told = {"type": "Delivered", "status": "False", "reason": "TriesExhausted", "lastTransitionTime": NOW}
    kept = {"history": [last], "conditions": [told], "lastAttempt": {**last, "bodySnippet": body}}
    return {"phase": phase, "attempts": 3, "tries": 3, "finishedAt": NOW, **kept}


@pytest.fixture
def callbacks(jobs: Jobs, plane_http: httpx.Client) -> Callbacks:
    made = Callbacks(plane_http, jobs.namespace)
    made.make("one-1", "one", "Succeeded", {"phase": "Delivered", "attempts": 1, "tries": 1})
    made.make("two-1", "two", "Failed", over("Failed", 500, "no\x1b[31m room\nat all"))
    made.make("two-2", "two", "Started")
    return made


def test_lists(holdfast: Holdfast, callbacks: Callbacks) -> None:
    """6.3: all, of one job, only dead letters; what was not looked at yet is Pending."""
    rows = [line.split() for line in holdfast("callbacks").stdout.splitlines()]
    assert rows[0][:6] == ["NAME", "JOB", "CALLBACK", "EVENT", "PHASE", "TRIES"]
    assert [row[:6] for row in rows[1:]] == [
        ["one-1", "one", "ci", "Succeeded", "Delivered", "1"],
        ["two-1", "two", "ci", "Failed", "Failed", "3"],
        ["two-2", "two", "ci", "Started", "Pending", "0"],
    ]
    names = [
        item["metadata"]["name"] for item in json.loads(holdfast("callbacks", "--job", "two", "-o", "json").stdout)
    ]
    assert names == ["two-1", "two-2"]
    failed = holdfast("callbacks", "--failed").stdout
    assert "two-1" in failed and "one-1" not in failed
    assert "msg_two-1" in holdfast("callbacks", "--failed", "-o", "wide").stdout


def test_describes(holdfast: Holdfast, callbacks: Callbacks) -> None:
    """6.3, 6.4: each try with its answer, as text: nothing of it controls the terminal."""
    text = holdfast("callbacks", "two-1").stdout
    assert "TriesExhausted" in text and "500 from example.org" in text and "at all" in text
    assert "\x1b" not in text
    assert "told" not in text
    assert '{"told": true}' in holdfast("callbacks", "two-1", "-o", "wide").stdout


def test_redelivers(holdfast: Holdfast, callbacks: Callbacks) -> None:
    """6.3: what is over, by name or all dead letters; what is under way is left alone."""
    assert "msg_two-1" in holdfast("callbacks", "redeliver", "two-1").stdout
    assert callbacks.redeliver("two-1") == 1
    assert "is being delivered" in holdfast("callbacks", "redeliver", "two-2").stdout
    holdfast("callbacks", "redeliver", "--failed")
    assert (callbacks.redeliver("two-1"), callbacks.redeliver("one-1"), callbacks.redeliver("two-2")) == (2, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("absent",), 1, "callback absent"),
        (("redeliver", "absent"), 1, "callback absent"),
        (("redeliver",), 2, "NAMEs"),
        (("redeliver", "two-1", "--failed"), 2, "NAMEs"),
        (("one-1", "two-1"), 2, "describe one"),
    ],
)
def test_errors(holdfast: Holdfast, callbacks: Callbacks, arguments: tuple[str, ...], code: int, says: str) -> None:
    """Issue item 7: one line that says what to do."""
    assert says in one_line(holdfast("callbacks", *arguments, code=code).stderr)
