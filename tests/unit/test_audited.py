"""What the audit journal says of recorded statuses and of actions (requirement 9.3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState, BatchJobStatus, Phase
from controller.api.kind import Kind
from controller.api.kinds import MODELS
from controller.api.names import KINDS
from controller.api.repository import Holder, Lock, Repository, RepositoryStatus
from controller.api.repository_use import LockMode
from controller.cli.audit import CATEGORIES, DIRECTORY, NAME
from controller.decisions import audited, status
from controller.decisions.audit_line import MAX_MESSAGE, Category, Line
from controller.decisions.audited_acts import acted, acted_on_orphan, archive_removed, restore_began, restore_ended
from controller.decisions.audited_locks import release_lines
from controller.decisions.holders import Gone
from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.decisions.plan import Launch, Release, Stop, Supervise
from controller.errors import Transient
from controller.telemetry import audit
from tests.unit.builders import START, job
from tests.unit.snapshot_builders import snapshot

ALIVE = Observation(Evidence.ALIVE, started_at=START)


def short(line: Line) -> tuple[Any, ...]:
    return line.category.value, line.event, line.old, line.new, line.reason, line.attempt


def life(*statuses: BatchJobStatus) -> list[tuple[Any, ...]]:
    """What is told when these are recorded one after the other."""
    told, one = [], job("a").build()
    for new in statuses:
        told += [short(line) for line in audited.recorded(one, new, lambda _: "")]
        one = one.model_copy(update={"status": new})
    return told


def steps() -> tuple[BatchJobStatus, BatchJobStatus, BatchJobStatus]:
    """Queued, Starting and Running."""
    one = job("a").build()
    queued = status.waiting(one, one.status, START, "Waiting", "waits for its turn in the queue")
    starting = status.admitted(one, queued, START, 1, "Process", "state", "box")
    return queued, starting, status.running(one, starting, START, ALIVE)


def ended(state: AttemptState, reason: str) -> BatchJobStatus:
    return status.attempt_over(steps()[2], state, Observation(Evidence.GONE), START, reason, "why")


def test_the_life_of_a_plain_job_is_a_line_for_each_state() -> None:
    """Requirement 9.3: in order, each with its attempt and reason; the end is one line, not two."""
    one = job("a").build()
    over = status.ended(
        one, ended(AttemptState.SUCCEEDED, "Succeeded"), START, Phase.SUCCEEDED, "Succeeded", "exit code 0"
    )
    assert life(*steps(), over) == [
        ("queue", "Recorded", "", "Queued", "", None),
        ("job", "Recorded", "Queued", "Starting", "Admitted", 1),
        ("job", "Recorded", "Starting", "Running", "", 1),
        ("job", "Recorded", "Running", "Succeeded", "Succeeded", 1),
    ]


def test_a_lost_attempt_and_what_follows_are_two_lines() -> None:
    """Requirements 3.5, 9.3: the loss belongs to recovery, the new place in line to the queue."""
    one = job("a").build()
    again = status.waiting(one, ended(AttemptState.LOST, "Lost"), START, "Lost", "it is started again")
    assert life(*steps(), again)[3:] == [
        ("recovery", "AttemptOver", "Running", "Lost", "Lost", 1),
        ("queue", "Recorded", "Running", "Queued", "Lost", None),
    ]


def test_a_person_is_asked_and_answers() -> None:
    """Requirements 7.7, 9.3."""
    one = job("a").decision(1, "Fail").build()
    asked = status.mark(one, steps()[2], START, ("NeedsDecision", "True", "NoEvidence", "who knows"))
    told = audited.recorded(one.model_copy(update={"status": steps()[2]}), asked, lambda _: "")
    assert [short(line) for line in told] == [("decision", "NeedsDecision", "", "", "NoEvidence", 1)]
    answered = asked.model_copy(update={"decided": 1})
    told = audited.recorded(one.model_copy(update={"status": asked}), answered, lambda _: "")
    assert [short(line) for line in told] == [("decision", "Decided", "", "Fail", "SpecDecision", 1)]


def test_nothing_new_says_nothing() -> None:
    """A status that only counts or projects is nobody's decision."""
    running = steps()[2]
    one = job("a").build().model_copy(update={"status": running})
    assert audited.recorded(one, running.model_copy(update={"queue_position": 4}), lambda _: "") == ()


def test_starts_and_ends_are_urgent() -> None:
    """Requirement 9.3: written at once; a place in the queue can wait two seconds."""
    told, one = [], job("a").build()
    for new in steps():
        told += audited.recorded(one, new, lambda _: "")
        one = one.model_copy(update={"status": new})
    assert [line.urgent for line in told] == [False, True, True]


def repository(**lock: Any) -> Repository:
    return Repository.model_validate(
        {
            "metadata": {"name": "shop", "namespace": "default", "uid": "r", "resourceVersion": "1"},
            "spec": {"url": "https://git.example.org/shop.git"},
            "status": {"lock": lock} if lock else {},
        }
    )


def holder(token: int, uid: str = "j1") -> dict[str, Any]:
    return {"claim": f"c{token}", "uid": f"u{token}", "mode": "Exclusive", "token": token, "attempt": f"{uid}.2"}


def test_a_hand_over_is_a_release_and_a_grant() -> None:
    """Requirements 5.4, 9.3: with token, attempt, job and why."""
    old = repository(token=4, holders=[holder(4)])
    lock = Lock(token=5, holders=(Holder.model_validate(holder(5, "j2")),))
    assert old.status.lock is not None
    gone = Gone(old.status.lock.holders[0], "ForceReleased", "by a person")
    names = {"j1": "a", "j2": "b"}
    (released,) = release_lines(old, lock, [gone], lambda uid: names[uid])
    (granted,) = audited.recorded(old, RepositoryStatus(lock=lock), lambda uid: names[uid])
    assert (released.event, released.reason, released.token, released.job) == ("Released", "ForceReleased", 4, "a")
    assert (granted.event, granted.token, granted.job, granted.attempt) == ("Granted", 5, "b", 2)
    assert released.urgent
    assert granted.urgent
    assert granted.reason == LockMode.EXCLUSIVE.value


def test_actions_say_what_they_failed_with() -> None:
    """Requirement 9.3: every action, also one that failed."""
    one = job("a").build().model_copy(update={"status": steps()[1]})
    assert short(acted(one, Launch(1))) == ("job", "Launch", "", "Done", "", 1)
    failed = acted(one, Launch(1), Transient("NoSpace", "disk"))
    assert short(failed) == ("job", "Launch", "", "Failed", "NoSpace", 1)
    assert short(acted(one, Stop(1, "Canceled", 30))) == ("job", "Stop", "", "Done", "Canceled", 1)
    assert short(acted(one, Supervise(1))) == ("recovery", "Supervise", "", "Done", "", 1)
    orphan = acted_on_orphan("0b1e.3", Release(3, False), "Gone")
    assert short(orphan) == ("orphan", "Release", "", "Done", "OwnerGone", 3)
    assert (orphan.kind, orphan.uid) == ("Attempt", "0b1e")


def test_the_life_of_a_snapshot() -> None:
    """Requirements 7.10, 9.3: begun, made with what is in it, or failed with the reason; then removed by retention."""
    running = snapshot(phase="Running", tries=1, location="/b/a.zst")
    made = snapshot(phase="Complete", tries=1, location="/b/a.zst", total=7, bytes=99)
    failed = snapshot(phase="Failed", tries=1, message="no room")
    (began,) = audited.recorded(snapshot(phase="Pending"), running.status, lambda _: "")
    assert short(began) == ("snapshot", "Recorded", "Pending", "Running", "", 1) and began.message == "/b/a.zst"
    (ended,) = audited.recorded(running, made.status, lambda _: "")
    assert (ended.new, ended.message) == ("Complete", "7 objects, 99 bytes in /b/a.zst")
    (broken,) = audited.recorded(running, failed.status, lambda _: "")
    assert (broken.new, broken.message) == ("Failed", "no room")
    assert audited.recorded(made, made.status, lambda _: "") == ()
    removed = archive_removed(made, "TooOld")
    assert short(removed) == ("snapshot", "Removed", "", "", "TooOld", None) and removed.message == "/b/a.zst"


def test_a_restore_begins_and_ends() -> None:
    """Requirements 7.10, 9.3: which archive, and what came of it."""
    assert short(restore_began("1f3a", "7 objects")) == ("snapshot", "RestoreBegan", "", "", "", None)
    assert short(restore_ended("1f3a", "", "7 created")) == ("snapshot", "RestoreEnded", "", "Done", "", None)
    assert short(restore_ended("1f3a", "Interrupted", "")) == (
        "snapshot", "RestoreEnded", "", "Failed", "Interrupted", None
    )  # fmt: skip


def test_a_line_is_bounded_and_says_when_in_utc() -> None:
    """Requirement 9.3: RFC 3339 with milliseconds; what is empty is left out."""
    line = Line(Category.JOB, "Launch", "BatchJob", "default", "a", message="x" * 5000)
    written = line.to_json(START + timedelta(milliseconds=7))
    assert written["time"] == "2026-11-20T12:00:00.007Z"
    assert len(written["message"]) == MAX_MESSAGE
    assert set(written) == {"time", "category", "event", "kind", "namespace", "name", "message"}
    assert next(iter(written)) == "time"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_told(kind: str) -> None:
    """Requirement 9.3: no kind makes the record of its status fail; without a change there is no line."""
    model: type[Kind] = MODELS[kind]
    empty = model.model_construct(
        metadata=repository().metadata,
        spec=None,
        status=model.model_fields["status"].get_default(call_default_factory=True),
    )
    assert audited.recorded(empty, empty.status, lambda _: "") == ()


def test_the_command_knows_the_journal() -> None:
    """The names that the command keeps for the sake of its import time are those of the journal."""
    assert tuple(each.value for each in Category) == CATEGORIES
    assert (DIRECTORY, NAME) == (audit.DIRECTORY, audit.NAME)


def test_exit_code_is_told_by_the_message() -> None:
    """A failure says its code."""
    one: BatchJob = job("a").build()
    seen = Observation(Evidence.ENDED, exit=ExitRecord(7, None, "", "", START))
    over = status.attempt_over(steps()[2], AttemptState.FAILED, seen, START, "NonZeroExitCode", "exit code 7")
    over = status.ended(one, over, START, Phase.FAILED, "NonZeroExitCode", "attempt 1: exit code 7")
    running = one.model_copy(update={"status": steps()[2]})
    (line,) = audited.recorded(running, over, lambda _: "")
    assert (line.new, line.reason, line.message) == ("Failed", "NonZeroExitCode", "exit code 7")
