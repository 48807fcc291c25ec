"""Questions to people, and their answers by `holdfast decide` (requirements 3.5, 7.7)."""

from __future__ import annotations

import signal
from typing import Any

from controller.executors.process.identity import send
from tests.integration.controller.commands import Command
from tests.integration.controller.jobs import Jobs, condition_of, found, uid_of
from tests.integration.controller.running_controller import RunningController
from tests.integration.controller.waits import soon


def lost(controller: RunningController, jobs: Jobs, name: str, **labels: str) -> None:
    """A job whose attempt is lost and that asks a person."""
    spec = {"command": ["sleep", "600"], "onLost": "Manual"}
    body: dict[str, Any] = {"metadata": {"name": name, "labels": labels}, "spec": spec}
    uid = uid_of(jobs.make("batchjobs", "BatchJob", name, **body))
    jobs.running(name)
    assert send(controller.supervisor(uid), signal.SIGKILL) and send(controller.recorder(uid), signal.SIGKILL)


def test_answers(controller: RunningController, jobs: Jobs) -> None:
    """7.7: the condition prints the commands; each does what it says; an old answer does nothing; ages are told."""
    decide = Command(controller)
    for name, labels in (("a", {"app": "x"}), ("b", {"app": "x"}), ("c", {"app": "y"})):
        lost(controller, jobs, name, **labels)
    for name in "abc":
        asked = found(condition_of(jobs.wait(name, "NeedsDecision"), "NeedsDecision"))["message"]
        for action in ("restart", "fail", "cleanup"):
            assert f"`holdfast decide -n {jobs.namespace} {name} {action}`" in asked
        assert f"kubectl patch batchjob {name} -n {jobs.namespace}" in asked and "attempt: 1" in asked
    soon(lambda: controller.metric("holdfast_jobs_needing_decision") == 3, "they are counted")
    soon(lambda: controller.metric("holdfast_oldest_decision_seconds") > 0, "their age is told")
    said = decide("decide", "-n", jobs.namespace, "-l", "app=x", "fail").stdout
    assert "2 jobs answered, 0 could not be" in said
    for name in "ab":
        assert jobs.finished(name, "Failed")["status"]["reason"] == "Lost"
    assert "0 jobs answered" in decide("decide", "-n", jobs.namespace, "-l", "app=x", "fail").stdout
    said = decide("decide", "-n", jobs.namespace, "--all-waiting", "restart", "--dry-run").stdout
    assert "1 job would be answered" in said
    decide("decide", "-n", jobs.namespace, "c", "restart")
    again = soon(lambda: jobs.get("c")["status"]["attempt"]["number"] == 2, "it runs again")
    assert again
    jobs.running("c")
    assert "does not ask" in decide("decide", "-n", jobs.namespace, "c", "fail", code=1).stderr
    jobs.patch("c", {"cancel": True})
    jobs.finished("c", "Canceled")
    soon(lambda: controller.metric("holdfast_jobs_needing_decision") == 0, "nobody asks")
    assert soon(lambda: controller.metric("holdfast_oldest_decision_seconds") == 0, "no age")


def test_cleanup(controller: RunningController, jobs: Jobs) -> None:
    """7.7: Cleanup ends the job as Failed; its record and output stay."""
    lost(controller, jobs, "untidy")
    jobs.wait("untidy", "NeedsDecision")
    Command(controller)("decide", "-n", jobs.namespace, "untidy", "cleanup")
    job = jobs.finished("untidy", "Failed")
    assert "Cleanup" in found(condition_of(job, "Failed"))["message"]
    assert (controller.runs / f"{uid_of(job)}.1" / "attempt.json").exists()
