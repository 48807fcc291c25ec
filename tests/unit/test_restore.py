"""What a restored object is like (requirement 7.10)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState, BatchJobStatus, Phase
from controller.api.conditions import Condition, find, is_true
from controller.api.model import ObjectMeta
from controller.api.restored import RESTORED_ATTEMPT, RESTORING, TOKEN_FLOOR, held, restored_attempt, token_floor
from controller.decisions.inputs import Host
from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.decisions.placement import Place, place
from controller.decisions.restore import Source, came_back_suspended, job_status, old_sequence, sequences
from controller.decisions.status import waiting
from controller.recovery.restore import rules

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOURCE = Source("0123456789abcdef", NOW)
HOST = Host("state", "here")
OLD, NEW = "11111111-old", "22222222-new"


def true(kind: str) -> dict[str, Any]:
    moment = "2026-11-19T10:00:00Z"
    return {"type": kind, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": moment}


def job(status: dict[str, Any], **spec: Any) -> BatchJob:
    meta = {"name": "a", "namespace": "n", "uid": OLD, "resourceVersion": "7"}
    return BatchJob.model_validate({"metadata": meta, "spec": {"command": ["x"], **spec}, "status": status})


def attempt(state: str, number: int = 2) -> dict[str, Any]:
    return {"id": f"{OLD}.{number}", "number": number, "state": state, "stateId": "elsewhere"}


def restored(archived: BatchJob, found: Observation | None = None) -> BatchJobStatus:
    return job_status(archived, NEW, -3, SOURCE, found, HOST, NOW)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Canceled"])
def test_what_had_finished_is_as_it_was(phase: str) -> None:
    """7.10: its conditions, its attempt under the new uid, and the mark that lets a controller go on."""
    archived = job({"phase": phase, "attempt": attempt("Succeeded"), "conditions": [true("Finished")], "sequence": 9})
    status = restored(archived)
    assert status.phase == phase and is_true(status.conditions, "Finished")
    assert status.attempt is not None and (status.attempt.id, status.sequence) == (f"{NEW}.2", -3)
    assert is_true(status.conditions, "Restored")


@pytest.mark.parametrize("state", ["Starting", "Running", "Stopping"])
def test_what_ran_is_suspended_with_its_attempt_closed(state: str) -> None:
    """7.10: the number is not reused, the counters stay, no slot is held."""
    status = restored(
        job({"phase": "Running", "attempt": attempt(state), "failures": 1, "conditions": [true("Running")]})
    )
    assert status.phase is Phase.SUSPENDED and status.attempt is not None
    assert (status.attempt.state, status.attempt.number, status.failures) == (AttemptState.LOST, 2, 1)
    assert not is_true(status.conditions, "Running") and not is_true(status.conditions, "Finished")
    back = job({}, suspend=True).model_copy(update={"status": status})
    assert place(back, ()) is Place.NEITHER and came_back_suspended(back)
    told = find(status.conditions, "Restored")
    assert told is not None and f"attempt 2 was {state}" in told.message and "`holdfast resume -n n a`" in told.message


@pytest.mark.parametrize(
    ("status", "known"),
    [({}, "it was new"), ({"phase": "Queued"}, "it was Queued"), ({"phase": "Suspended"}, "a person had suspended it")],
)
def test_a_job_that_came_back_suspended_says_why(status: dict[str, Any], known: str) -> None:
    """7.10: what the archive knew of it and the command that lets it go on, which is told no longer then."""
    told = find(restored(job(status)).conditions, "Restored")
    assert told is not None and known in told.message and "holdfast resume" in told.message
    back = job({}, suspend=True).model_copy(update={"status": restored(job(status))})
    gone_on = back.model_copy(update={"status": waiting(back, back.status, NOW, "Waiting", "waits for its turn")})
    assert came_back_suspended(back) and not came_back_suspended(gone_on)


def test_who_waits_for_a_person_still_does() -> None:
    """7.10: the question stays with its attempt."""
    conditions = [true("NeedsDecision")]
    status = restored(job({"phase": "Waiting", "attempt": attempt("Lost"), "conditions": conditions}))
    assert status.phase is Phase.WAITING and is_true(status.conditions, "NeedsDecision")
    told = find(status.conditions, "Restored")
    assert told is not None and "`holdfast decide -n n a restart`" in told.message


def ended(code: int) -> Observation:
    return Observation(Evidence.ENDED, exit=ExitRecord(code, None, "", "", NOW), started_at=NOW)


def test_an_end_that_the_run_directory_proves_is_recorded() -> None:
    """7.10: by the daily decision, with the callbacks that follow; an end that is repeated is not: a person resumes."""
    hook = [{"name": "h", "url": "http://h/", "secretRef": {"name": "s", "key": "k"}}]
    running = {"phase": "Running", "attempt": attempt("Running"), "conditions": [true("Running")]}
    status = restored(job(running, callbacks=hook), ended(0))
    assert status.phase is Phase.SUCCEEDED and status.attempt is not None and status.attempt.exit_code == 0
    assert "Succeeded" in [each.event for each in status.deliveries]
    assert restored(job(running), ended(3)).phase is Phase.FAILED
    assert restored(job(running, retry={"limit": 2}), ended(3)).phase is Phase.SUSPENDED
    assert restored(job(running), Observation(Evidence.ALIVE)).phase is Phase.SUSPENDED
    pushes = job(running, repository={"name": "r", "push": "Upstream"})
    assert restored(pushes, ended(0)).phase is Phase.SUSPENDED  # whether its push arrived is not known


def test_the_old_order() -> None:
    """7.10, design 4: -n..-1; a job that nobody had looked at has its version's place."""
    assert sequences([(30, "t", "c"), (10, "t", "a"), (20, "t", "b")]) == {"a": -3, "b": -2, "c": -1}
    assert old_sequence({"metadata": {"resourceVersion": "41"}}) == 41
    assert old_sequence({"metadata": {"resourceVersion": "41"}, "status": {"sequence": 0}}) == 0


def test_held_until_the_status_of_the_same_archive_is_there() -> None:
    """7.10: that of an earlier restore does not count; a wiped status holds it again."""
    meta = ObjectMeta(name="a", annotations={RESTORING: "new"})
    told = Condition(type="Restored", status="True", reason="R", message="from archive old", last_transition_time=NOW)
    assert held(meta, ()) and held(meta, (told,))
    assert not held(meta, (told.model_copy(update={"message": "from archive new of today"}),))
    assert not held(ObjectMeta(name="a"), ())
    waits = job({}).model_copy(update={"metadata": meta})
    assert place(waits, ()) is Place.NEITHER and place(job({}), ()) is Place.WAITING


def test_the_old_run_directory_is_its_own_until_the_next_attempt() -> None:
    """7.10: it is no orphan, and what lives in it keeps the job from starting."""
    meta = ObjectMeta(name="a", annotations={RESTORED_ATTEMPT: "u.2"})
    assert restored_attempt(meta, 2) == "u.2"
    assert restored_attempt(meta, 3) is None and restored_attempt(ObjectMeta(name="a"), 2) is None


@pytest.mark.parametrize(("text", "floor"), [("41", 41), ("", 0), ("-1", 0), ("x", 0), ("9" * 30, 0)])
def test_tokens_begin_above_the_floor(text: str, floor: int) -> None:
    """7.10, 5.4: and what a person wrote there does no harm."""
    assert token_floor(ObjectMeta(name="r", annotations={TOKEN_FLOOR: text})) == floor


def archived(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "namespace": "n", "uid": OLD}, "spec": spec, "status": status or {}}


def test_what_is_left_out() -> None:
    """7.10: what follows from others, what would claim again, what was in the middle of something."""
    assert rules.left_out("RepositoryLock", archived(holder={"name": "j", "attempt": "u.1"}))
    assert rules.left_out("RepositoryLock", archived({"phase": "Released"}, holder={"name": "anna"}))
    assert not rules.left_out("RepositoryLock", archived({"phase": "Held"}, holder={"name": "anna"}))
    assert rules.left_out("Snapshot", archived({"phase": "Running"}))
    assert not rules.left_out("Snapshot", archived({"phase": "Complete"}))
    assert not rules.left_out("BatchJob", archived({"phase": "Running"}))


def test_owners_are_those_that_are_there_now() -> None:
    """7.10: a reference to an owner that is not restored would have the object deleted."""
    item = archived()
    item["metadata"]["ownerReferences"] = [{"kind": "BatchJob", "uid": OLD}, {"kind": "BatchJob", "uid": "gone"}]
    body = rules.body("JobBatch", item, SOURCE, {OLD: NEW}, None)
    assert body["metadata"]["ownerReferences"] == [{"kind": "BatchJob", "uid": NEW}]


def test_a_restored_snapshot_is_kept() -> None:
    """7.10: to restore something is no reason to remove a backup."""
    assert rules.body("Snapshot", archived({"phase": "Complete"}), SOURCE, {}, None)["spec"]["keep"] is True


def test_the_mark_survives_cutting() -> None:
    """7.10: the message that names the archive is well below the bound of a condition's text."""
    told = find(restored(job({"conditions": [true("Finished")]})).conditions, "Restored")
    assert told is not None and SOURCE.id in told.message
