"""How a job declares its callbacks, and what is recorded of each delivery in the job itself (requirements 6.1-6.3)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from controller.api.crd import Rule
from controller.api.model import Model
from controller.api.text import CONFIG_KEY, DNS_SUBDOMAIN
from controller.api.units import Duration

# ASCII only, no user and password, no backslash: nothing that two parsers could read differently.
CALLBACK_URL = r"^https?://[A-Za-z0-9._:\[\]-]+([/?#][!-\[\]-~]*)?$"
CALLBACK_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

MAX_CALLBACKS = 8  # of one job
MAX_SCHEDULE = 32
MAX_DELIVERIES = 64  # entries of status.deliveries

# Wait before each repeat, about three days in all (requirement 6.3).
DEFAULT_SCHEDULE = ("5s", "30s", "2m", "10m", "30m", "1h", "2h", "4h", "8h", "12h", "24h", "24h")

ScheduleStep = Annotated[Duration, Field(description="Wait before one repeat.")]


class CallbackEvent(StrEnum):
    """What a receiver can be told; the last three are the ends of a job."""

    STARTED = "Started"
    WAITING = "Waiting"
    RETRYING = "Retrying"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def end(self) -> bool:
        """Whether the job is over with it."""
        return self in (CallbackEvent.SUCCEEDED, CallbackEvent.FAILED, CallbackEvent.CANCELED)


class DeliveryState(StrEnum):
    """PENDING until the receiver has it or it was given up."""

    PENDING = "Pending"
    DELIVERED = "Delivered"
    FAILED = "Failed"


class SecretKey(Model):
    """One key of a Secret in the job's namespace."""

    name: str = Field(description="Name of the Secret.", min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)
    key: str = Field(description="Key in its data.", min_length=1, max_length=253, pattern=CONFIG_KEY)


class SecretName(Model):
    """A Secret in the job's namespace, all of its keys."""

    name: str = Field(description="Name of the Secret.", min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)


class CallbackTimeout(Model):
    """Time limits of one try."""

    rules: ClassVar[tuple[Rule, ...]] = tuple(
        Rule(
            # The default `{}` of the whole is judged before those of its fields are there.
            f"!has(self.{field}) || "
            f"(duration(self.{field}) >= duration('100ms') && duration(self.{field}) <= duration('{limit}'))",
            f"timeout.{field} is between 100ms and {limit}",
            field,
        )
        for field, limit in (("connect", "60s"), ("total", "5m"))
    )
    connect: Duration = Field(default="10s", description="Until the connection stands; TLS may take as long again.")
    total: Duration = Field(default="30s", description="Until the whole answer is there, redirects included.")


class CallbackUse(Model):
    """One receiver of a job's events."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("isURL(self.url) && url(self.url).getHostname() != ''", "url is an http or https URL with a host", "url"),
    )
    name: str = Field(
        description="Name of the callback within the job.", min_length=1, max_length=63, pattern=CALLBACK_NAME
    )
    url: str = Field(
        description="Where the event is sent by POST; which addresses are allowed is a setting of the controller.",
        min_length=8,
        max_length=2048,
        pattern=CALLBACK_URL,
    )
    secret_ref: SecretKey = Field(
        description="What it is signed with (Standard Webhooks): one or more whsec_ secrets separated by white space, "
        "each of which signs, so that one can be rotated out."
    )
    headers_ref: SecretName | None = Field(
        default=None, description="Further headers: every key is the name of one, its value the header's."
    )
    events: tuple[CallbackEvent, ...] = Field(
        default=(CallbackEvent.SUCCEEDED, CallbackEvent.FAILED, CallbackEvent.CANCELED),
        description="Which events are sent.",
        min_length=1,
        max_length=6,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    schedule: tuple[ScheduleStep, ...] | None = Field(
        default=None,
        description="Wait before each repeat, each with a jitter of 20 %; after the last one it is given up. "
        f"Unset: {', '.join(DEFAULT_SCHEDULE)}.",
        max_length=MAX_SCHEDULE,
    )
    timeout: CallbackTimeout = Field(default_factory=CallbackTimeout, description="Time limits of one try.")


class DeliveryRecord(Model):
    """One event for one receiver, recorded in the job with what it tells of (requirement 6.1)."""

    name: str = Field(description="Name of the callback in spec.callbacks.", max_length=63)
    id: str = Field(description="webhook-id: the same for every try, for the receiver to dedupe.", max_length=64)
    event: CallbackEvent = Field(description="What is told.")
    attempt: int = Field(default=0, description="Number of the attempt that it tells of; 0 before the first.", ge=0)
    state: DeliveryState = Field(default=DeliveryState.PENDING, description="Pending, Delivered or Failed.")
