"""Supervisors and recorders that are killed or stand still, and what follows a lost attempt."""

from __future__ import annotations

import signal
from pathlib import Path

from controller.executors.process.identity import send
from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.running_controller import RunningController, processes_of, same_process
from tests.integration.controller.waits import soon


def wait_for(path: Path, code: int) -> str:
    """A script that ends with `code` once `path` exists."""
    return f"until [ -e {path} ]; do sleep 0.1; done; exit {code}"


def test_supervisor_or_recorder_killed(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """3.4: the exit code survives a SIGKILL of the supervisor, of the recorder, and of supervisor and controller."""
    names = {"headless": 11, "unrecorded": 12, "alone": 13}
    uids = {name: uid_of(jobs.shell(name, wait_for(tmp_path / "go", code))) for name, code in names.items()}
    for name in names:
        jobs.running(name)
    before = {name: controller.command(uid) for name, uid in uids.items()}
    supervisors = {name: controller.supervisor(uid) for name, uid in uids.items()}
    assert send(supervisors["headless"], signal.SIGKILL)
    assert send(controller.recorder(uids["unrecorded"]), signal.SIGKILL)
    controller.kill()
    assert send(supervisors["alone"], signal.SIGKILL)
    controller.start()
    for name in ("headless", "alone"):
        soon(lambda n=name: is_supervised_anew(controller, uids[n], supervisors[n]), "supervised again")  # type: ignore[misc]
    assert all(map(same_process, before.values()))
    (tmp_path / "go").touch()
    for name, code in names.items():
        status = jobs.finished(name, "Failed")["status"]
        assert (status["attempt"]["exitCode"], status["attempt"]["number"]) == (code, 1), status


def is_supervised_anew(controller: RunningController, uid: str, old: object) -> bool:
    now = controller.supervisor(uid)
    return now != old and same_process(now)


def test_supervisor_or_recorder_stopped(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """3.3: a supervisor that stands still is replaced, a recorder is continued; the job goes on and ends with its code.

    A second supervisor stands still while its job is cancelled: the stop is carried out by its successor.
    """
    plan = {"still": 21, "frozen": 22, "cancelled": 23}
    uids = {
        name: uid_of(jobs.shell(name, wait_for(tmp_path / "go", code), gracePeriod="1s")) for name, code in plan.items()
    }
    for name in plan:
        jobs.running(name)
    old = {name: controller.supervisor(uid) for name, uid in uids.items()}
    assert send(old["still"], signal.SIGSTOP) and send(old["cancelled"], signal.SIGSTOP)
    assert send(controller.recorder(uids["frozen"]), signal.SIGSTOP)
    jobs.patch("cancelled", {"cancel": True})
    soon(lambda: is_supervised_anew(controller, uids["still"], old["still"]), "it is replaced")
    jobs.finished("cancelled", "Canceled")
    assert processes_of(uids["cancelled"]) == []
    (tmp_path / "go").touch()
    for name in ("still", "frozen"):
        assert jobs.finished(name, "Failed")["status"]["attempt"]["exitCode"] == plan[name]


def test_lost_attempts(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """3.5: onLost Restart starts again, Fail fails, Manual asks a person; what was left of the attempt is ended first.

    A loss is no failure: retry.limit is not touched.
    """
    script = f"[ -e {tmp_path}/go ] && exit 0; sleep 600"
    specs = {"again": "Restart", "fails": "Fail", "asks": "Manual", "gives-up": "Manual"}
    uids = {name: uid_of(jobs.shell(name, script, onLost=policy)) for name, policy in specs.items()}
    for name in specs:
        jobs.running(name)
    (tmp_path / "go").touch()
    for uid in uids.values():
        controller.lose(uid)
    status = jobs.finished("again", "Succeeded")["status"]
    assert (status["attempt"]["number"], status["losses"], status.get("failures", 0)) == (2, 1, 0)
    assert status["history"][0]["state"] == "Lost"
    assert jobs.finished("fails", "Failed")["status"]["reason"] == "Lost"
    for name in ("asks", "gives-up"):
        job = jobs.wait(name, "NeedsDecision")
        needs = condition_of(job, "NeedsDecision")
        assert needs is not None and "spec.decision" in needs["message"] and "attempt: 1" in needs["message"]
        assert job["status"]["phase"] == "Waiting"
        soon(lambda n=name: "NeedsDecision" in [e["reason"] for e in jobs.events(n)], "an Event")  # type: ignore[misc]
    assert all(processes_of(uid) == [] for uid in uids.values())
    assert soon(lambda: controller.metric("holdfast_jobs_needing_decision") == 2, "the metric")
    controller.restart()
    assert condition_of(jobs.get("asks"), "NeedsDecision")["status"] == "True"  # type: ignore[index]
    jobs.patch("asks", {"decision": {"attempt": 7, "action": "Fail"}})
    jobs.patch("gives-up", {"decision": {"attempt": 1, "action": "Fail"}})
    assert jobs.finished("gives-up", "Failed")["status"]["attempt"]["number"] == 1
    assert jobs.get("asks")["status"]["phase"] == "Waiting"
    jobs.patch("asks", {"decision": {"attempt": 1, "action": "Restart"}})
    assert jobs.finished("asks", "Succeeded")["status"]["attempt"]["number"] == 2


def test_loss_limit(controller: RunningController, jobs: Jobs) -> None:
    """3.5: after lossLimit lost attempts the job fails and says why."""
    uid = uid_of(jobs.shell("unlucky", "sleep 600", lossLimit=1))
    for number in (1, 2):
        soon(lambda n=number: jobs.running("unlucky")["status"]["attempt"]["number"] == n, "it runs")  # type: ignore[misc]
        controller.lose(uid, number)
    assert jobs.finished("unlucky", "Failed")["status"]["reason"] == "LossLimitExceeded"
    assert processes_of(uid, 1) == processes_of(uid, 2) == []
