"""What JobQueue and Repository say of the failures of their last jobs (requirement 7.8)."""

from __future__ import annotations

from pydantic import Field

from controller.api.model import Model, Time

MOST_REASONS = 5


class FailurePattern(Model):
    """Attempts that ended in the same way."""

    reason: str = Field(description="Why they ended, in CamelCase.", max_length=128)
    exit_code: int | None = Field(default=None, description="Exit code of the command.", ge=0, le=255)
    signal: int | None = Field(default=None, description="Signal that ended it.", ge=1, le=64)
    count: int = Field(description="How many of them.", ge=1)
    last_time: Time = Field(description="When the newest of them ended.")


class RecentFailures(Model):
    """Of the last day (HOLDFAST_FAILURE_WINDOW_SECONDS) and the jobs that still exist; counted once a minute."""

    total: int = Field(
        default=0, description="Attempts that failed or were lost, and jobs that failed without one.", ge=0
    )
    most: tuple[FailurePattern, ...] = Field(
        default=(),
        description="The five most frequent ones, the most frequent first.",
        max_length=MOST_REASONS,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    recovery_percent: int | None = Field(
        default=None,
        description="Of the jobs with an attempt that was lost, or ran while the controller was started anew: share "
        "that succeeded in the end; absent while none of them has ended.",
        ge=0,
        le=100,
    )
