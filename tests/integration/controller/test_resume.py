"""Lost attempts that are resumed: in the same workspace, with the same checkpoints, once, over every crash (3.5).

The command of all tests tells what it finds where it begins, in a ledger outside the state directory, leaves something
half-done, and waits to be killed; once `go` is there it ends.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.repositories.places import Places
from tests.integration.controller.commands import Command
from tests.integration.controller.conftest import OtherController
from tests.integration.controller.jobs import Jobs, Object, condition_of, found, uid_of
from tests.integration.controller.repositories import Repositories
from tests.integration.controller.running_controller import RunningController, processes_of
from tests.integration.controller.waits import soon

SCRIPT = """
saved=$HOLDFAST_CHECKPOINT_DIR/step
echo "$1 ${{HOLDFAST_ATTEMPT##*.}} ${{HOLDFAST_RESUMED_FROM:--}} $(ls draft 2>/dev/null || echo clean) \
$(cat $saved 2>/dev/null || echo none) ${{HOLDFAST_LOCK_TOKEN:--}} $PWD" >>{ledger}
if [ -e .git ]; then git add -A || exit 9; touch .git/index.lock; fi
[ -e {go} ] && exit 0
echo text >draft
echo "half of ${{HOLDFAST_ATTEMPT##*.}}" | tr ' ' _ >$saved
touch {ready}.${{HOLDFAST_ATTEMPT##*.}}
sleep 120
"""


@dataclass(frozen=True)
class Line:
    """What one execution found: which command, its attempt, the lost one, draft or clean, its checkpoint, its place."""

    word: str
    attempt: int
    source: str
    files: str
    saved: str
    token: str
    place: str

    @property
    def tells(self) -> tuple[int, str, str, str]:
        return self.attempt, self.source, self.files, self.saved


@dataclass(frozen=True)
class Work:
    """The files of one test, and the jobs that use them."""

    directory: Path
    jobs: Jobs

    def make(self, name: str, repository: str = "", **spec: Any) -> str:
        """A job that runs the script; its uid."""
        more = {"repository": {"name": repository}} if repository else {}
        spec = {"onLost": "Resume", "gracePeriod": "1s", **more, **spec}
        return uid_of(self.jobs.create(name, *self.command("begin"), **spec))

    def command(self, word: str) -> list[str]:
        at = self.directory
        script = SCRIPT.format(ledger=at / "ledger", go=at / "go", ready=at / "ready")
        return ["/bin/sh", "-c", script, "job", word]

    def half_done(self, name: str, number: int) -> Object:
        """Wait until attempt `number` has left something; returns the job, in which it is recorded as running."""
        soon((self.directory / f"ready.{number}").exists, f"attempt {number} is half done")

        def recorded() -> Object:
            job = self.jobs.get(name)
            attempt = (job.get("status") or {}).get("attempt") or {}
            assert (attempt.get("number"), attempt.get("state")) == (number, "Running"), attempt
            return job

        return found(soon(recorded, f"attempt {number} is recorded"))

    def go(self) -> None:
        (self.directory / "go").touch()

    def ledger(self) -> list[Line]:
        lines = (self.directory / "ledger").read_text().splitlines()
        return [Line(w, int(a), s, f, c, t, p) for w, a, s, f, c, t, p in map(str.split, lines)]


@pytest.fixture
def work(tmp_path: Path, jobs: Jobs) -> Work:
    return Work(tmp_path, jobs)


def kept(controller: RunningController, uid: str) -> list[str]:
    """What there is of workspaces and checkpoints of a job."""
    places = Places(controller.home)
    found = [*places.workspaces.glob(f"{uid}.*"), *places.checkpoints.glob(f"{uid}.*")]
    return sorted(f"{path.parent.name}/{path.name.rpartition('.')[2]}" for path in found)


def test_a_loss_is_resumed(controller: RunningController, repositories: Repositories, jobs: Jobs, work: Work) -> None:
    """3.5, 5.4: the same checkout with its uncommitted file, the same checkpoint, a new fencing token, resumeCommand;

    git's lock file that the killed one left is no hindrance; at the end of the job both are removed.
    """
    repositories.ready()
    uid = work.make("job", "shop", resumeCommand=work.command("resume"))
    work.half_done("job", 1)
    assert kept(controller, uid) == ["checkpoints/1", "workspaces/1"]
    controller.lose(uid)
    work.half_done("job", 2)
    assert processes_of(uid, 1) == []
    controller.lose(uid, 2)
    work.go()
    status = jobs.finished("job", "Succeeded")["status"]
    first, second, third = work.ledger()
    assert [line.word for line in (first, second, third)] == ["begin", "resume", "resume"]
    assert first.tells == (1, "-", "clean", "none")
    assert second.tells == (2, "1", "draft", "half_of_1")
    assert third.tells == (3, "2", "draft", "half_of_2")
    assert first.place == second.place == third.place and f"{uid}.1" in first.place
    assert int(first.token) < int(second.token) < int(third.token)
    assert (status["attempt"]["resumedFrom"], status["attempt"]["origin"], status["losses"]) == (2, 1, 2)
    resumed = condition_of(jobs.get("job"), "Resumed")
    assert resumed is not None and resumed["status"] == "True"
    soon(lambda: not kept(controller, uid), "nothing is kept")


def test_a_job_without_a_repository(controller: RunningController, jobs: Jobs, work: Work) -> None:
    """3.5: its private working directory goes on too; one that is never resumed pays for nothing."""
    plain = uid_of(jobs.shell("plain", '[ -z "${HOLDFAST_CHECKPOINT_DIR-}" ]'))
    jobs.finished("plain", "Succeeded")
    assert kept(controller, plain) == []
    uid = work.make("job")
    work.half_done("job", 1)
    controller.lose(uid)
    work.go()
    jobs.finished("job", "Succeeded")
    first, second = work.ledger()
    assert (second.word, *second.tells) == ("begin", 2, "1", "draft", "half_of_1")
    assert first.place == second.place
    soon(lambda: not kept(controller, uid), "nothing is kept")


def test_a_person_decides(controller: RunningController, repositories: Repositories, jobs: Jobs, work: Work) -> None:
    """3.5, 7.7: Manual waits with all that was left; resume goes on in it, restart begins anew in a clean workspace."""
    repositories.ready()
    uid = work.make("job", "shop", onLost="Manual")
    for number, answer in ((1, "resume"), (2, "restart")):
        work.half_done("job", number)
        controller.lose(uid, number)
        needs = condition_of(jobs.wait("job", "NeedsDecision"), "NeedsDecision")
        assert needs is not None and f"job {answer}`" in needs["message"]
        assert kept(controller, uid) == ["checkpoints/1", "workspaces/1"]
        if answer == "restart":
            work.go()
        Command(controller)("decide", "-n", jobs.namespace, "job", answer)
    status = jobs.finished("job", "Succeeded")["status"]
    first, second, third = work.ledger()
    assert second.tells == (2, "1", "draft", "half_of_1")
    assert third.tells == (3, "-", "clean", "none") and third.place != first.place == second.place
    assert "origin" not in status["attempt"] and "resumedFrom" not in status["attempt"]


def test_killed_between_loss_and_resume(controller: RunningController, jobs: Jobs, work: Work) -> None:
    """1.3, 2.6: the wish to resume is recorded; a controller that dies before the loss or after it forgets nothing."""
    jobs.queue("line", concurrency=1)
    uid = work.make("job", queue="line")
    work.half_done("job", 1)
    controller.kill()
    controller.lose(uid)
    jobs.patch("line", {"paused": True}, "jobqueues")
    controller.start()
    job = jobs.phase("job", "Queued", reason="Lost")
    assert job["status"]["resumeFrom"] == 1
    controller.restart()
    assert kept(controller, uid) == ["checkpoints/1"]
    work.go()
    jobs.patch("line", {"paused": False}, "jobqueues")
    jobs.finished("job", "Succeeded")
    assert [line.tells for line in work.ledger()] == [(1, "-", "clean", "none"), (2, "1", "draft", "half_of_1")]


def test_wiped_while_it_is_resumed(
    controller: RunningController, repositories: Repositories, jobs: Jobs, work: Work
) -> None:
    """1.3: what is in attempt.json brings the chain back: the next loss is resumed in the same workspace."""
    repositories.ready()
    uid = work.make("job", "shop")
    work.half_done("job", 1)
    controller.lose(uid)
    work.half_done("job", 2)
    jobs.wipe("job")
    job = work.half_done("job", 2)
    assert (job["status"]["attempt"]["resumedFrom"], job["status"]["attempt"]["origin"]) == (1, 1)
    controller.restart()
    controller.lose(uid, 2)
    work.go()
    status = jobs.finished("job", "Succeeded")["status"]
    assert (status["attempt"]["number"], status["attempt"]["origin"], status["losses"]) == (3, 1, 2)
    third = work.ledger()[-1]
    assert third.tells == (3, "2", "draft", "half_of_2") and third.place == work.ledger()[0].place
    soon(lambda: not kept(controller, uid), "nothing is kept")


def test_what_is_gone_is_begun_anew(
    controller: RunningController, repositories: Repositories, jobs: Jobs, work: Work
) -> None:
    """3.5: it is said in a condition and an Event, and the job goes on from the start."""
    repositories.ready()
    uid = work.make("job", "shop")
    work.half_done("job", 1)
    controller.kill()
    controller.lose(uid)
    shutil.rmtree(Places(controller.home).workspace(f"{uid}.1"))
    work.go()
    controller.start()
    status = jobs.finished("job", "Succeeded")["status"]
    assert work.ledger()[-1].tells == (2, "-", "clean", "none") and "origin" not in status["attempt"]
    resumed = condition_of({"status": status}, "Resumed")
    assert resumed is not None and resumed["reason"] == "NothingToResume" and "workspace" in resumed["message"]
    soon(lambda: "NothingToResume" in [event["reason"] for event in jobs.events("job")], "an Event")


def test_kept_while_it_may_be_resumed(
    other_controller: OtherController, repositories: Repositories, jobs: Jobs, work: Work
) -> None:
    """7.6: sweeps leave alone what an unfinished job may still want, and take both when it has ended, or is gone."""
    settings = {"HOLDFAST_KEEP_FAILED_WORKSPACES_SECONDS": "0", "HOLDFAST_ORPHAN_GRACE_SECONDS": "1"}
    controller = other_controller(settings)
    controller.start()
    command = Command(controller)
    repositories.ready()
    uid = work.make("ends", "shop", onLost="Manual")
    work.half_done("ends", 1)
    controller.lose(uid)
    jobs.wait("ends", "NeedsDecision")
    for _ in range(2):
        command("orphans", "-o", "json")
    assert kept(controller, uid) == ["checkpoints/1", "workspaces/1"]
    command("decide", "-n", jobs.namespace, "ends", "fail")
    jobs.finished("ends", "Failed")

    def swept(uid: str) -> bool:
        command("orphans", "-o", "json")
        return not kept(controller, uid)

    soon(lambda: swept(uid), "what the job kept is removed")
    (work.directory / "ready.1").unlink()
    deleted = work.make("deleted", "shop")
    work.half_done("deleted", 1)
    jobs.delete("deleted")
    soon(lambda: swept(deleted), "what the deleted job kept is removed")
    assert processes_of(deleted) == []
