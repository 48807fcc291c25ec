"""`holdfast logs` reads the run directory: of running and ended jobs, with and without an API server (3.2)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.e2e.cli.following import Following
from tests.e2e.cli.holdfast_command import LIMIT, Holdfast, Jobs, end_run, one_line, run_directory
from tests.eventually import eventually_sync

OUTPUT = b"one\ntwo\n\xff\xfe three\nlast without newline"


def one_attempt(jobs: Jobs, number: int = 1, state: str = "Running") -> dict[str, object]:
    return {"id": f"u.{number}", "number": number, "state": state}


@pytest.fixture
def unreachable(holdfast: Holdfast, tmp_path: Path) -> Holdfast:
    """The same state directory, and a kubeconfig of a server that is not there."""
    path = tmp_path / "dead"
    path.write_text(
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
        "contexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n"
    )
    return dataclasses.replace(holdfast, kubeconfig=path)


def test_output_as_it_was_written(holdfast: Holdfast, jobs: Jobs) -> None:
    """3.2, faults: bytes, also those that are no UTF-8 and an end without newline."""
    job = jobs.create("a")
    jobs.status("a", attempt=one_attempt(jobs))
    run_directory(holdfast.home, job, output=OUTPUT)
    assert holdfast("logs", "a").stdout_bytes == OUTPUT
    assert holdfast("logs", "--since-offset", "4", "a").stdout_bytes == OUTPUT[4:]
    assert holdfast("logs", "--since-offset", "4000", "a").stdout_bytes == b""
    assert holdfast("logs", "--tail", "2", "a").stdout_bytes == b"\xff\xfe three\nlast without newline"
    assert holdfast("logs", "--tail", "0", "a").stdout_bytes == b""
    assert holdfast("logs", "--tail", "99", "a").stdout_bytes == OUTPUT
    holdfast("logs", "--tail", "1", "--since-offset", "1", "a", code=2)
    holdfast("logs", "--tail", "-1", "a", code=2)


def test_the_newest_attempt_or_the_one_asked_for(holdfast: Holdfast, jobs: Jobs) -> None:
    """3.2"""
    job = jobs.create("a")
    jobs.status("a", attempt=one_attempt(jobs, 2))
    run_directory(holdfast.home, job, 1, b"first")
    run_directory(holdfast.home, job, 2, b"second")
    assert holdfast("logs", "a").stdout == "second"
    assert holdfast("logs", "--attempt", "1", "a").stdout == "first"
    assert "its newest is 2" in one_line(holdfast("logs", "--attempt", "3", "a", code=1).stderr)


def test_without_an_api_server_by_name(holdfast: Holdfast, unreachable: Holdfast, jobs: Jobs) -> None:
    """Issue item 7: attempt.json knows the name; of two jobs of one name the newer one counts."""
    run_directory(holdfast.home, jobs.create("a"), 1, b"old")
    jobs.delete("a")
    run_directory(holdfast.home, jobs.create("a"), 1, b"new")
    run_directory(holdfast.home, jobs.create("b"), 1, b"other")
    result = unreachable("logs", "a")
    assert result.stdout == "new"
    assert "does not answer" in one_line(result.stderr)
    assert "holdfast up" in one_line(unreachable("logs", "nope", code=1).stderr)


def test_of_a_deleted_job(holdfast: Holdfast, jobs: Jobs) -> None:
    """3.2: as long as its run directory is there."""
    run_directory(holdfast.home, jobs.create("a"), 1, b"said")
    jobs.delete("a")
    result = holdfast("logs", "a")
    assert result.stdout == "said"
    assert "no batchjob a in namespace" in one_line(result.stderr)


def test_nothing_to_show(holdfast: Holdfast, jobs: Jobs) -> None:
    """Issue item 7: what is wrong and what to do."""
    jobs.create("a")
    jobs.status("a", phase="Queued", queuePosition=3)
    assert "Queued, position 3 of queue default; -f waits for it" in one_line(holdfast("logs", "a", code=1).stderr)
    jobs.status("a", attempt=one_attempt(jobs), output={"bytes": 1, "location": "far:/x/runs/u.1/output.log"})
    assert "was written to far:/x/runs/u.1/output.log" in one_line(holdfast("logs", "a", code=1).stderr)
    assert "no batchjob nope in namespace" in one_line(holdfast("logs", "nope", code=1).stderr)


def test_a_location_that_this_host_can_read(holdfast: Holdfast, jobs: Jobs, tmp_path: Path) -> None:
    """3.2: the status says where the output is, also under another state directory."""
    job = jobs.create("a")
    directory = run_directory(tmp_path / "other", job, 1, b"there")
    jobs.status("a", attempt=one_attempt(jobs), output={"bytes": 5, "location": f":{directory.output}"})
    assert holdfast("logs", "a").stdout == "there"


def test_follow_until_the_job_ends(holdfast: Holdfast, jobs: Jobs, following: list[Following]) -> None:
    """3.2: from before the start, over two attempts and a truncated file, to the end."""
    job = jobs.create("a")
    one = Following(holdfast.start("logs", "-f", "a"))
    following.append(one)
    eventually_sync(lambda: b"its output follows when it starts" in one.stderr, LIMIT)
    first = run_directory(holdfast.home, job, 1, b"a1\n")
    jobs.status("a", phase="Running", attempt=one_attempt(jobs))
    eventually_sync(lambda: one.stdout == b"a1\n", LIMIT)
    with Path(first.output).open("ab") as file:
        file.write(b"a2 ")
    eventually_sync(lambda: one.stdout == b"a1\na2 ", LIMIT)
    Path(first.output).write_bytes(b"b")
    eventually_sync(lambda: one.stdout == b"a1\na2 b", LIMIT)
    end_run(first, 1)
    second = run_directory(holdfast.home, job, 2, b"c\n")
    jobs.status("a", attempt=one_attempt(jobs, 2))
    eventually_sync(lambda: one.stdout == b"a1\na2 bc\n", LIMIT)
    end_run(second)
    jobs.end("a", number=2)
    assert one.ends() == 0
    assert one.stdout == b"a1\na2 bc\n"


def test_follow_of_an_ended_job_ends(holdfast: Holdfast, jobs: Jobs) -> None:
    """3.2"""
    end_run(run_directory(holdfast.home, jobs.create("a"), output=OUTPUT))
    jobs.end("a")
    assert holdfast("logs", "-f", "a").stdout_bytes == OUTPUT
    assert holdfast("logs", "-f", "--tail", "1", "--attempt", "1", "a").stdout == "last without newline"


def test_follow_ends_with_a_deleted_job(holdfast: Holdfast, jobs: Jobs, following: list[Following]) -> None:
    """3.2"""
    run_directory(holdfast.home, jobs.create("a"), output=b"x")
    jobs.status("a", phase="Running", attempt=one_attempt(jobs))
    one = Following(holdfast.start("logs", "-f", "a"))
    following.append(one)
    eventually_sync(lambda: one.stdout == b"x", LIMIT)
    jobs.delete("a")
    assert one.ends() == 0
    assert b"a was deleted" in one.stderr


def test_follow_without_an_api_server(unreachable: Holdfast, jobs: Jobs, following: list[Following]) -> None:
    """3.2, issue item 7: the output goes on; --attempt ends with the exit record."""
    directory = run_directory(unreachable.home, jobs.create("a"), output=b"x")
    one = Following(unreachable.start("logs", "-f", "--attempt", "1", "a"))
    following.append(one)
    eventually_sync(lambda: one.stdout == b"x", LIMIT)
    with Path(directory.output).open("ab") as file:
        file.write(b"y")
    eventually_sync(lambda: one.stdout == b"xy", LIMIT)
    end_run(directory)
    assert one.ends() == 0
