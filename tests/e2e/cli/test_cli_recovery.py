"""`holdfast recovery` against the real API server; reports are written as a controller would (7.1, 7.7)."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.e2e.cli.holdfast_command import NOW, Holdfast, one_line

PATH = "/apis/holdfast.dev/v1alpha1/namespaces/{}/recoveryreports"
NAMES = ("start-20260101-000000-000-aaaa", "start-20260102-000000-000-bbbb")
FAILED = {"name": "locks", "state": "Failed", "milliseconds": 30000, "objects": 2, "errors": 1, "message": "no fence"}


@pytest.fixture
def reports(plane_http: httpx.Client, namespace: str) -> None:
    """An aborted start, and one that is degraded."""
    path = PATH.format(namespace)
    counts = {"recovered": 105, "reattached": 2, "orphaned": 3, "orphans": [{"kind": "process", "count": 3}]}
    counts |= {"memoryReclaimedBytes": 5 * 1024**2, "needingDecision": 1}
    degraded: dict[str, Any] = {
        "result": "Degraded",
        "startedAt": NOW,
        "duration": "30.2s",
        "host": "box",
        "previousStop": {"clean": False, "at": NOW, "secondsAgo": 65, "rebooted": False},
        "phases": [{"name": "integrity", "state": "Done"}, FAILED],
        "counts": counts,
        "names": [{"outcome": "needing_decision", "names": ["a/asks"]}],
        "recommendedActions": [
            {"reason": "NeedsDecision", "message": "it asks", "command": "holdfast decide -n a asks Restart"}
        ],
    }
    for name, status in zip(NAMES, ({"result": "Aborted"}, degraded), strict=True):
        body = {"apiVersion": "holdfast.dev/v1alpha1", "kind": "RecoveryReport", "metadata": {"name": name}}
        plane_http.post(path, json={**body, "spec": {"stateId": "s", "startId": name}}).raise_for_status()
        merge = {"Content-Type": "application/merge-patch+json"}
        text = json.dumps({"status": status})
        plane_http.patch(f"{path}/{name}/status", content=text, headers=merge).raise_for_status()


@pytest.mark.usefixtures("reports")
def test_it_lists_the_starts(holdfast: Holdfast) -> None:
    """7.1: newest first, one line each."""
    lines = holdfast("recovery").stdout.splitlines()
    assert lines[0].split()[:3] == ["N", "RESULT", "TOOK"]
    assert lines[1].split()[:6] == ["1", "Degraded", "30.2s", "105", "2", "0"] and "crash" in lines[1]
    assert lines[2].split()[:2] == ["2", "Aborted"]
    wide = holdfast("recovery", "-o", "wide").stdout
    assert NAMES[0] in wide and "locks" in wide
    assert [each["metadata"]["name"] for each in json.loads(holdfast("recovery", "-o", "json").stdout)] == [*NAMES][
        ::-1
    ]


@pytest.mark.usefixtures("reports")
def test_it_shows_one(holdfast: Holdfast) -> None:
    """7.1, 7.7: phases, counts with names, and what to do with the exact command."""
    shown = holdfast("recovery", "show").stdout
    for text in (
        "Degraded",
        "no fence",
        "5.0 MiB",
        "a/asks",
        "holdfast decide -n a asks Restart",
        "crash, 1m5s before",
    ):
        assert text in shown
    assert holdfast("recovery", "show", NAMES[1]).stdout == shown
    assert NAMES[0] in holdfast("recovery", "show", "2").stdout
    assert json.loads(holdfast("recovery", "show", "-o", "json").stdout)["metadata"]["name"] == NAMES[1]


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize("wrong", ["3", "0", "nothing"])
def test_one_that_is_not_there(holdfast: Holdfast, wrong: str) -> None:
    """Style: one line that says the way out."""
    assert "holdfast recovery" in one_line(holdfast("recovery", "show", wrong, code=1).stderr)


def test_nothing_has_started_yet(holdfast: Holdfast) -> None:
    """Style: says where it looked."""
    assert "HOLDFAST_NAMESPACE" in one_line(holdfast("recovery", "show", code=1).stderr)


@pytest.mark.usefixtures("reports")
def test_kubectl_reads_like_a_history(kubectl: Any) -> None:
    """1.1, 7.1: the columns of `kubectl get rr`."""
    lines = kubectl("get", "rr").stdout.splitlines()
    assert lines[0].split()[:4] == ["NAME", "RESULT", "TOOK", "RECOVERED"]
    assert [line.split()[:2] for line in lines[1:]] == [[NAMES[0], "Aborted"], [NAMES[1], "Degraded"]]
