"""What a job's callbacks are told follows from two recorded statuses (6.1)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controller.api.batchjob import BatchJob
from controller.api.batchjob_status import AttemptState
from controller.api.callback_use import CallbackEvent, DeliveryState
from controller.decisions.inputs import Observed
from controller.decisions.job import decide
from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.decisions.outbox import delivery_id
from controller.decisions.plan import Delete
from tests.unit.builders import HOST, NOW, JobBuilder, ended, job

ALL = [each.value for each in CallbackEvent]


def told_by(made: JobBuilder, events: list[str] | None = None) -> JobBuilder:
    use = {"name": "hook", "url": "https://example.org/x", "secretRef": {"name": "s", "key": "k"}}
    return made.with_spec(callbacks=[use if events is None else {**use, "events": events}])


def decided(made: BatchJob, seen: Observed) -> BatchJob:
    return made.model_copy(update={"status": decide(made, seen, HOST, NOW).status})


def events_of(made: BatchJob) -> list[tuple[str, int]]:
    return [(record.event.value, record.attempt) for record in made.status.deliveries]


def test_the_end_and_its_delivery_are_one_record() -> None:
    """6.1: with an id that follows from what is told."""
    made = decided(told_by(job().running()).build(), Observed(attempt=ended(0)))
    (record,) = made.status.deliveries
    assert (record.name, record.event, record.state) == ("hook", CallbackEvent.SUCCEEDED, DeliveryState.PENDING)
    assert record.id == delivery_id(made.metadata.uid, 1, "hook", CallbackEvent.SUCCEEDED)
    again = decided(made, Observed())
    assert again.status == made.status


def test_a_start_that_was_over_before_it_was_recorded_is_told_first() -> None:
    """6.1, design 4: a state that is past is not written, but it is told."""
    over = Observation(Evidence.ENDED, ExitRecord(0, None, "", "", NOW), started_at=NOW)
    made = decided(told_by(job().starting(), ALL).build(), Observed(attempt=over))
    assert events_of(made) == [("Started", 1), ("Succeeded", 1)]


@pytest.mark.parametrize(
    ("made", "seen", "told"),
    [
        (job().running().retry(2), Observed(attempt=ended(3)), [("Retrying", 1)]),
        (job().running(), Observed(attempt=ended(3)), [("Failed", 1)]),
        (job().running().on_lost("Manual"), Observed(attempt=Observation(Evidence.GONE)), [("Waiting", 1)]),
        (job().running().on_lost("Restart"), Observed(attempt=Observation(Evidence.GONE)), [("Retrying", 1)]),
        (job().queued().cancel(), Observed(), [("Canceled", 0)]),
    ],
)
def test_events(made: JobBuilder, seen: Observed, told: list[tuple[str, int]]) -> None:
    """6.1: each once, with the attempt that it is about."""
    after = decided(told_by(made, ALL).build(), seen)
    assert events_of(after) == told
    assert events_of(decided(told_by(made, ["Started"]).build(), seen)) == []


def test_the_time_to_live_waits_for_deliveries() -> None:
    """6.1: and is counted from the end of the last one."""
    finished = decided(told_by(job().running().ttl("60s")).build(), Observed(attempt=ended(0)))
    (record,) = finished.status.deliveries
    late = NOW + timedelta(days=2)
    waiting = decide(finished, Observed(), HOST, late)
    assert waiting.actions == () and waiting.wake_after is None
    seen = Observed(deliveries={record.id: DeliveryState.DELIVERED}, delivered_at=late)
    settled = decide(finished, seen, HOST, late)
    assert settled.status.deliveries[0].state is DeliveryState.DELIVERED and settled.actions == ()
    recorded = finished.model_copy(update={"status": settled.status})
    assert decide(recorded, Observed(delivered_at=late), HOST, late + timedelta(seconds=61)).actions == (Delete(),)


def test_a_job_without_callbacks_records_nothing() -> None:
    """10.1: no byte more."""
    made = decided(job().running().build(), Observed(attempt=ended(0)))
    assert made.status.deliveries == () and made.status.attempt is not None
    assert made.status.attempt.state is AttemptState.SUCCEEDED
