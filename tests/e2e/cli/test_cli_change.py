"""`holdfast cancel`, `suspend`, `resume`, `decide` against the real API server, no controller (requirement 2.4)."""

from __future__ import annotations

from tests.e2e.cli.holdfast_command import Holdfast, Jobs, condition, one_line


def test_cancel(holdfast: Holdfast, jobs: Jobs) -> None:
    """2.4: several at once; doing it twice does it once."""
    jobs.create("a")
    jobs.create("b")
    said = holdfast("cancel", "a", "b").stdout.splitlines()
    assert said == ["batchjob.holdfast.dev/a canceled", "batchjob.holdfast.dev/b canceled"]
    assert jobs.get("a")["spec"]["cancel"] is True
    version = jobs.get("a")["metadata"]["resourceVersion"]
    assert "was canceled already" in holdfast("cancel", "a").stdout
    assert jobs.get("a")["metadata"]["resourceVersion"] == version


def test_cancel_of_an_ended_job_changes_nothing(holdfast: Holdfast, jobs: Jobs) -> None:
    """2.4"""
    jobs.create("a")
    jobs.end("a", "Failed", exitCode=7)
    assert "had ended already: Failed" in holdfast("cancel", "a").stdout
    assert jobs.get("a")["spec"]["cancel"] is False


def test_one_that_is_missing_does_not_stop_the_others(holdfast: Holdfast, jobs: Jobs) -> None:
    """Issue item 7"""
    jobs.create("a")
    result = holdfast("cancel", "nope", "a", code=1)
    assert result.stdout == "batchjob.holdfast.dev/a canceled\n"
    assert "no batchjob nope in namespace" in one_line(result.stderr)
    assert jobs.get("a")["spec"]["cancel"] is True


def test_suspend_and_resume(holdfast: Holdfast, jobs: Jobs) -> None:
    """2.4"""
    jobs.create("a")
    assert holdfast("suspend", "a").stdout == "batchjob.holdfast.dev/a suspended\n"
    assert jobs.get("a")["spec"]["suspend"] is True
    assert holdfast("resume", "a").stdout == "batchjob.holdfast.dev/a resumed\n"
    assert jobs.get("a")["spec"]["suspend"] is False
    assert "is not suspended" in holdfast("resume", "a").stdout


def lost(jobs: Jobs) -> None:
    jobs.create("a", {"onLost": "Manual"})
    jobs.status(
        "a",
        phase="Waiting",
        attempt={"id": "u.2", "number": 2, "state": "Lost"},
        conditions=[condition("NeedsDecision", "Lost", "its host was rebooted")],
    )


def test_decide_answers_for_the_attempt_that_asks(holdfast: Holdfast, jobs: Jobs) -> None:
    """3.5, 7.7"""
    lost(jobs)
    assert holdfast("decide", "a", "restart").stdout == "batchjob.holdfast.dev/a attempt 2: Restart\n"
    assert jobs.get("a")["spec"]["decision"] == {"attempt": 2, "action": "Restart"}
    holdfast("decide", "a", "--attempt", "2", "Fail")
    assert jobs.get("a")["spec"]["decision"] == {"attempt": 2, "action": "Fail"}


def test_decide_refuses_an_answer_that_nobody_would_carry_out(holdfast: Holdfast, jobs: Jobs) -> None:
    """3.5: numbers are never reused, so an old number answers nothing."""
    lost(jobs)
    assert "its newest attempt is 2" in one_line(holdfast("decide", "a", "--attempt", "1", "Fail", code=1).stderr)
    jobs.create("b")
    assert "does not ask for a decision" in one_line(holdfast("decide", "b", "Fail", code=1).stderr)
    jobs.end("b")
    assert "holdfast rerun b" in one_line(holdfast("decide", "b", "Fail", code=1).stderr)
    holdfast("decide", "a", "Ignore", code=2)
