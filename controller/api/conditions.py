"""Conditions after the Kubernetes API conventions (requirement 1.3)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pydantic import Field

from controller.api.model import Model, Time

ConditionStatus = Literal["True", "False", "Unknown"]
MAX_MESSAGE = 2048  # the schema's bound; longer texts are cut here, never refused by the API server


class Condition(Model):
    """One metav1.Condition."""

    type: str = Field(description="Type of the condition in CamelCase.", max_length=64)
    status: ConditionStatus = Field(description="Status of the condition: True, False or Unknown.")
    reason: str = Field(description="Reason of the last transition in CamelCase.", max_length=128)
    message: str = Field(default="", description="What a person should know.", max_length=MAX_MESSAGE)
    observed_generation: int = Field(default=0, description="Generation of the spec that this was decided from.", ge=0)
    last_transition_time: Time = Field(description="When the status last changed.")


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of type `kind`, or None."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether a condition of type `kind` is there with status True."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def with_condition(
    conditions: tuple[Condition, ...],
    kind: str,
    status: ConditionStatus,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """`conditions` with the one of type `kind` set; its transition time moves only when its status changes."""
    message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
    old = find(conditions, kind)
    since = old.last_transition_time if old is not None and old.status == status else now
    new = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=since,
    )
    if old is None:
        return (*conditions, new)
    return tuple(new if c.type == kind else c for c in conditions)
