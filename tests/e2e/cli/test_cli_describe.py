"""`holdfast describe`: declared, recorded and real in one place (issue item 7)."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tests.e2e.cli.holdfast_command import NOW, Holdfast, Jobs, condition, end_run, one_line, run_directory


def event(http: httpx.Client, job: dict[str, object], reason: str, message: str) -> None:
    metadata = job["metadata"]
    assert isinstance(metadata, dict)
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "a-", "namespace": metadata["namespace"]},
        "involvedObject": {"kind": "BatchJob", "uid": metadata["uid"], "namespace": metadata["namespace"]},
        "reason": reason,
        "message": message,
        "type": "Warning",
        "lastTimestamp": NOW,
    }
    http.post(f"/api/v1/namespaces/{metadata['namespace']}/events", json=body).raise_for_status()


def test_describe_tells_all(holdfast: Holdfast, jobs: Jobs, plane_http: httpx.Client) -> None:
    """1.1: spec, conditions, attempts, run directories, Events; text of others is shown as text."""
    job = jobs.create("a", {"command": ["make", "a b"], "deadline": "1h"}, labels={"team": "x"})
    lost = {"id": "u.1", "number": 1, "state": "Lost", "reason": "Rebooted", "message": "[red]boot\x1b[31m\nnext"}
    now = {"id": "u.2", "number": 2, "state": "Failed", "startedAt": NOW, "finishedAt": "2026-11-20T12:03:20Z"}
    jobs.status(
        "a",
        phase="Waiting",
        reason="NeedsDecision",
        conditions=[condition("NeedsDecision", "Lost", "a person decides")],
        history=[lost],
        attempt={**now, "exitCode": 7, "host": "box"},
        failures=1,
    )
    end_run(run_directory(holdfast.home, job, 2, b"12345"), 7)
    event(plane_http, job, "Lost", "attempt 1 was lost")
    text = holdfast("describe", "a").stdout
    for part in (
        "Phase:       Waiting (NeedsDecision)",
        "deadline: 1h",
        "NeedsDecision   True     Lost",
        "a person decides",
        "[red]boot [31m next",
        "box    ",
        "3m20s",
        "end:         exit code 7",
        "output:      5 bytes",
        "attempt 1 was lost",
    ):
        assert part in text, text
    assert "\x1b" not in text


def test_as_json(holdfast: Holdfast, jobs: Jobs) -> None:
    """Issue item 7"""
    directory = run_directory(holdfast.home, jobs.create("a"), 1, b"12345")
    Path(directory.file("exit.json")).write_text("{torn")
    found = json.loads(holdfast("describe", "-o", "json", "a").stdout)
    assert found["object"]["metadata"]["name"] == "a"
    assert found["runDirectories"][0]["directory"] == directory.path
    assert found["runDirectories"][0]["end"].startswith("damaged: exit.json")
    assert found["events"] == []


def test_without_an_api_server(holdfast: Holdfast, jobs: Jobs, tmp_path: Path) -> None:
    """Issue item 7: the run directories alone."""
    run_directory(holdfast.home, jobs.create("a"), 1, b"12345")
    alone = Holdfast(holdfast.home, tmp_path / "missing", holdfast.namespace)
    result = alone("describe", "a")
    assert "output:      5 bytes" in result.stdout
    assert "does not exist" in one_line(result.stderr)
    alone("describe", "b", code=1)


def test_what_became_of_its_repository(holdfast: Holdfast, jobs: Jobs) -> None:
    """5.3-5.5: commit, lock, publication; before them where it stands."""
    jobs.create("a", {"repository": {"name": "shop", "push": "Upstream"}})
    text = holdfast("describe", "a").stdout
    assert "Lock:        Exclusive, not granted; its place in line: holdfast locks shop" in text
    assert "Ref:         the repository's branch" in text
    assert "Commit:      not checked out yet" in text
    jobs.end("a", lockToken=12)
    jobs.status("a", repository={"commit": "1" * 40, "published": "2" * 40, "batch": "shop-1"})
    text = holdfast("describe", "a").stdout
    for part in (f"Commit:      {'1' * 40}", "Lock:        Exclusive, token 12", f"Published:   {'2' * 40}", "shop-1"):
        assert part in text, text


def test_a_publication_that_was_refused(holdfast: Holdfast, jobs: Jobs) -> None:
    """5.5, issue 4 item 5: the reason stands with the job."""
    jobs.create("a", {"repository": {"name": "shop", "push": "Upstream"}})
    jobs.end("a", "Failed")
    refused = {**condition("Published", "NonFastForward", "main moved"), "status": "False"}
    jobs.status("a", repository={"commit": "1" * 40}, conditions=[condition("Finished", "Failed"), refused])
    assert "Published:   NonFastForward: main moved" in holdfast("describe", "a").stdout
    jobs.create("b")
    assert "Published" not in holdfast("describe", "b").stdout
