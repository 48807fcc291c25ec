"""Conditions after the Kubernetes API conventions (requirement 1.3).

Others may add conditions of their own to a status, and the schema bounds the list: where they filled it, so many of
theirs go that ours have room (`within_bound`). What happened is recorded whatever others wrote (requirement 3.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Literal, TypeVar

from pydantic import Field

from controller.api.model import Model, Time

ConditionStatus = Literal["True", "False", "Unknown"]
StatusModel = TypeVar("StatusModel", bound=Model)
MAX_MESSAGE = 2048  # the schema's bound; longer texts are cut here, never refused by the API server


class Condition(Model):
    """One metav1.Condition."""

    type: str = Field(description="Type of the condition in CamelCase.", max_length=64)
    status: ConditionStatus = Field(description="Status of the condition: True, False or Unknown.")
    reason: str = Field(description="Reason of the last transition in CamelCase.", max_length=128)
    message: str = Field(default="", description="What a person should know.", max_length=MAX_MESSAGE)
    observed_generation: int = Field(default=0, description="Generation of the spec that this was decided from.", ge=0)
    last_transition_time: Time = Field(description="When the status last changed.")


@dataclass(frozen=True, slots=True)
class Ours:
    """Annotates the field `conditions` of a status with the types that Holdfast writes into it, blanks between them."""

    types: str


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


@cache
def ours_of(status: type[Model]) -> tuple[frozenset[str], int]:
    """The types of conditions that Holdfast writes into such a status, and how many of all types the schema takes."""
    rules = status.model_fields["conditions"].metadata
    ours = next(frozenset(rule.types.split()) for rule in rules if isinstance(rule, Ours))
    return ours, next(rule.max_length for rule in rules if hasattr(rule, "max_length"))


def within_bound(status: StatusModel) -> tuple[StatusModel, tuple[str, ...]]:
    """`status` with no more conditions than the schema takes, and the types of those that went.

    All of ours stay, of the others as many as there is room for, those first that come first.
    """
    conditions: tuple[Condition, ...] = getattr(status, "conditions", ())
    if not conditions:
        return status, ()
    ours, most = ours_of(type(status))
    others = [each.type for each in conditions if each.type not in ours]
    gone = tuple(others[max(0, most - (len(conditions) - len(others))) :])
    if not gone:
        return status, ()
    kept = tuple(each for each in conditions if each.type not in gone)
    return status.model_copy(update={"conditions": kept}), gone
