"""Torn and garbage files in run directories, and entries of `runs` that are nothing of ours."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from controller.executors.process.identity import send
from tests.integration.controller.jobs import Jobs, condition_of, uid_of
from tests.integration.controller.running_controller import RunningController, processes_of, same_process
from tests.integration.controller.waits import soon

GARBAGE = {"garbage": b"\x00\xff}{ no json \n" * 20, "torn": b'{"version": 1, "co', "empty": b""}


@pytest.mark.parametrize("kind", GARBAGE)
def test_damaged_while_it_runs(controller: RunningController, jobs: Jobs, tmp_path: Path, kind: str) -> None:
    """7.5: whatever file is damaged, the job goes on, is never started a second time, and its end is recorded."""
    files = ("lock", "journal.jsonl", "recorder.lock", "attempt.json", "process.json")
    log = tmp_path / "starts"
    names = {file: file.replace(".", "-") for file in files}
    uids = {}
    for file, name in names.items():
        script = f"echo {name} >>{log}; until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 9"
        uids[file] = uid_of(jobs.shell(name, script))
    for name in names.values():
        jobs.running(name)
    commands = [controller.command(uid) for uid in uids.values()]
    for file, uid in uids.items():
        Path(controller.run(uid).file(file)).write_bytes(GARBAGE[kind])
    controller.restart()
    assert all(map(same_process, commands))
    jobs.create("bystander")
    jobs.finished("bystander", "Succeeded")
    assert all(map(same_process, commands))
    (tmp_path / "go").touch()
    for name in names.values():
        assert jobs.finished(name, "Failed")["status"]["attempt"]["exitCode"] == 9
    assert sorted(log.read_text().split()) == sorted(names.values())
    for file in ("attempt.json", "process.json"):
        assert file in jobs.get(names[file])["status"]["attempt"]["message"]
        soon(lambda file=file: told_of_damage(jobs, names[file], file), f"an Event names {file}")  # type: ignore[misc]
        jobs.delete(names[file])
        gone = controller.runs / f"{uids[file]}.1"
        soon(lambda gone=gone: not gone.exists(), "it is set aside")  # type: ignore[misc]
        assert list((controller.home / "quarantine").glob(f"{uids[file]}.1.*"))


def told_of_damage(jobs: Jobs, name: str, file: str) -> bool:
    events = [event for event in jobs.events(name) if event["reason"] == "RecordDamaged"]
    return any(event["type"] == "Warning" and file in event["message"] for event in events)


def test_damaged_and_no_end(controller: RunningController, jobs: Jobs, tmp_path: Path) -> None:
    """7.5, 3.5: without attempt.json or process.json and without an exit record nothing is proved: a person decides."""
    answers = {"attempt.json": "Fail", "process.json": "Restart"}
    names = {file: file.replace(".", "-") for file in answers}
    script = f"[ -e {tmp_path}/go ] || sleep 600; exit 9"
    uids = {file: uid_of(jobs.shell(name, script)) for file, name in names.items()}
    for file, name in names.items():
        jobs.running(name)
        uid = uids[file]
        identities = controller.supervisor(uid), controller.recorder(uid), controller.command(uid)
        Path(controller.run(uid).file(file)).write_bytes(GARBAGE["garbage"])
        assert all(send(identity, signal.SIGKILL) for identity in identities)
    (tmp_path / "go").touch()
    for file, name in names.items():
        needs = condition_of(jobs.wait(name, "NeedsDecision"), "NeedsDecision")
        assert needs is not None and file in needs["message"] and "spec.decision" in needs["message"]
        jobs.patch(name, {"decision": {"attempt": 1, "action": answers[file]}})
    assert jobs.finished(names["attempt.json"], "Failed")["status"]["reason"] == "Lost"
    again = jobs.finished(names["process.json"], "Failed")["status"]["attempt"]
    assert (again["number"], again["exitCode"]) == (2, 9)


@pytest.mark.parametrize("kind", ["garbage", "torn"])
def test_damaged_exit_record(controller: RunningController, jobs: Jobs, tmp_path: Path, kind: str) -> None:
    """7.5, 3.4: an exit record that cannot be read is no proof of anything: a person decides; a finished job stays."""
    jobs.create("finished")
    finished = uid_of(jobs.finished("finished", "Succeeded"))
    uid = uid_of(jobs.shell("ends", f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"))
    jobs.running("ends")
    controller.kill()
    (tmp_path / "go").touch()
    soon(lambda: controller.run(uid).exists("exit.json"), "the end is recorded")
    soon(lambda: not processes_of(uid), "it has ended")
    for one in (uid, finished):
        Path(controller.run(one).file("exit.json")).write_bytes(GARBAGE[kind])
    controller.start()
    needs = condition_of(jobs.wait("ends", "NeedsDecision"), "NeedsDecision")
    assert needs is not None and "exit.json" in needs["message"]
    assert jobs.get("ends")["status"]["attempt"]["number"] == 1
    jobs.patch("ends", {"decision": {"attempt": 1, "action": "Restart"}})
    assert jobs.finished("ends", "Succeeded")["status"]["attempt"]["number"] == 2
    assert jobs.get("finished")["status"]["phase"] == "Succeeded"


def test_damaged_stop_request(controller: RunningController, jobs: Jobs) -> None:
    """7.5: a stop request that cannot be read is still a request to stop; the job ends and says so."""
    uid = uid_of(jobs.shell("asked", "sleep 600", gracePeriod="1s"))
    jobs.running("asked")
    Path(controller.run(uid).file("stop.json")).write_bytes(GARBAGE["garbage"])
    job = jobs.finished("asked", "Failed")
    assert "damaged" in job["status"]["attempt"]["message"], job["status"]
    assert processes_of(uid) == []


def test_foreign_entries_of_runs_are_set_aside(controller: RunningController, jobs: Jobs) -> None:
    """7.5, 7.6: what is no run directory is reported and set aside; what a crash left is removed; the rest goes on."""
    controller.kill()
    strange = controller.runs / "not an attempt"
    strange.mkdir()
    (strange / "file").write_text("something of a person's")
    (controller.runs / "stray").write_text("a file")
    half = controller.runs / ".trash.11111111-2222-3333-4444-555555555555.1.tmp.0123456789abcdef"
    half.mkdir()
    since = controller.log_size()
    controller.start()
    jobs.create("bystander")
    jobs.finished("bystander", "Succeeded")
    soon(lambda: not strange.exists() and not half.exists(), "they are set aside")
    soon(lambda: not (controller.runs / "stray").exists(), "the file too")
    kept = {path.name.rpartition(".")[0] for path in (controller.home / "quarantine").iterdir()}
    assert {"not an attempt", "stray"} <= kept
    soon(lambda: [entry for entry in controller.log_lines(since) if "not an attempt" in str(entry)], "the log tells it")
    soon(lambda: controller.metric("holdfast_quarantined_files_total") >= 2, "they are counted")
