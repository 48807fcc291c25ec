"""Which holders go, which are fenced, which stay: by evidence, never by silence alone (5.4, design 5)."""

from __future__ import annotations

from typing import Any

import pytest

from controller.api.batchjob_status import Attempt, AttemptState
from controller.api.repository import LockPolicy
from controller.api.repositorylock import RepositoryLock
from controller.decisions.holders import Look, Record, look_at, record_of, release
from controller.decisions.observed import Evidence
from controller.decisions.orphan import Owner
from tests.unit.builders import START, at
from tests.unit.lock_builders import GIVE_ON, KEEP, S, X, holder, lock, look

HOLDS = lock(holder("a", 3))


def outcome(seen: Look, policy: LockPolicy = KEEP) -> str:
    """Reason of the release, Fenced, or Stays."""
    done = release(HOLDS, {"uid-a": seen}, policy, at(10_000_000))
    if done.gone:
        assert not done.lock.holders and done.lock.token == 3
        return done.gone[0].reason
    if done.lock.holders[0].fenced_at is not None:
        return "Fenced"
    assert done.lock is HOLDS and done.notes == ()
    return "Stays"


STAYS, ENDED = "Stays", "Ended"
TABLE = {
    # evidence: what follows for a record that is Active, Over, NotAdmitted, Gone, Unknown
    Evidence.ALIVE: (STAYS, STAYS, STAYS, STAYS, STAYS),
    Evidence.LAUNCHING: (STAYS, STAYS, STAYS, STAYS, STAYS),
    Evidence.ENDED: (STAYS, ENDED, ENDED, ENDED, ENDED),
    Evidence.GONE: (STAYS, ENDED, ENDED, ENDED, ENDED),
    Evidence.NEVER_STARTED: (STAYS, ENDED, ENDED, ENDED, ENDED),
    Evidence.ABSENT: (STAYS, ENDED, "NotAdmitted", "HolderNotFound", "Fenced"),
    Evidence.UNKNOWN: ("Fenced", ENDED, "Fenced", "Fenced", "Fenced"),
}


@pytest.mark.parametrize("evidence", Evidence)
@pytest.mark.parametrize(("column", "record"), list(enumerate(Record)))
def test_every_evidence_with_every_record(evidence: Evidence, column: int, record: Record) -> None:
    """5.4: proof releases, silence past the lease fences; the job's own record goes first."""
    expected = TABLE[evidence][column]
    assert outcome(look(evidence, record, silent_for=301)) == expected
    given_on = "GivenOn" if expected == "Fenced" else expected
    assert outcome(look(evidence, record, silent_for=301), GIVE_ON) == given_on
    assert outcome(look(evidence, record, silent_for=299), GIVE_ON) == ("Stays" if expected == "Fenced" else expected)


@pytest.mark.parametrize("evidence", [Evidence.ENDED, Evidence.GONE, Evidence.NEVER_STARTED])
def test_what_an_attempt_left_running_keeps_its_lock(evidence: Evidence) -> None:
    """3.6, 5.4: released only after a sweep found nothing."""
    for record in Record:
        assert outcome(look(evidence, record, left=1)) == "Stays"


def test_a_grant_on_its_way_is_not_taken_back() -> None:
    """5.4: between the record of the grant and that of the admission."""
    for evidence in (Evidence.ABSENT, Evidence.UNKNOWN):
        assert outcome(look(evidence, Record.NOT_ADMITTED, granted=True, silent_for=301)) == "Stays"
    assert outcome(look(Evidence.NEVER_STARTED, Record.NOT_ADMITTED, granted=True)) == "Ended"


@pytest.mark.parametrize("evidence", Evidence)
def test_a_person_takes_the_lock_with_the_claims_own_uid(evidence: Evidence) -> None:
    """5.4: any other value does nothing."""
    assert outcome(look(evidence, force_release="uid-a")) == "ForceReleased"
    assert outcome(look(evidence, force_release="uid-b")) == outcome(look(evidence))


def test_a_holder_that_was_not_looked_at_stays() -> None:
    """5.4: missing is not proof."""
    assert release(HOLDS, {}, GIVE_ON, at(10**7)).lock is HOLDS


def test_silence_is_told_once_with_the_way_out() -> None:
    """5.4: fenced at the end of the lease, not before; a second look changes nothing."""
    early = release(HOLDS, {"uid-a": look(silent_for=100)}, KEEP, at(0))
    assert early.lock is HOLDS and early.wake_after == 200
    late = release(HOLDS, {"uid-a": look(silent_for=300)}, KEEP, at(5))
    assert late.lock.holders[0].fenced_at == at(5) and late.wake_after is None
    assert "forceRelease" in late.notes[0].message and late.notes[0].warning
    again = release(late.lock, {"uid-a": look(silent_for=900)}, KEEP, at(9))
    assert again.lock is late.lock and again.notes == ()
    restarted = release(late.lock, {"uid-a": look(silent_for=1)}, GIVE_ON, at(9))
    assert restarted.lock is late.lock and restarted.wake_after == 299
    assert release(late.lock, {"uid-a": look(silent_for=900)}, GIVE_ON, at(9)).gone[0].reason == "GivenOn"


def test_one_that_is_heard_again_is_fenced_no_more() -> None:
    """5.4: unless somebody was given the lock meanwhile who excludes it."""
    fenced = holder("a", 3, fenced_at=START)
    alive = {"uid-a": look(Evidence.ALIVE)}
    back = release(lock(fenced), alive, KEEP, at(9))
    assert back.lock.holders[0].fenced_at is None and back.notes[0].reason == "HeardAgain"
    other = lock(fenced, holder("b", 5))
    assert release(other, alive, KEEP, at(9)).lock is other
    ended = release(other, alive | {"uid-b": look(Evidence.ENDED, Record.OVER)}, KEEP, at(9))
    assert [(h.claim, h.fenced_at) for h in ended.lock.holders] == [("a", None)]
    two = lock(fenced, holder("b", 5, fenced_at=START))
    both = release(two, alive | {"uid-b": look(Evidence.ALIVE)}, KEEP, at(9))
    assert [h.fenced_at for h in both.lock.holders] == [START, None]
    for due in (look(Evidence.ABSENT), look(Evidence.ABSENT, Record.NOT_ADMITTED, granted=True)):
        starts = release(lock(fenced), {"uid-a": due}, KEEP, at(9))
        assert starts.lock.holders[0].fenced_at is None, "what was never launched cannot be heard first"
    shared = lock(holder("a", 3, S, fenced_at=START), holder("b", 5, S))
    assert [h.fenced_at for h in release(shared, alive, KEEP, at(9)).lock.holders] == [None, None]


PERSON = lock(holder("p", 3, person=True))


@pytest.mark.parametrize(
    ("seen", "now", "reason"),
    [
        ({"claim": Owner.GONE}, 1, "ClaimDeleted"),
        ({"claim": Owner.UNKNOWN, "lease_seconds": 1.0}, 1000, ""),
        ({"claim": Owner.PRESENT}, 10**8, ""),  # no lease: until it is deleted
        ({"lease_seconds": 60.0}, 59, ""),
        ({"lease_seconds": 60.0}, 60, "Expired"),
        ({"lease_seconds": 60.0, "renew_time": at(50)}, 100, ""),
        ({"lease_seconds": 60.0, "renew_time": at(50)}, 110, "Expired"),
        ({"lease_seconds": 60.0, "renew_time": at(-5000)}, 59, ""),  # it was renewed before its grant
        ({"lease_seconds": 60.0, "force_release": "uid-p"}, 1, "ForceReleased"),
    ],
)
def test_claims_of_people(seen: dict[str, Any], now: float, reason: str) -> None:
    """5.4: deleted, not renewed, or taken; with the clock as the only measure."""
    done = release(PERSON, {"uid-p": Look(**({"claim": Owner.PRESENT} | seen))}, GIVE_ON, at(now))
    assert [each.reason for each in done.gone] == ([reason] if reason else [])
    assert (done.wake_after is not None) == (not reason and seen.get("claim") is None and "lease_seconds" in seen)


def test_a_clock_that_was_set_back_makes_no_long_sleep() -> None:
    """5.4: the claim is looked at again within one lease."""
    done = release(PERSON, {"uid-p": Look(claim=Owner.PRESENT, lease_seconds=60.0)}, KEEP, at(-3600))
    assert done.lock is PERSON and done.wake_after == 60


def test_what_a_claim_says() -> None:
    """5.4"""
    meta = {"name": "p", "namespace": "default", "uid": "uid-p", "resourceVersion": "5"}
    spec = {"repository": "shop", "holder": {"name": "eve"}, "leaseDuration": "2m", "renewTime": at(3)}
    made = RepositoryLock.model_validate({"metadata": meta, "spec": spec | {"forceRelease": "uid-p"}})
    seen = look_at(made)
    assert (seen.claim, seen.lease_seconds, seen.renew_time, seen.force_release) == (
        Owner.PRESENT,
        120,
        at(3),
        "uid-p",
    )
    assert (
        look_at(RepositoryLock.model_validate({"metadata": meta, "spec": spec | {"leaseDuration": None}})).lease_seconds
        is None
    )


@pytest.mark.parametrize(
    ("newest", "state", "token", "record"),
    [
        (None, AttemptState.RUNNING, 3, Record.NOT_ADMITTED),
        ("a.1", AttemptState.STARTING, 3, Record.ACTIVE),
        ("a.1", AttemptState.STOPPING, None, Record.ACTIVE),
        ("a.1", AttemptState.RUNNING, 2, Record.ACTIVE),  # it runs, whatever it was told
        ("a.1", AttemptState.LOST, 2, Record.OVER),
        ("a.2", AttemptState.RUNNING, 9, Record.OVER),
        ("a.0", AttemptState.SUCCEEDED, 1, Record.NOT_ADMITTED),
        ("b.1", AttemptState.RUNNING, 3, Record.NOT_ADMITTED),
    ],
)
def test_what_a_job_records(newest: str | None, state: AttemptState, token: int | None, record: Record) -> None:
    """5.4: a holder names one attempt; numbers of attempts are never reused."""
    attempt = None
    if newest is not None:
        number = int(newest.rpartition(".")[2])
        attempt = Attempt.model_construct(id=newest, number=number, state=state, lock_token=token)
    assert record_of(holder("a", 3, X), attempt) is record


def test_a_holder_with_a_damaged_attempt_id() -> None:
    """5.4: it names nothing that was admitted; what goes on with it depends on the evidence."""
    attempt = Attempt(id="a.1", number=1, state=AttemptState.RUNNING, lock_token=3)
    assert record_of(holder("a", 3, attempt="a.x"), attempt) is Record.NOT_ADMITTED
