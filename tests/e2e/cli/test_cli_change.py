"""`holdfast cancel`, `suspend`, `resume`, `decide` against the real API server, no controller (requirement 2.4)."""

from __future__ import annotations

import pytest

from controller.api.restored import RESUMABLE
from controller.cli.decide import answer
from controller.cli.session import Failure, Session
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


def test_resume_of_what_a_restore_had_suspended(holdfast: Holdfast, jobs: Jobs) -> None:
    """7.10, 7.7: one command for all that nobody else had suspended; --dry-run only tells what is known of them."""
    known = {**condition("Restored", "FromArchive", "from archive x: it was Queued"), "status": "True"}
    for name, reason in (("theirs", "Restored"), ("again", "")):
        jobs.create(name, {"suspend": True}, labels={RESUMABLE: "x"})
        jobs.status(name, phase="Suspended", reason=reason, conditions=[known])
    jobs.create("own", {"suspend": True})
    shown = holdfast("resume", "--restored", "--dry-run").stdout
    assert "it was Queued" in shown and "theirs" in shown and "again" not in shown and "own" not in shown
    assert jobs.get("theirs")["spec"]["suspend"] is True
    said = holdfast("resume", "--restored").stdout.splitlines()
    assert said == ["batchjob.holdfast.dev/theirs resumed", "1 restored jobs resumed, 0 could not be"]
    assert [jobs.get(name)["spec"]["suspend"] for name in ("theirs", "again", "own")] == [False, True, True]


@pytest.mark.parametrize("words", [(), ("a", "--restored"), ("a", "--dry-run"), ("a", "-A")])
def test_resume_wants_names_or_all_restored(holdfast: Holdfast, words: tuple[str, ...]) -> None:
    """Issue item 7: bad usage is said before anything is done."""
    assert "--restored" in holdfast("resume", *words, code=2).stderr


def lost(jobs: Jobs) -> None:
    jobs.create("a", {"onLost": "Manual"})
    asks(jobs, "a", 2)


def asks(jobs: Jobs, name: str, number: int) -> None:
    jobs.status(
        name,
        phase="Waiting",
        attempt={"id": f"u.{number}", "number": number, "state": "Lost"},
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
    assert "'Ignore' is none of resume, restart, fail, cleanup" in one_line(
        holdfast("decide", "a", "Ignore", code=2).stderr
    )


def test_decide_wrong_input(holdfast: Holdfast, jobs: Jobs) -> None:
    """7.7: each mistake is one line with the way out, and changes nothing."""
    lost(jobs)
    for words, told in (
        (("restart",), "give the names of jobs, or -l or --all-waiting"),
        (("a", "restart", "--all-waiting"), "give the names of jobs"),
        (("a", "b", "--attempt", "2", "fail"), "--attempt is about one job"),
        (("a", "--attempt", "0", "fail"), "0 is not in the range"),
    ):
        assert told in one_line(holdfast("decide", *words, code=2).stderr), words
    assert "decision" not in jobs.get("a")["spec"]


def test_decide_resume(holdfast: Holdfast, jobs: Jobs) -> None:
    """3.5: one that is proved over is resumed; one of which nothing is proved never is, two would work in one place."""
    lost(jobs)
    assert holdfast("decide", "a", "resume").stdout == "batchjob.holdfast.dev/a attempt 2: Resume\n"
    assert jobs.get("a")["spec"]["decision"] == {"attempt": 2, "action": "Resume"}
    jobs.create("b", {"onLost": "Manual"})
    jobs.status(
        "b",
        phase="Running",
        attempt={"id": "u.1", "number": 1, "state": "Running"},
        conditions=[condition("NeedsDecision", "NoEvidence", "nothing is proved")],
    )
    assert "use restart, fail or cleanup" in one_line(holdfast("decide", "b", "resume", code=1).stderr)
    assert "decision" not in jobs.get("b")["spec"]
    holdfast("decide", "b", "restart")


def test_decide_in_bulk(holdfast: Holdfast, jobs: Jobs) -> None:
    """7.7: only those that ask are answered, by label or all; what would be done can be seen first."""
    for name, app in (("one", "x"), ("two", "x"), ("three", "y")):
        jobs.create(name, {"onLost": "Manual"}, labels={"app": app})
        asks(jobs, name, 1)
    jobs.create("works", labels={"app": "x"})
    said = holdfast("decide", "-l", "app=x", "fail", "--dry-run").stdout.splitlines()
    assert said[-1] == "2 jobs would be answered, 0 could not be" and len(said) == 3
    assert "decision" not in jobs.get("one")["spec"]
    assert holdfast("decide", "-l", "app=x", "fail").stdout.splitlines()[-1] == "2 jobs answered, 0 could not be"
    assert "decision" not in jobs.get("three")["spec"] and "decision" not in jobs.get("works")["spec"]
    assert "3 jobs answered" in holdfast("decide", "--all-waiting", "cleanup").stdout
    assert jobs.get("three")["spec"]["decision"] == {"attempt": 1, "action": "Cleanup"}
    assert "0 jobs answered" in holdfast("decide", "-l", "app=none", "fail").stdout


def test_decide_does_not_answer_a_newer_question(holdfast: Holdfast, jobs: Jobs) -> None:
    """7.7: the attempt asks, is restarted, and asks again between our look and our answer: that one is not answered."""
    lost(jobs)
    seen = jobs.get("a")
    asks(jobs, "a", 3)
    session = Session(holdfast.namespace, holdfast.kubeconfig, None)
    with pytest.raises(Failure, match="its newest attempt is 3"):
        answer(session, "a", seen, "Fail", None, dry_run=False)
    assert "decision" not in jobs.get("a")["spec"]
    session.close()
