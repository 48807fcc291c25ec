"""The command with a running controller: `run --wait` and the life of a job in a person's hands (issue item 7)."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.executors.process.records import parse_lock
from controller.executors.process.rundir import RunDir
from tests.e2e.cli.cut import Cable
from tests.e2e.cli.following import Following
from tests.e2e.cli.holdfast_command import LIMIT, Holdfast, Jobs
from tests.e2e.cli.running_controller import RunningController
from tests.eventually import eventually_sync
from tests.running_plane import RunningPlane


@pytest.fixture(scope="module")
def controller(plane: RunningPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningController]:
    """One for all tests of this module: a start is seconds of imports. A test that kills it starts it again."""
    running = RunningController(tmp_path_factory.mktemp("controller") / "home", plane.kubeconfig)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def holdfast(controller: RunningController, plane: RunningPlane, namespace: str) -> Holdfast:
    """The command on the controller's state directory."""
    return Holdfast(controller.home, plane.kubeconfig, namespace)


def gated(gate: Path, before: str, after: str, code: int = 0) -> list[str]:
    """A command that prints `before`, waits for the file `gate`, prints `after` and exits with `code`."""
    return ["sh", "-c", f"echo {before}; until test -e {gate}; do sleep 0.05; done; echo {after}; exit {code}"]


@pytest.mark.parametrize(
    ("command", "code", "stdout", "stderr"),
    [
        (["echo", "hello"], 0, b"hello\n", b""),
        (["sh", "-c", "echo out; echo err >&2; exit 7"], 7, b"out\nerr\n", b"exit code 7"),
        (["surely-not-a-program"], 127, b"", b"CommandNotFound"),
        (["/etc/passwd"], 126, b"", b"NotExecutable"),
        (["sh", "-c", "kill -9 $$"], 137, b"", b"Failed"),
    ],
)
def test_wait_shows_the_output_and_returns_the_code(
    holdfast: Holdfast, following: list[Following], command: list[str], code: int, stdout: bytes, stderr: bytes
) -> None:
    """Issue item 7, 3.4"""
    one = Following(holdfast.start("run", "--wait", "--", *command))
    following.append(one)
    assert (one.ends(), one.stdout) == (code, stdout), one.stderr
    assert stderr in one.stderr


def test_wait_goes_on_over_a_controller_restart(
    holdfast: Holdfast, controller: RunningController, following: list[Following], tmp_path: Path
) -> None:
    """Issue item 7, 3.2: what the job prints meanwhile is shown meanwhile, its end once somebody can tell it."""
    gate = tmp_path / "gate"
    one = Following(holdfast.start("run", "--wait", "--name", "a", "--", *gated(gate, "before", "after", 5)))
    following.append(one)
    eventually_sync(lambda: one.stdout == b"before\n", LIMIT)
    controller.kill()
    gate.touch()
    eventually_sync(lambda: one.stdout == b"before\nafter\n", LIMIT)
    assert one.process.poll() is None
    controller.start()
    assert (one.ends(), one.stdout) == (5, b"before\nafter\n")


@pytest.fixture
def cable(plane: RunningPlane) -> Iterator[Cable]:
    port = plane.plane.record("apiserver").port
    assert port is not None
    made = Cable(("127.0.0.1", port))
    yield made
    made.close()


def test_wait_goes_on_while_the_api_server_is_away(
    holdfast: Holdfast, plane: RunningPlane, cable: Cable, following: list[Following], tmp_path: Path
) -> None:
    """Issue item 7: the output goes on, the end is told when the server answers again."""
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{cable.port}"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    behind = dataclasses.replace(holdfast, kubeconfig=tmp_path / "kubeconfig")
    gate = tmp_path / "gate"
    one = Following(behind.start("run", "--wait", "--name", "a", "--", *gated(gate, "before", "after", 5)))
    following.append(one)
    eventually_sync(lambda: one.stdout == b"before\n", LIMIT)
    cable.cut()
    eventually_sync(lambda: b"does not answer" in one.stderr, LIMIT)
    gate.touch()
    eventually_sync(lambda: one.stdout == b"before\nafter\n", LIMIT)
    assert one.process.poll() is None
    cable.mend()
    assert (one.ends(), one.stdout) == (5, b"before\nafter\n")
    assert b"answers again" in one.stderr


def test_wait_shows_every_attempt(holdfast: Holdfast, following: list[Following], tmp_path: Path) -> None:
    """2.4: the code is the last attempt's."""
    marker = tmp_path / "marker"
    script = f"echo try; test -e {marker} && exit 0; touch {marker}; exit 3"
    one = Following(holdfast.start("run", "--wait", "--retry", "2", "--backoff", "100ms", "--", "sh", "-c", script))
    following.append(one)
    assert (one.ends(), one.stdout) == (0, b"try\ntry\n"), one.stderr


def test_an_interrupt_leaves_the_job_running(
    holdfast: Holdfast, jobs: Jobs, following: list[Following], tmp_path: Path
) -> None:
    """Issue item 7: and says how to go on."""
    gate = tmp_path / "gate"
    one = Following(holdfast.start("run", "--wait", "--name", "a", "--", *gated(gate, "before", "after")))
    following.append(one)
    eventually_sync(lambda: one.stdout == b"before\n", LIMIT)
    one.interrupt()
    assert one.ends() == 130
    assert b"holdfast logs -f a" in one.stderr
    gate.touch()
    other = Following(holdfast.start("logs", "-f", "a"))
    following.append(other)
    assert (other.ends(), other.stdout) == (0, b"before\nafter\n")
    assert jobs.get("a")["status"]["phase"] == "Succeeded"


def test_cancel_and_rerun(holdfast: Holdfast, jobs: Jobs, following: list[Following], tmp_path: Path) -> None:
    """2.4: the waiting command ends with the canceled job; the new job has its own name, attempts and output."""
    gate = tmp_path / "gate"
    one = Following(holdfast.start("run", "--wait", "--name", "a", "--", *gated(gate, "before", "after")))
    following.append(one)
    eventually_sync(lambda: one.stdout == b"before\n", LIMIT)
    holdfast("cancel", "a")
    assert one.ends() not in (0, 130)
    assert b"a Canceled" in one.stderr
    gate.touch()
    new = holdfast("rerun", "a", "-o", "name").stdout.strip().removeprefix("batchjob.holdfast.dev/")
    eventually_sync(lambda: phase(jobs, new) == "Succeeded", LIMIT)
    assert holdfast("logs", new).stdout == "before\nafter\n"


def phase(jobs: Jobs, name: str) -> Any:
    return jobs.get(name).get("status", {}).get("phase")


def test_suspend_and_resume_of_a_running_job(holdfast: Holdfast, jobs: Jobs, tmp_path: Path) -> None:
    """2.4: resuming makes a new attempt."""
    gate = tmp_path / "gate"
    holdfast("run", "--name", "a", "--", *gated(gate, "before", "after"))
    eventually_sync(lambda: phase(jobs, "a") == "Running", LIMIT)
    holdfast("suspend", "a")
    eventually_sync(lambda: phase(jobs, "a") == "Suspended", LIMIT)
    gate.touch()
    holdfast("resume", "a")
    eventually_sync(lambda: phase(jobs, "a") == "Succeeded", LIMIT)
    assert jobs.get("a")["status"]["attempt"]["number"] == 2


def test_queue_agrees_with_the_controller(holdfast: Holdfast, jobs: Jobs, tmp_path: Path) -> None:
    """2.2: the position in the status is the one in the list."""
    gate = tmp_path / "gate"
    jobs.queue("one", concurrency=1)
    holdfast("run", "--name", "first", "-q", "one", "--", *gated(gate, "x", "y"))
    eventually_sync(lambda: phase(jobs, "first") == "Running", LIMIT)
    for name in ("b", "a"):
        holdfast("run", "--name", name, "-q", "one", "--", "true")
        eventually_sync(lambda name=name: phase(jobs, name) == "Queued", LIMIT)
    text = holdfast("queue", "one").stdout.splitlines()
    assert text[0] == "one: 1 running, 2 waiting, concurrency 1"
    listed = {line.split()[1]: int(line.split()[0]) for line in text[2:]}
    assert listed == {name: jobs.get(name)["status"]["queuePosition"] for name in ("b", "a")} == {"b": 1, "a": 2}
    gate.touch()
    eventually_sync(lambda: phase(jobs, "a") == "Succeeded", LIMIT)


@pytest.mark.parametrize(("answer", "outcome"), [("Restart", "Succeeded"), ("Fail", "Failed")])
def test_decide_on_a_lost_attempt(
    holdfast: Holdfast,
    jobs: Jobs,
    controller: RunningController,
    following: list[Following],
    tmp_path: Path,
    answer: str,
    outcome: str,
) -> None:
    """3.5: a job that was killed with all that watches it asks a person, and goes on as that one says."""
    gate = tmp_path / "gate"
    command = ["sh", "-c", f"echo $$; until test -e {gate}; do sleep 0.05; done"]
    one = Following(holdfast.start("run", "--wait", "--name", "a", "--on-lost", "Manual", "--", *command))
    following.append(one)
    eventually_sync(lambda: one.stdout.endswith(b"\n") and phase(jobs, "a") == "Running", LIMIT)
    controller.kill()
    directory = RunDir(str(holdfast.home / "runs" / f"{jobs.get('a')['metadata']['uid']}.1"))
    process = directory.read_process()
    assert process is not None
    supervisor = parse_lock(Path(directory.file("lock")).read_bytes())
    for pid in (supervisor.pid, process.recorder.pid, int(one.stdout)):
        os.kill(pid, signal.SIGKILL)
    controller.start()
    eventually_sync(lambda: b"holdfast decide a Restart|Fail" in one.stderr, LIMIT)
    gate.touch()
    holdfast("decide", "a", answer)
    assert (one.ends() == 0) == (outcome == "Succeeded")
    assert phase(jobs, "a") == outcome
    assert "NeedsDecision" in holdfast("describe", "a").stdout
