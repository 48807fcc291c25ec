"""The world around the controller fails: API server, etcd, disk, state directory, clock."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.executors.process.identity import Identity, send
from tests.disks import small_disk
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.running_controller import RunningController, processes_of, same_process
from tests.integration.controller.waits import PATIENCE, soon
from tests.needs import lack, need
from tests.running_plane import RunningPlane

MEGABYTE = 1024**2


def component(plane: RunningPlane, name: str) -> Identity:
    found = plane.plane.record(name).process
    assert found is not None
    return found


def served(jobs: Jobs) -> bool:
    try:
        return jobs.http.get("/readyz", timeout=10).status_code == 200
    except OSError:
        return False
    except Exception as error:  # noqa: BLE001  httpx's tree of transport errors
        assert type(error).__module__.startswith("httpx"), error
        return False


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [30, pytest.param(600, marks=pytest.mark.soak)])
def test_api_server_stands_still(
    controller: RunningController, jobs: Jobs, plane: RunningPlane, tmp_path: Path, seconds: int
) -> None:
    """Faults: 30 s (soak: 10 min) without an API server: jobs run on and end; what is to be recorded is, later."""
    jobs.queue("one", concurrency=1)
    ends = uid_of(jobs.shell("ends", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 6", queue="one"))
    goes_on = uid_of(jobs.shell("goes-on", f"until [ -e {tmp_path}/stop ]; do echo x; sleep 0.2; done; exit 7"))
    jobs.create("waits", queue="one")
    jobs.running("ends")
    jobs.running("goes-on")
    recorder = controller.recorder(goes_on)
    server = component(plane, "apiserver")
    assert send(server, signal.SIGSTOP)
    began = time.monotonic()
    try:
        (tmp_path / "go").touch()
        soon(lambda: controller.run(ends).exists("exit.json"), "it ends without an API server")
        soon(lambda: controller.healthz()[0] == 200, "it lives")
        size = len(controller.output(goes_on))
        soon(lambda: time.monotonic() - began > seconds, "the time is over", timeout=seconds + PATIENCE)
        assert len(controller.output(goes_on)) > size and same_process(recorder)
        if seconds <= 60:
            soon(lambda: controller.alive and controller.healthz()[0] == 200, "it still lives")
    finally:
        send(server, signal.SIGCONT)
    controller.ensure()  # after five minutes it may have ended, for `holdfast up` to start it again
    assert jobs.finished("ends", "Failed")["status"]["attempt"]["exitCode"] == 6
    jobs.finished("waits", "Succeeded")
    (tmp_path / "stop").touch()
    status = jobs.finished("goes-on", "Failed")["status"]["attempt"]
    assert (status["number"], status["exitCode"]) == (1, 7)


def test_stop_while_the_api_server_stands_still(
    controller: RunningController, jobs: Jobs, plane: RunningPlane, tmp_path: Path
) -> None:
    """7.9: SIGTERM ends the controller within its grace period although the API server does not answer; jobs go on."""
    uid = uid_of(jobs.shell("runs", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 9"))
    jobs.running("runs")
    recorder, server = controller.recorder(uid), component(plane, "apiserver")
    assert send(server, signal.SIGSTOP)
    try:
        assert controller.terminate(timeout=90) == 0
    finally:
        send(server, signal.SIGCONT)
    assert same_process(recorder)
    (tmp_path / "go").touch()
    controller.start()
    assert jobs.finished("runs", "Failed")["status"]["attempt"]["exitCode"] == 9


@pytest.mark.parametrize("name", ["apiserver", "etcd"])
def test_server_killed(
    controller: RunningController, jobs: Jobs, plane: RunningPlane, tmp_path: Path, name: str
) -> None:
    """Faults: API server or etcd killed while jobs run, wait and end: nothing is lost, nothing runs twice."""
    log = tmp_path / "starts"
    jobs.queue("one", concurrency=1)
    script = f"echo $HOLDFAST_JOB >>{log}; until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 6"
    runs = uid_of(jobs.shell("runs", script))
    for number in range(6):
        jobs.shell(f"in-line-{number}", f"echo $HOLDFAST_JOB >>{log}; sleep 0.3", queue="one")
    jobs.running("runs")
    recorder = controller.recorder(runs)
    old = component(plane, name)
    assert send(old, signal.SIGKILL)
    soon(lambda: component(plane, name) != old and served(jobs), f"{name} is back")
    jobs.all_finished([f"in-line-{n}" for n in range(6)])
    assert controller.alive and same_process(recorder)
    (tmp_path / "go").touch()
    assert jobs.finished("runs", "Failed")["status"]["attempt"]["exitCode"] == 6
    jobs.create("after")
    jobs.finished("after", "Succeeded")
    assert sorted(log.read_text().split()) == [*(f"in-line-{n}" for n in range(6)), "runs"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    with small_disk(tmp_path / "disk", "64m") as place:
        yield place


def shut_for(controller: RunningController, reason: str) -> bool:
    return reason in controller.readyz()[1]


def test_full_disk(other_controller: OtherController, jobs: Jobs, disk: Path, tmp_path: Path) -> None:
    """Design 4, 8.3: below minFreeBytes nothing is admitted, below half of it the largest writer ends: OutputLimit.

    On a disk that is wholly full a job still gets its exit code.
    """
    one = other_controller({"HOLDFAST_MIN_FREE_BYTES": str(40 * MEGABYTE)}, disk / "home")
    one.start()
    small = uid_of(jobs.shell("small", f"echo x; until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 5"))
    uid_of(jobs.shell("large", "head -c 50M /dev/zero; sleep 120", gracePeriod="1s"))
    assert jobs.finished("large", "Failed")["status"]["reason"] == "OutputLimit"
    soon(lambda: shut_for(one, "DiskFull"), "readyz says so")
    jobs.create("new")
    jobs.phase("new", "Queued")
    filler = disk / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            pass
    assert shutil.disk_usage(disk).free < 65536
    (tmp_path / "go").touch()
    soon(lambda: one.run(small).exists("exit.json"), "the exit code is kept on a full disk")
    status = jobs.finished("small")["status"]["attempt"]
    assert status["exitCode"] in (5, 143)  # it may itself have become the largest writer
    assert jobs.get("new")["status"]["phase"] == "Queued"
    filler.unlink()
    jobs.delete("large")
    jobs.finished("new", "Succeeded")
    assert one.alive


def remount(path: Path, mode: str) -> None:
    subprocess.run([need("mount"), "-o", f"remount,{mode}", path], check=True, timeout=60)


def test_read_only_state_directory(other_controller: OtherController, jobs: Jobs, disk: Path, tmp_path: Path) -> None:
    """8.3: a state directory that turns read-only shuts admission and says so; what ends meanwhile keeps its code."""
    one = other_controller(home=disk / "home")
    one.start()
    uid = uid_of(jobs.shell("runs", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 8"))
    jobs.running("runs")
    # Descriptors open for writing would refuse the remount: the same answer, EROFS, by a bind mount over the files.
    subprocess.run([need("mount"), "--bind", disk, disk], check=True, timeout=60)
    try:
        subprocess.run([need("mount"), "-o", "remount,bind,ro", disk], check=True, timeout=60)
        soon(lambda: shut_for(one, "StateDirectory"), "admission is shut")
        jobs.create("new")
        jobs.phase("new", "Queued")
        (tmp_path / "go").touch()
        soon(lambda: not processes_of(uid), "the job has ended")
    finally:
        subprocess.run([need("umount"), "-l", disk], check=True, timeout=60)
    status = jobs.finished("runs", "Failed")["status"]["attempt"]
    assert (status["number"], status["exitCode"]) == (1, 8)
    jobs.finished("new", "Succeeded")


def test_start_on_a_read_only_state_directory(other_controller: OtherController, disk: Path) -> None:
    """8.3: a start on a read-only state directory ends with one message that names the path."""
    (disk / "home").mkdir()
    remount(disk, "ro")
    one = other_controller(home=disk / "home")
    assert one.spawn().wait(PATIENCE) != 0
    said = [entry for entry in one.log_lines() if entry.get("reason") == "StateDirectory"]
    assert said and str(disk / "home") in str(said[0]["error"])
    remount(disk, "rw")


def test_state_directory_deleted(other_controller: OtherController, jobs: Jobs, tmp_path: Path) -> None:
    """Faults: the run directories are deleted under way: nothing is started a second time while it still runs."""
    one = other_controller()
    one.start()
    log = tmp_path / "starts"
    script = f"echo $HOLDFAST_JOB >>{log}; until [ -e {tmp_path}/go ]; do sleep 0.1; done"
    uids = {name: uid_of(jobs.shell(name, script)) for name in ("one", "two")}
    for name in uids:
        jobs.running(name)
    shutil.rmtree(one.runs / f"{uids['one']}.1")
    needs = condition_of(jobs.wait("one", "NeedsDecision"), "NeedsDecision")
    assert needs is not None and processes_of(uids["one"]) and needs["message"]
    shutil.rmtree(one.runs)
    jobs.wait("two", "NeedsDecision")
    soon(lambda: shut_for(one, "StateDirectory"), "admission is shut")
    jobs.create("new")
    jobs.phase("new", "Queued")
    assert sorted(log.read_text().split()) == ["one", "two"] and all(map(processes_of, uids.values()))
    (tmp_path / "go").touch()
    soon(lambda: not any(map(processes_of, uids.values())), "they have ended")
    one.runs.mkdir(mode=0o700)
    for name in uids:  # their exit codes went with their directories: they are lost, and started again
        assert jobs.finished(name, "Succeeded")["status"]["attempt"]["number"] == 2
    jobs.finished("new", "Succeeded")
    assert sorted(log.read_text().split()) == ["one", "one", "two", "two"]


FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)


@pytest.mark.parametrize("step", [3600, -3600])
def test_clock_steps(other_controller: OtherController, jobs: Jobs, tmp_path: Path, step: int) -> None:
    """Faults: the controller's clock an hour forth and back: nothing is lost, stopped, stuck or started twice."""
    library = next((path for path in FAKETIME if os.path.exists(path)), None)  # noqa: PTH110
    if library is None:
        lack("libfaketime is not installed (Debian package faketime)")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    one = other_controller(
        {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    )
    one.start()
    log = tmp_path / "starts"
    script = f"echo $HOLDFAST_JOB >>{log}; until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 4"
    uid = uid_of(jobs.shell("long", script, deadline="30m"))
    jobs.running("long")
    command = soon(lambda: one.command(uid), "the command runs")
    jobs.shell("retries", "exit 1", retry={"limit": 2, "backoff": "2s"})
    soon(lambda: failures(jobs, "retries") >= 1, "it failed once")
    offset.write_text(f"{step:+d}")
    jobs.finished("retries", "Failed")
    jobs.create("after-step")
    jobs.finished("after-step", "Succeeded")
    jobs.shell("slow", "sleep 300", deadline="1s", gracePeriod="1s")
    assert jobs.finished("slow", "Failed")["status"]["attempt"]["reason"] == "DeadlineExceeded"
    jobs.shell("retries-back", "exit 1", retry={"limit": 1, "backoff": "2s"})
    soon(lambda: failures(jobs, "retries-back") >= 1, "it failed once")
    offset.write_text("+0")
    jobs.finished("retries-back", "Failed")
    one.restart()
    assert same_process(command) and jobs.get("long")["status"]["phase"] == "Running"
    offset.write_text(f"{step:+d}")
    one.restart()
    jobs.create("after-restart")
    jobs.finished("after-restart", "Succeeded")
    (tmp_path / "go").touch()
    status = jobs.finished("long", "Failed")["status"]["attempt"]
    assert (status["number"], status["exitCode"]) == (1, 4)
    assert log.read_text() == "long\n"


def failures(jobs: Jobs, name: str) -> int:
    """How often a job failed; whoever looks late may see more than he waited for."""
    return int((jobs.get(name).get("status") or {}).get("failures") or 0)
