"""What becomes of a Snapshot, which ones are removed, and what the schedule wants (requirement 7.10)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pydantic import ValidationError

from controller.api.conditions import is_true
from controller.api.snapshot import Snapshot, SnapshotPhase, SnapshotStatus
from controller.decisions.schedule import due, name_of
from controller.decisions.snapshot import (
    BUSY,
    MAX_TRIES,
    NotTaken,
    Seen,
    SnapshotPlan,
    Taken,
    decide,
    expired,
    location_of,
)
from controller.settings import Settings
from tests.unit.snapshot_builders import T0, ended, snapshot

TAKEN = Taken((("BatchJob", 3), ("JobQueue", 1)), 100, "ab" * 32, "id", "7")
AWAY = NotTaken("Unreachable", "the API server is away", final=False)


def see(found: Snapshot, **seen: object) -> SnapshotPlan:
    return decide(found, Seen(location="/x/a", **seen), T0)  # type: ignore[arg-type]


def after(plan: SnapshotPlan) -> Snapshot:
    return with_status(plan.status)


def with_status(status: SnapshotStatus) -> Snapshot:
    return snapshot("a").model_copy(update={"status": status})


def test_begun_only_with_its_location_recorded() -> None:
    """7.10, record before act: a crash after the record finds out where the archive would be."""
    plan = see(snapshot())
    assert plan.take and (plan.status.phase, plan.status.tries, plan.status.location) == ("Running", 1, "/x/a")


def test_its_end_is_recorded_with_its_counts() -> None:
    """7.10: objects by kind, size, checksum."""
    plan = see(after(see(snapshot())), ended=TAKEN)
    assert not plan.take and plan.status.phase is SnapshotPhase.COMPLETE
    assert (plan.status.total, plan.status.bytes, plan.status.sha256) == (4, 100, "ab" * 32)
    assert is_true(plan.status.conditions, "Finished") and is_true(plan.status.conditions, "Complete")


def test_one_at_a_time() -> None:
    """7.10: the second one is Pending, written once, and goes on when the first is over."""
    waiting = see(snapshot(), busy=True)
    assert waiting.status.phase is SnapshotPhase.PENDING and not waiting.take and waiting.wake_after
    assert see(after(waiting), busy=True).status == waiting.status
    assert see(after(waiting)).take


@pytest.mark.parametrize("told", ["", "the disk is full"])
def test_one_that_was_interrupted_waits_too(told: str) -> None:
    """7.10: another one was begun first after a restart: it is Pending as long, and its tries are not counted anew."""
    begun = see(snapshot()).status.model_copy(update={"message": told})
    waiting = see(with_status(begun), busy=True)
    assert not waiting.take and waiting.wake_after
    assert (waiting.status.phase, waiting.status.message, waiting.status.tries) == ("Pending", BUSY, 1)
    assert see(after(waiting), busy=True).status == waiting.status
    again = see(after(waiting))
    assert again.take and (again.status.phase, again.status.message, again.status.tries) == ("Running", "", 2)


def test_one_that_waits_for_its_next_try_says_what_went_wrong() -> None:
    """7.10: not that another one is being taken meanwhile."""
    failed = see(after(see(snapshot())), ended=AWAY).status
    later = decide(with_status(failed), Seen(location="/x/a", busy=True), T0 + timedelta(minutes=1))
    assert not later.take and later.status == failed


def test_interrupted_ones_are_taken_again_but_not_for_ever() -> None:
    """7.10: a Snapshot that ends the controller each time is given up."""
    plan = see(snapshot())
    for _ in range(MAX_TRIES - 1):
        plan = see(after(plan))
        assert plan.take
    given_up = see(after(plan))
    assert not given_up.take and given_up.status.phase is SnapshotPhase.FAILED
    assert is_true(given_up.status.conditions, "Failed") and is_true(given_up.status.conditions, "Finished")
    assert f"{MAX_TRIES} times" in given_up.status.message


@pytest.mark.parametrize(("outcome", "again"), [(AWAY, True), (NotTaken("BadAddress", "no", final=True), False)])
def test_what_cannot_help_is_not_repeated(outcome: NotTaken, again: bool) -> None:
    """7.10: an API server that is away is asked again, a bad address is not."""
    plan = see(after(see(snapshot())), ended=outcome)
    assert not plan.take and (plan.status.phase is SnapshotPhase.FAILED) is not again
    assert plan.status.message == outcome.message and (plan.wake_after is not None) is again


def test_a_fault_of_the_world_is_waited_out() -> None:
    """7.10: with growing pauses, over restarts, for hours and not for ever; what was wrong stays in sight."""
    status, now, pauses = see(snapshot()).status, T0, []
    while status.phase is not SnapshotPhase.FAILED:
        failed = decide(with_status(status), Seen(location="/x/a", ended=AWAY), now)
        status = failed.status
        if failed.wake_after is not None:
            assert status.phase is SnapshotPhase.PENDING and status.message == AWAY.message
            pauses.append(failed.wake_after)
            early = decide(with_status(status), Seen(location="/x/a"), now + timedelta(seconds=1))
            assert not early.take and early.status == status and early.wake_after == failed.wake_after - 1
            now += timedelta(seconds=failed.wake_after)
            again = decide(with_status(status), Seen(location="/x/a"), now)
            assert again.take and again.status.message == AWAY.message
            status = again.status
    assert pauses[:3] == [5, 10, 20] and max(pauses) == 600 and sum(pauses) > 7200
    assert is_true(status.conditions, "Failed") and AWAY.message in status.message


def test_a_clock_that_was_set_back_does_not_hold_it_up() -> None:
    """7.10: the pause is bounded whatever the clock says."""
    failed = decide(with_status(see(snapshot()).status), Seen(location="/x/a", ended=AWAY), T0)
    assert decide(with_status(failed.status), Seen(location="/x/a"), T0 - timedelta(days=9)).wake_after == 5


def test_a_destination_that_is_not_allowed_fails_it() -> None:
    """7.10: whoever may make Snapshots must not write anywhere."""
    plan = see(snapshot(), refused="not allowed")
    assert not plan.take and plan.status.phase is SnapshotPhase.FAILED and "not allowed" in plan.status.message


def test_removal_is_recorded_first_and_resumed() -> None:
    """7.10: a crash between archive and object leaves one that says that it goes."""
    plan = see(ended("a", 1), expired=True)
    assert plan.remove and is_true(plan.status.conditions, "Expired")
    assert see(after(plan)).remove
    assert not see(ended("a", 1)).remove


def test_the_location_is_its_own() -> None:
    """7.10: another Snapshot of the same name, made later, does not overwrite the archive."""
    one, other = snapshot("a"), snapshot("a")
    other = other.model_copy(update={"metadata": other.metadata.model_copy(update={"uid": "ffffffff-1"})})
    assert location_of(one, "/x/") != location_of(other, "/x") and location_of(one, "/x") == location_of(one, "/x/")


def gone(*all_: Snapshot, keep: int = 2, hours: float = 1000) -> set[str]:
    return {key.name for key in expired(all_, keep, timedelta(hours=hours), T0)}


def test_kept_by_count_and_age() -> None:
    """7.10: the newest ones stay, old ones go; failed ones do not push good ones out."""
    good = [ended(name, hours) for name, hours in (("a", 1), ("b", 2), ("c", 3), ("d", 400))]
    failed = [ended(name, 0.5, "Failed") for name in ("x", "y", "z")]
    assert gone(*good, keep=3) == {"d"}
    assert gone(*good, keep=4, hours=100) == {"d"}
    assert gone(*good, *failed, keep=4) == set()
    assert gone(*good, *failed, keep=2) == {"c", "d", "z"}


def test_never_the_last_good_one() -> None:
    """7.10: however old it is, and however many failed after it."""
    assert gone(ended("old", 5000), ended("x", 1, "Failed"), hours=10) == set()
    assert gone(ended("old", 5000), ended("older", 6000), hours=10) == {"older"}


def test_a_person_keeps_one() -> None:
    """7.10: spec.keep."""
    kept = ended("b", 500).model_copy(update={"spec": snapshot(keep=True).spec})
    assert gone(ended("a", 1), kept, keep=1, hours=10) == set()


def test_the_schedules_newest_stays() -> None:
    """7.10: without it a restart would take the same one again."""
    made = snapshot("s", scheduled=T0, phase="Failed", finishedAt=(T0 - timedelta(hours=900)).isoformat())
    assert gone(ended("a", 1), made, hours=10) == set()


HOURLY = "0 * * * *"


@pytest.mark.parametrize(
    ("made", "now", "wanted"),
    [
        ([], T0, T0),  # switched on: one at once
        ([T0], T0 + timedelta(minutes=59), None),
        ([T0], T0 + timedelta(hours=1), T0 + timedelta(hours=1)),
        ([T0], T0 + timedelta(hours=7, minutes=5), T0 + timedelta(hours=7)),  # one catch-up, not seven
        ([T0], T0 - timedelta(hours=3), T0 - timedelta(hours=3)),  # of a clock that was ahead: no reason to wait
        ([T0 - timedelta(hours=3), T0], T0 - timedelta(hours=3), None),  # set back: not twice
    ],
)
def test_what_the_schedule_wants(made: list[datetime], now: datetime, wanted: datetime | None) -> None:
    """7.10: missed runs are caught up once; clock changes neither repeat nor withhold."""
    assert due(HOURLY, made, now) == wanted


def test_names_follow_from_the_moment() -> None:
    """7.10: a restart cannot take the same one twice."""
    assert name_of(T0) == "scheduled-20261120-1200"


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("snapshot_schedule", "61 * * * *", "Bad minute"),
        ("snapshot_schedule", "@daily", "five fields"),
        ("snapshot_destination", "backup", "absolute"),
        ("snapshot_destination", "simplecache::s3://x", "chained"),
        ("snapshot_destination", "s3://key:secret@bucket/x", "credentials"),
        ("snapshot_allow", "/x,s3://key:secret@bucket", "credentials"),
        ("pod_output", "s3://key:secret@bucket/x", "credentials"),
        ("snapshot_keep", 0, "greater than or equal to 1"),
    ],
)
def test_bad_settings_are_refused(setting: str, value: object, says: str) -> None:
    """7.10: with what is wrong."""
    with pytest.raises(ValidationError, match=says):
        Settings(**{setting: value})  # type: ignore[arg-type]
