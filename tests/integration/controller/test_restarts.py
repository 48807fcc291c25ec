"""What survives: a killed controller, a wiped status, jobs deleted and created again, a stop, a second controller."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from controller.app import EXIT_LOCKED
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs, uid_of
from tests.integration.controller.running_controller import RunningController, processes_of, same_process
from tests.integration.controller.waits import PATIENCE, soon


def test_running_job_is_reattached(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """3.2, 3.3, 2.6: over two SIGKILLs a job goes on in the same process, once, and keeps what it prints meanwhile."""
    log = tmp_path / "starts"
    script = f"echo $$ >>{log}; n=0; until [ -e {tmp_path}/go ]; do n=$((n+1)); echo line $n; sleep 0.1; done; exit 5"
    uid = uid_of(jobs.shell("stays", script))
    jobs.running("stays")
    recorder, command = controller.recorder(uid), soon(lambda: controller.command(uid), "the command runs")
    for _ in range(2):
        controller.kill()
        grows(controller, uid)
        controller.start()
    assert jobs.get("stays")["status"]["phase"] == "Running"
    assert same_process(recorder) and same_process(command)
    (tmp_path / "go").touch()
    job = jobs.finished("stays", "Failed")
    assert (job["status"]["attempt"]["number"], job["status"]["attempt"]["exitCode"]) == (1, 5)
    assert log.read_text() == f"{command.pid}\n"
    lines = controller.output(uid).decode().splitlines()
    assert lines == [f"line {n}" for n in range(1, len(lines) + 1)]


def grows(controller: RunningController, uid: str) -> None:
    """Wait until the job has printed more."""
    size = len(controller.output(uid))
    soon(lambda: len(controller.output(uid)) > size, "it prints more")


def test_jobs_that_end_while_no_controller_runs(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """3.4: exit codes of jobs that end during the outage are there afterwards."""
    names = {"zero": 0, "seven": 7, "high": 200}
    uids = {
        name: uid_of(jobs.shell(name, f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit {code}"))
        for name, code in names.items()
    }
    for name in names:
        jobs.running(name)
    controller.kill()
    (tmp_path / "go").touch()
    for uid in uids.values():
        soon(lambda uid=uid: controller.run(uid).exists("exit.json"), "the end is recorded")  # type: ignore[misc]
    controller.start()
    for name, code in names.items():
        assert jobs.finished(name)["status"]["attempt"]["exitCode"] == code
        assert "signal" not in jobs.get(name)["status"]["attempt"]


def test_unchanged_objects_cost_no_write_after_a_restart(controller: RunningController, jobs: Jobs) -> None:
    """10.1: a restart writes nothing for finished, queued and running jobs."""
    jobs.queue("full", concurrency=1)
    for name in ("done", "over"):
        jobs.create(name)
        jobs.finished(name)
    jobs.shell("runs", "sleep 300", queue="full", gracePeriod="1s")
    jobs.running("runs")
    jobs.create("waits", queue="full")
    jobs.phase("waits", "Queued")
    names = ("done", "over", "runs", "waits")
    soon(lambda: jobs.get("full", "jobqueues").get("status", {}).get("pending") == 1, "queue status")
    before = [jobs.get(name)["metadata"]["resourceVersion"] for name in names]
    controller.restart()
    soon(lambda: controller.metric('holdfast_reconcile_duration_seconds_count{kind="BatchJob"}') >= 1, "it looked")
    written = controller.metric('holdfast_api_requests_total{code="2xx",kind="BatchJob",verb="patch_status"}')
    assert written == 0
    assert [jobs.get(name)["metadata"]["resourceVersion"] for name in names] == before


def test_wiped_status(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """1.3: a status deleted by a person comes back: queued, running and finished; nothing starts twice."""
    log = tmp_path / "starts"
    jobs.queue("narrow", concurrency=1)
    jobs.shell("done", f"echo done >>{log}; exit 7")
    jobs.finished("done")
    jobs.create("fine")
    jobs.finished("fine", "Succeeded")
    script = f"echo runs >>{log}; until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 3"
    jobs.shell("runs", script, queue="narrow", retry={"limit": 1, "backoff": "100ms"})
    runs = jobs.running("runs")
    recorder = controller.recorder(uid_of(runs))
    jobs.shell("waits", f"echo waits >>{log}", queue="narrow")
    waits = jobs.phase("waits", "Queued")
    for name in ("done", "fine", "runs", "waits"):
        jobs.wipe(name)
    assert jobs.finished("done", "Failed")["status"]["attempt"]["exitCode"] == 7
    assert jobs.finished("fine", "Succeeded")["status"]["attempt"]["exitCode"] == 0
    again = jobs.running("runs")["status"]
    assert again["sequence"] == runs["status"]["sequence"] and again["attempt"]["number"] == 1
    assert jobs.phase("waits", "Queued")["status"]["sequence"] == waits["status"]["sequence"]
    assert same_process(recorder)
    controller.kill()
    for name in ("done", "runs", "waits"):
        jobs.wipe(name)
    controller.start()
    assert jobs.running("runs")["status"]["sequence"] == runs["status"]["sequence"]
    (tmp_path / "go").touch()
    final = jobs.finished("runs", "Failed")["status"]
    assert (final["attempt"]["number"], final["failures"], final["attempt"]["exitCode"]) == (2, 2, 3)
    jobs.finished("waits", "Succeeded")
    assert jobs.finished("done", "Failed")["status"]["attempt"]["exitCode"] == 7
    assert sorted(log.read_text().split()) == ["done", "runs", "runs", "waits"]


def test_deleted_while_running(controller: RunningController, jobs: Jobs) -> None:
    """7.6: a job deleted while it runs, with a controller and without one, is stopped and leaves nothing."""
    first = uid_of(jobs.shell("first", "sleep 60 & sleep 60"))
    second = uid_of(jobs.shell("second", "sleep 60 & sleep 60"))
    jobs.running("first")
    jobs.running("second")
    jobs.delete("first")
    soon(lambda: not processes_of(first), "its processes are gone")
    soon(lambda: not (controller.runs / f"{first}.1").exists(), "its run directory is gone")
    controller.kill()
    jobs.delete("second")
    assert processes_of(second)
    controller.start()
    soon(lambda: not processes_of(second), "its processes are gone")
    soon(lambda: not (controller.runs / f"{second}.1").exists(), "its run directory is gone")


def test_deleted_and_created_again(controller: RunningController, jobs: Jobs) -> None:
    """Faults: a job deleted and created again under its name is another job: the old one stops, the new one runs."""
    for outage in (False, True):
        old = uid_of(jobs.shell("phoenix", "sleep 60"))
        jobs.running("phoenix")
        if outage:
            controller.kill()
        jobs.delete("phoenix")
        new = uid_of(jobs.shell("phoenix", "echo new"))
        if outage:
            controller.start()
        job = jobs.finished("phoenix", "Succeeded")
        assert uid_of(job) == new != old and job["status"]["attempt"]["number"] == 1
        assert controller.output(new) == b"new\n"
        soon(lambda old=old: not processes_of(old), "the old one is stopped")  # type: ignore[misc]
        jobs.delete("phoenix")


def test_graceful_stop(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """7.9: SIGTERM ends the controller with 0 within the grace period; jobs go on and end with their code."""
    uid = uid_of(jobs.shell("lives", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 4"))
    jobs.running("lives")
    recorder = controller.recorder(uid)
    assert controller.terminate(timeout=60) == 0
    assert not (controller.home / "http.json").exists()
    assert same_process(recorder)
    (tmp_path / "go").touch()
    controller.start()
    assert jobs.finished("lives", "Failed")["status"]["attempt"]["exitCode"] == 4


def test_stop_while_the_api_server_is_away(other_controller: OtherController, tmp_path: Path) -> None:
    """7.9: SIGTERM ends also a controller that still waits for its API server."""
    text = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
"""
    (tmp_path / "kubeconfig").write_text(text)
    one = other_controller({"HOLDFAST_KUBECONFIG": str(tmp_path / "kubeconfig")})
    one.spawn()
    soon(lambda: one.readyz()[0] == 503 and "Unreachable" in one.readyz()[1], "it says what it lacks")
    assert one.terminate(timeout=60) == 0


def test_second_controller_on_the_same_state_directory(controller: RunningController, tmp_path: Path) -> None:
    """Design 9: the state directory's lock lets one controller work; a second one says which and ends."""
    assert controller.child is not None
    pid = controller.child.pid
    second = RunningController(tmp_path, Path(controller.settings["HOLDFAST_KUBECONFIG"]), home=controller.home)
    child = second.spawn()
    assert child.wait(PATIENCE) == EXIT_LOCKED
    (entry,) = [entry for entry in second.log_lines() if entry.get("reason") == "StateDirectoryLocked"]
    assert f"pid {pid}" in str(entry["error"]) and "HOLDFAST_HOME" in str(entry["error"])
    soon(lambda: controller.readyz()[0] == 200, "the first one goes on")


def test_frozen_controller_goes_on(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """2.6: a controller that stood still (SIGSTOP) goes on with what happened meanwhile."""
    uid = uid_of(jobs.shell("short", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 6"))
    jobs.running("short")
    freeze(controller)
    stopped_at = time.monotonic()
    (tmp_path / "go").touch()
    soon(lambda: controller.run(uid).exists("exit.json") and time.monotonic() - stopped_at > 2, "2 s are over")
    jobs.create("new")
    thaw(controller)
    assert jobs.finished("short", "Failed")["status"]["attempt"]["exitCode"] == 6
    jobs.finished("new", "Succeeded")


def freeze(controller: RunningController) -> None:
    """SIGSTOP; when this returns every thread of the controller stands, not only those that did not run just then."""
    assert controller.child is not None
    tasks = Path(f"/proc/{controller.child.pid}/task")
    os.kill(controller.child.pid, signal.SIGSTOP)
    soon(lambda: all(_state(path) == "T" for path in tasks.iterdir()), "every thread of the controller stands")


def _state(task: Path) -> str:
    """The third field of proc_pid_stat(5); "" for a thread that ended meanwhile."""
    try:
        return (task / "stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def thaw(controller: RunningController) -> None:
    assert controller.child is not None
    os.kill(controller.child.pid, signal.SIGCONT)


def test_stops_right_after_starts(other_controller: OtherController, jobs: Jobs) -> None:
    """7.9: whatever a start is at, its stop is clean: exit status 0 and no error in the log."""
    for number in range(20):
        jobs.create(f"job-{number}", suspend=True)
    controller = other_controller()
    for seconds in (0.0, 0.01, 0.02, 0.05, 0.1, 0.2):
        since = controller.log_size()
        controller.spawn()
        soon(lambda since=since: _filled(controller, since), "it has begun to work")  # type: ignore[misc]
        time.sleep(seconds)  # into the LISTs of its watches
        assert controller.terminate() == 0
        wrong = [each for each in controller.log_lines(since) if each.get("level") in ("error", "critical")]
        assert not wrong, wrong
        assert "Traceback" not in controller.log.read_text()


def _filled(controller: RunningController, since: int) -> bool:
    return any(each.get("event") == "books are filled" for each in controller.log_lines(since))
