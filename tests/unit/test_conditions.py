"""Conditions after the Kubernetes API conventions (requirement 1.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from controller.api.batchjob_status import BatchJobStatus
from controller.api.conditions import MAX_MESSAGE, Condition, find, is_true, ours_of, with_condition, within_bound
from controller.api.kind import Kind
from controller.api.kinds import DECLARED
from controller.api.model import Model

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = START + timedelta(minutes=5)


def test_transition_time_moves_only_with_the_status() -> None:
    """1.3: a new reason or message alone is no transition."""
    first = with_condition((), "Admitted", "False", "QueueFull", "3 before it", 1, START)
    second = with_condition(first, "Admitted", "False", "Paused", "the queue is paused", 2, LATER)
    third = with_condition(second, "Admitted", "True", "Admitted", "", 2, LATER)
    assert [c[0].last_transition_time for c in (first, second, third)] == [START, START, LATER]
    assert (second[0].reason, second[0].observed_generation) == ("Paused", 2)


def test_one_condition_per_type_and_the_order_stays() -> None:
    """1.3: conditions are a map by type."""
    conditions = with_condition((), "Admitted", "True", "Admitted", "", 1, START)
    conditions = with_condition(conditions, "Running", "True", "Started", "", 1, START)
    conditions = with_condition(conditions, "Admitted", "False", "Requeued", "", 1, LATER)
    assert [c.type for c in conditions] == ["Admitted", "Running"]


def full(*ours: str, others: int) -> BatchJobStatus:
    """A status with conditions of others around ours."""
    conditions: tuple[Condition, ...] = ()
    for kind in (*(f"Theirs{number}" for number in range(others)), *ours):
        conditions = with_condition(conditions, kind, "True", "X", "", 1, START)
    return BatchJobStatus().model_copy(update={"conditions": conditions})


@pytest.mark.parametrize(
    ("ours", "others", "gone"),
    [
        ((), 16, 0),
        (("Finished",), 15, 0),
        (("Finished",), 16, 1),
        (("Admitted", "Running", "Complete", "Finished"), 14, 2),
        (tuple(sorted(ours_of(BatchJobStatus)[0])), 20, 14),
    ],
)
def test_ours_have_room_whatever_others_wrote(ours: tuple[str, ...], others: int, gone: int) -> None:
    """1.3, 3.4: a job's end is recorded although somebody filled the list; the last of theirs go first."""
    before = full(*ours, others=others)
    after, removed = within_bound(before)
    assert removed == tuple(f"Theirs{number}" for number in range(others - gone, others))
    assert [c.type for c in after.conditions] == [c.type for c in before.conditions if c.type not in removed]
    assert BatchJobStatus.model_validate(after.to_json()) == after  # the schema takes it
    assert within_bound(after) == (after, ())


@pytest.mark.parametrize("model", DECLARED.values(), ids=lambda model: model.__name__)
def test_each_kind_names_the_conditions_that_are_ours(model: type[Kind]) -> None:
    """1.3: all of them have room at once, and `kubectl explain` lists them."""
    status = model.model_fields["status"].annotation
    assert status is not None and issubclass(status, Model)
    ours, most = ours_of(status)
    told = set(re.findall(r"\b[A-Z][A-Za-z]+", status.model_fields["conditions"].description or ""))
    assert len(ours) <= most and ours == told


def test_find_and_is_true() -> None:
    """1.3: absent and Unknown are not True."""
    conditions = with_condition((), "Running", "Unknown", "NoAnswer", "", 1, START)
    assert find(conditions, "Finished") is None
    assert not is_true(conditions, "Running")
    assert not is_true(conditions, "Finished")
    assert is_true(with_condition(conditions, "Running", "True", "Started", "", 1, LATER), "Running")


def test_a_long_message_is_cut_to_what_the_schema_takes() -> None:
    """1.3: a status is never refused because an error was talkative."""
    message = with_condition((), "Failed", "True", "StartFailed", "x" * 10_000, 1, START)[0].message
    assert len(message) == MAX_MESSAGE
    assert message.endswith("…")


def test_the_wire_has_kubernetes_names() -> None:
    """1.3"""
    (condition,) = with_condition((), "Complete", "True", "Succeeded", "", 3, START)
    assert condition.to_json() == {
        "type": "Complete",
        "status": "True",
        "reason": "Succeeded",
        "message": "",
        "observedGeneration": 3,
        "lastTransitionTime": "2026-11-20T12:00:00.000000Z",
    }
    assert Condition.model_validate(condition.to_json()) == condition
