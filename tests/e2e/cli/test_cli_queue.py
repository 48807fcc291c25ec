"""`holdfast queue`: exact positions and estimates for all, with no controller running (requirements 2.1, 2.2)."""

from __future__ import annotations

import json
from typing import Any

import yaml

from controller.cli import view
from tests.e2e.cli.holdfast_command import NOW, Holdfast, Jobs, one_line


def rows(holdfast: Holdfast, *arguments: str) -> dict[str, Any]:
    found = json.loads(holdfast("queue", "-o", "json", *arguments).stdout)
    return {line["queue"]: line for line in found}


def names(line: dict[str, Any]) -> list[str]:
    assert [job["position"] for job in line["waiting"]] == list(range(1, len(line["waiting"]) + 1))
    return [job["name"] for job in line["waiting"]]


def test_order_is_priority_then_sequence(holdfast: Holdfast, jobs: Jobs) -> None:
    """2.1: also for jobs that no controller has seen yet: creation order."""
    for name, priority in (("c", 0), ("a", 0), ("b", 5), ("z", -1), ("d", 0)):
        jobs.create(name, {"priority": priority})
    version = jobs.create("first")["metadata"]["resourceVersion"]
    jobs.status("first", phase="Queued", sequence=1)
    line = rows(holdfast)["default"]
    assert names(line) == ["b", "first", "c", "a", "d", "z"]
    assert line["waiting"][1]["sequence"] == 1 < int(version)


def test_who_runs_ended_or_is_held_back_does_not_wait(holdfast: Holdfast, jobs: Jobs) -> None:
    """2.3, 2.4"""
    for name in ("waits", "runs", "ended"):
        jobs.create(name)
    jobs.create("held", {"suspend": True})
    jobs.status("runs", phase="Running", attempt={"id": "u.1", "number": 1, "state": "Running", "startedAt": NOW})
    jobs.end("ended")
    line = rows(holdfast)["default"]
    assert (names(line), line["running"]) == (["waits"], 1)


def test_who_waits_in_an_outside_queue_is_told_apart(holdfast: Holdfast, jobs: Jobs) -> None:
    """Issue 7, item 3: it takes no slot, and has no position here once it was started."""
    attempt = {"id": "u.1", "number": 1, "state": "Starting", "executor": "Pod", "outsideQueue": "team"}
    for name in ("held", "runs", "waits"):
        jobs.create(name)
    jobs.status("held", phase="Waiting", reason="Suspended", sequence=1, attempt=attempt)
    jobs.status("runs", phase="Running", attempt={**attempt, "state": "Running", "startedAt": NOW})
    line = rows(holdfast)["default"]
    assert (names(line), line["running"], line["outside"]) == (["waits"], 0, 2)
    assert [(job["name"], job["position"], job["outsideQueue"]) for job in line["heldOutside"]] == [
        ("held", None, "team")
    ]
    text = holdfast("queue").stdout
    assert "0 running, 2 started without a slot, by outside queues, 1 waiting" in text
    assert "outside queue team" in next(line for line in text.splitlines() if " held " in line)


def test_estimate_comes_from_the_queues_last_jobs(holdfast: Holdfast, jobs: Jobs) -> None:
    """2.2: two at once, each of 10 minutes: the third and fourth start when the second pair does."""
    jobs.queue("q", concurrency=2)
    jobs.create("done", {"queue": "q"})
    jobs.end("done", startedAt="2026-11-20T12:00:00Z", finishedAt="2026-11-20T12:10:00Z")
    for name in "abcd":
        jobs.create(name, {"queue": "q"})
    starts = [view.moment(job["estimatedStartTime"]) for job in rows(holdfast, "q")["q"]["waiting"]]
    first = starts[0]
    assert first is not None
    assert [round((start - first).total_seconds()) for start in starts if start] == [0, 0, 600, 600]


def test_a_paused_queue_and_one_that_does_not_exist(holdfast: Holdfast, jobs: Jobs) -> None:
    """2.4, faults: positions stay, nothing is estimated, and it says why."""
    jobs.queue("night", paused=True, concurrency=3)
    jobs.create("a", {"queue": "night"})
    jobs.create("b", {"queue": "nowhere"})
    found = rows(holdfast)
    assert (found["night"]["paused"], found["night"]["waiting"][0]["estimatedStartTime"]) == (True, None)
    assert (found["nowhere"]["exists"], names(found["nowhere"])) == (False, ["b"])
    text = holdfast("queue").stdout
    assert "night: 0 running, 1 waiting, concurrency 3, paused" in text
    assert "this JobQueue does not exist: its jobs wait until it is created" in text


def test_forms_of_the_list(holdfast: Holdfast, jobs: Jobs) -> None:
    """Issue item 7: table, wide, json, yaml; a pipe gets whole lines."""
    name = "a" * 200
    jobs.create(name)
    table = holdfast("queue", "default").stdout.splitlines()
    assert table[0] == "default: 0 running, 1 waiting, concurrency of the host"
    assert table[1].split() == ["POSITION", "NAME", "PRIORITY", "STARTS", "WAITING", "FOR", "AGE"]
    assert table[2].split()[:3] == ["1", name, "0"]
    wide = holdfast("queue", "-o", "wide").stdout.splitlines()
    assert wide[1].split()[-2:] == ["SEQUENCE", "UID"]
    assert yaml.safe_load(holdfast("queue", "-o", "yaml").stdout)[0]["waiting"][0]["name"] == name


def test_all_namespaces(holdfast: Holdfast, jobs: Jobs) -> None:
    """Issue item 7"""
    jobs.create("a")
    assert f"{jobs.namespace}/default: 0 running, 1 waiting" in holdfast("queue", "-A").stdout


def test_an_unknown_queue(holdfast: Holdfast, jobs: Jobs) -> None:
    """Issue item 7"""
    jobs.queue("night")
    assert "there is night" in one_line(holdfast("queue", "day", code=1).stderr)
    assert holdfast("queue", "night").stdout == "night: 0 running, 0 waiting, concurrency of the host\n"
