"""How jobs end: exit codes, output, conditions, Events, retries, deadlines, TTL."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.running_controller import RunningController, processes_of
from tests.integration.controller.waits import soon

Kubectl = Callable[..., subprocess.CompletedProcess[str]]
BUSY_SECONDS = 60.0  # that a start or an end may take on a busy machine; what waits for a timeout takes longer


def test_conditions_exit_codes_and_output(controller: RunningController, jobs: Jobs, kubectl: Kubectl) -> None:
    """1.1, 1.3, 3.2: every outcome ends `kubectl wait` for Finished; Complete and Failed tell which one it was."""
    jobs.shell("good", "echo out; echo err >&2")
    jobs.shell("bad", "echo bad; exit 7")
    jobs.shell("killed", "kill -9 $$")
    kubectl("wait", "--for=condition=Finished", "bj/good", "bj/bad", "bj/killed", "--timeout=120s", timeout=180)
    kubectl("wait", "--for=condition=Complete", "bj/good", "--timeout=50s")

    good, bad, killed = (jobs.get(name) for name in ("good", "bad", "killed"))
    assert (good["status"]["phase"], good["status"]["attempt"]["exitCode"]) == ("Succeeded", 0)
    assert (bad["status"]["phase"], bad["status"]["attempt"]["exitCode"]) == ("Failed", 7)
    assert (killed["status"]["phase"], killed["status"]["attempt"]["exitCode"]) == ("Failed", 137)
    assert condition_of(good, "Failed") is None
    assert condition_of(bad, "Complete") is None
    failed = condition_of(bad, "Failed")
    assert failed is not None and failed["status"] == "True" and failed["reason"] == "NonZeroExitCode"
    assert "exit code 7" in failed["message"]
    for job in (good, bad, killed):
        for condition in job["status"]["conditions"]:
            assert condition["observedGeneration"] == job["metadata"]["generation"]
            datetime.fromisoformat(condition["lastTransitionTime"])
    for phase, least in (("Succeeded", 1), ("Failed", 2)):  # counted once the write was answered
        gauge = f'holdfast_jobs{{phase="{phase}"}}'
        soon(lambda gauge=gauge, least=least: controller.metric(gauge) >= least, gauge)  # type: ignore[misc]
    assert controller.metric('holdfast_launches_total{result="ok"}') >= 3
    assert controller.output(uid_of(good)) == b"out\nerr\n"
    assert good["status"]["output"]["bytes"] == len(b"out\nerr\n")
    assert good["status"]["output"]["location"].endswith(f"{uid_of(good)}.1/output.log")


def test_events_tell_the_story(controller: RunningController, jobs: Jobs, kubectl: Kubectl, tmp_path: Path) -> None:
    """1.1, 10.1: a plain job has two Events, Started and Succeeded, and at most four status writes."""
    jobs.shell("story", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done")
    # One that ends before it was looked at has no Event of its start; and two senders keep no order among them.
    soon(lambda: told(jobs) == ["Started"], "its start is told")
    (tmp_path / "go").touch()
    jobs.finished("story", "Succeeded")
    soon(lambda: len(told(jobs)) >= 2, "both Events")
    assert told(jobs) == ["Started", "Succeeded"]
    assert "Succeeded" in kubectl("describe", "bj/story").stdout


def told(jobs: Jobs) -> list[str]:
    return [event["reason"] for event in jobs.events("story")]


def test_retry_with_backoff_and_limit(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """2.4: a failed attempt is repeated after 0.5 s, then 1 s; after the limit the job fails; success ends it."""
    jobs.shell("never", "exit 3", retry={"limit": 2, "backoff": "500ms"})
    tries = tmp_path / "tries"
    script = f"echo x >>{tries}; test $(wc -l <{tries}) = 2"
    jobs.shell("second", script, retry={"limit": 5, "backoff": "200ms"})
    never = jobs.finished("never", "Failed")["status"]
    assert (never["attempt"]["number"], never["failures"], never["attempt"]["exitCode"]) == (3, 3, 3)
    starts = [datetime.fromisoformat(a["startedAt"]) for a in (*never["history"], never["attempt"])]
    ends = [datetime.fromisoformat(a["finishedAt"]) for a in (*never["history"], never["attempt"])]
    assert 0.4 <= (starts[1] - ends[0]).total_seconds() < BUSY_SECONDS
    assert 0.9 <= (starts[2] - ends[1]).total_seconds() < BUSY_SECONDS
    second = jobs.finished("second", "Succeeded")["status"]
    assert (second["attempt"]["number"], second["failures"]) == (2, 1)


def test_deadlines(controller: RunningController, jobs: Jobs) -> None:
    """2.4, 3.6: deadline ends an attempt, activeDeadline the job; neither leaves a process."""
    jobs.shell("slow", "sleep 300 & sleep 300", deadline="1s", gracePeriod="1s")
    # It counts from the creation, and a start takes its time: the job must have begun by then.
    jobs.shell("whole", "sleep 300", activeDeadline="20s", retry={"limit": 3})
    jobs.create("queued", activeDeadline="2s", queue="nowhere")
    slow = jobs.finished("slow", "Failed")
    assert slow["status"]["attempt"]["reason"] == "DeadlineExceeded"
    assert slow["status"]["attempt"]["exitCode"] == 143
    whole = jobs.finished("whole", "Failed")
    assert whole["status"]["reason"] == "ActiveDeadlineExceeded" and whole["status"]["attempt"]["number"] == 1
    queued = jobs.finished("queued", "Failed")
    assert queued["status"]["reason"] == "ActiveDeadlineExceeded" and "attempt" not in queued["status"]
    assert processes_of(uid_of(slow)) == processes_of(uid_of(whole)) == []


def test_ttl_removes_job_and_run_directory(controller: RunningController, jobs: Jobs) -> None:
    """2.4, 7.6: an ended job goes ttlAfterFinished after its end, and its run directory with it."""
    uid = uid_of(jobs.create("brief", ttlAfterFinished="1s"))
    # Its Event outlives it: whoever looks a moment late does not see the job itself in the end.
    soon(lambda: "Succeeded" in [event["reason"] for event in jobs.events("brief")], "it has succeeded")
    soon(lambda: not jobs.exists("brief"), "the job is deleted")
    soon(lambda: not (controller.runs / f"{uid}.1").exists(), "its run directory is removed")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"executor": "Pod", "pod": {"image": "a"}}, "ExecutorNotEnabled"),
        ({"retry": {"backoff": "20m", "limit": 1}}, "InvalidSpec"),
    ],
)
def test_what_only_the_controller_can_refuse(
    controller: RunningController, jobs: Jobs, spec: dict[str, Any], reason: str
) -> None:
    """1.2: a combination that the API server takes ends as Failed with reason and message, in one write."""
    jobs.create("wrong", **spec)
    job = jobs.finished("wrong", "Failed")
    failed = condition_of(job, "Failed")
    assert failed is not None and failed["reason"] == reason and "spec." in failed["message"]
    assert "attempt" not in job["status"]
    assert_quiet(controller, jobs, "wrong")


REFUSED: dict[str, tuple[list[str], str, dict[str, str]]] = {
    "missing": (["no-such-program"], "CommandNotFound", {}),
    "missing-path": (["/no/such/program"], "CommandNotFound", {}),
    "not-executable": (["/etc/passwd"], "NotExecutable", {}),
    "directory": (["/etc"], "NotExecutable", {}),
    "bad-directory": (["true"], "BadWorkingDirectory", {"workingDir": "/no/such/directory"}),
    "file-as-directory": (["true"], "BadWorkingDirectory", {"workingDir": "/etc/passwd"}),
}


def test_commands_that_cannot_start(controller: RunningController, jobs: Jobs) -> None:
    """Faults: command not found, not executable, bad working directory: Failed with a reason at once, no retry."""
    for name, (command, _, spec) in REFUSED.items():
        jobs.create(name, *command, retry={"limit": 5, "backoff": "10ms"}, **spec)
    jobs.all_finished(REFUSED)
    for name, (command, reason, spec) in REFUSED.items():
        status = jobs.get(name)["status"]
        assert (status["phase"], status["reason"], status["attempt"]["number"]) == ("Failed", reason, 1), status
        assert lasted(status["attempt"]) < BUSY_SECONDS, status
        named = spec.get("workingDir", command[0])
        assert str(named) in status["attempt"]["message"]
    assert_quiet(controller, jobs, "missing")


def lasted(attempt: dict[str, str]) -> float:
    """Seconds from the recorded intent to the end."""
    ended, admitted = (datetime.fromisoformat(attempt[name]) for name in ("finishedAt", "admittedAt"))
    return (ended - admitted).total_seconds()


def test_arguments_over_the_kernels_limit(controller: RunningController, jobs: Jobs) -> None:
    """Faults: an environment over the kernel's limit (execve(2)): Failed with a reason within a second, no retry."""
    for number in range(3):
        jobs.config_map(f"big-{number}", **{f"V{number}_{key}": "x" * 120_000 for key in range(8)})
    jobs.create("big", envFrom=[{"configMapRef": {"name": f"big-{n}"}} for n in range(3)], retry={"limit": 5})
    job = jobs.finished("big", "Failed")
    assert job["status"]["attempt"]["reason"] == "ArgumentListTooLong", job["status"]
    assert job["status"]["attempt"]["number"] == 1 and lasted(job["status"]["attempt"]) < BUSY_SECONDS
    assert_quiet(controller, jobs, "big")


def assert_quiet(controller: RunningController, jobs: Jobs, name: str) -> None:
    """Nothing loops hot: over a second the controller makes no call and the object keeps its version."""
    before = jobs.get(name)["metadata"]["resourceVersion"]
    quiet_over = 1.0
    calls = eventually_flat(lambda: controller.metric_sum("holdfast_api_requests_total"), quiet_over)
    assert jobs.get(name)["metadata"]["resourceVersion"] == before, calls


def eventually_flat(read: Callable[[], float], seconds: float) -> float:
    """Wait until `read` gives the same value for `seconds`."""
    last, since = read(), time.monotonic()

    def flat() -> bool:
        nonlocal last, since
        now = read()
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since >= seconds

    soon(flat, f"flat for {seconds} s")
    return last
