"""`holdfast repo` against the real API server, without a controller (requirements 5.1, 5.7)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.cli.holdfast_command import Holdfast, condition, one_line
from tests.e2e.cli.repository_objects import COMMIT, URL, Repositories, held

BEGAN, ENDED = "2026-11-20T12:00:00.100000Z", "2026-11-20T12:00:02.400000Z"


@pytest.fixture
def repositories(plane_http: httpx.Client, namespace: str) -> Repositories:
    return Repositories(plane_http, namespace)


def operation(number: int, kind: str, state: str = "Succeeded", **more: Any) -> dict[str, Any]:
    ended = {} if state == "Starting" else {"finishedAt": ENDED}
    return {"number": number, "type": kind, "state": state, "startedAt": BEGAN, **ended, **more}


def test_the_list(holdfast: Holdfast, repositories: Repositories) -> None:
    """5.1: what a person needs, alerts by their names."""
    repositories.make("docs")
    repositories.make("shop")
    repositories.status("docs", conditions=[condition("Ready", "BranchNotFound")])
    refreshed = (datetime.now(UTC) - timedelta(hours=72)).isoformat()
    failing = [
        condition("Ready", "MirrorReady"),
        condition("Failing", "RemoteUnreachable"),
        {**condition("Slow", "Over"), "status": "False"},
    ]
    repositories.status(
        "shop",
        commit=COMMIT,
        refreshedAt=refreshed,
        successPercent=50,
        sizeBytes=3 * 1024**2,
        conditions=failing,
        lock={"token": 1, "holders": [held(repositories.person("anna", "shop"), 1)]},
    )
    header, docs, shop = holdfast("repo").stdout.splitlines()
    assert header.split() == ["NAME", "PHASE", "COMMIT", "HOLDER", "REFRESHED", "OK%", "SIZE", "ALERTS"]
    assert docs.split() == ["docs", "Ready", "BranchNotFound"]
    assert shop.split() == [
        *("shop", "Ready", "1234567890ab", "anna", "3d", "ago", "50", "3.0", "MiB"),
        *("Failing", "(RemoteUnreachable)"),
    ]
    assert holdfast.namespace in holdfast("repo", "-A").stdout
    assert URL in holdfast("repo", "-o", "wide").stdout
    assert [item["metadata"]["name"] for item in json.loads(holdfast("repo", "-o", "json").stdout)] == ["docs", "shop"]


def test_one_is_described(holdfast: Holdfast, repositories: Repositories) -> None:
    """5.1, 5.7: operations with their durations, the one that runs too, lock, preparations."""
    repositories.make("shop", push="Mirror", prepare={"command": ["make"]})
    repositories.status(
        "shop",
        activities=[
            operation(1, "Clone"),
            operation(2, "Fetch", "Failed", reason="RemoteUnreachable", message="no\x1b route"),
        ],
        operation=operation(3, "Fetch", "Starting"),
        statistics={"operations": 2, "failed": 1},
        successPercent=50,
    )
    repositories.person("anna", "shop")
    repositories.batch("shop-1", "shop", phase="Ready", number=2, startedAt=BEGAN, finishedAt=ENDED, memberCount=3)
    repositories.batch("docs-1", "docs", phase="Ready")
    text = holdfast("repo", "shop").stdout
    for part in (
        "Push:        at most Mirror",
        "Success:     50 % of 2 operations, 1 failed",
        "shop: free, 1 waiting",
        "person/anna",
    ):
        assert part in text, text
    rows = [line.split() for line in text.splitlines()]
    assert any(row[:3] == ["1", "Clone", "Succeeded"] and "2.3s" in row for row in rows), text
    assert any(row[:3] == ["2", "Fetch", "Failed"] and row[-3:] == ["RemoteUnreachable", "no", "route"] for row in rows)
    assert any(row[:3] == ["3", "Fetch", "Starting"] and row[-1] == "runs" for row in rows), text
    assert any(row == ["shop-1", "1234567890ab", "Ready", "2", "2.3s", "3"] for row in rows), text
    assert "output of shop-1: " in text
    assert "docs-1" not in text
    assert "\x1b" not in text


def test_the_output_of_the_newest_operation(holdfast: Holdfast, repositories: Repositories) -> None:
    """5.1: it is found by the name that the controller gives it, and shown as it is."""
    repositories.make("shop")
    assert "no operation yet" in one_line(holdfast("repo", "shop", "--log", code=1).stderr)
    repositories.status("shop", operation=operation(4, "Fetch"))
    assert "not on this host" in one_line(holdfast("repo", "shop", "--log", code=1).stderr)
    path = Path(json.loads(holdfast("repo", "shop", "-o", "json").stdout)["operation"]["output"])
    assert path.name == "output.log"
    assert path.parent.parent == holdfast.home.resolve() / "operations"
    assert path.parent.name.endswith(".4")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"fatal: \xff\n")
    assert holdfast("repo", "shop", "--log").stdout_bytes == b"fatal: \xff\n"
    assert f"output of number 4: {path}" in holdfast("repo", "shop").stdout


def test_refresh_asks_the_controller(holdfast: Holdfast, repositories: Repositories) -> None:
    """5.1: fetched when asked for."""
    repositories.make("shop")
    before = datetime.now(UTC)
    holdfast("repo", "shop", "--refresh")
    asked = json.loads(holdfast("repo", "shop", "-o", "json").stdout)["object"]["spec"]["refreshRequestedAt"]
    assert before <= datetime.fromisoformat(asked) <= datetime.now(UTC)


@pytest.mark.parametrize("arguments", [["--refresh"], ["--log"], ["shop", "-A"], ["shop", "-o", "xml"]])
def test_wrong_usage(holdfast: Holdfast, arguments: list[str]) -> None:
    """Issue item 7"""
    holdfast("repo", *arguments, code=2)


def test_one_that_is_not_there(holdfast: Holdfast) -> None:
    """Issue item 7"""
    for arguments in (["shop"], ["shop", "--refresh"], ["shop", "--log"]):
        assert "kubectl get repository -A" in one_line(holdfast("repo", *arguments, code=1).stderr)
