"""Options that name a moment: a length of time before now, or RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click


class Moment(click.ParamType[datetime]):
    """A length of time before now, such as 2h or 1h30m, or a moment by RFC 3339."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        from controller.api.units import MAX_DURATION_SECONDS, duration_seconds

        try:
            seconds = duration_seconds(value)
        except ValueError:
            return self._moment(value, param, ctx)
        if seconds > MAX_DURATION_SECONDS:
            self.fail(f"{value!r} is longer than ten years", param, ctx)
        return datetime.now(UTC) - timedelta(seconds=seconds)

    def _moment(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            self.fail(
                f"{value!r} is neither a length of time such as 90s, 2h or 1h30m nor a moment such as "
                "2026-11-20T12:00:00Z",
                param,
                ctx,
            )
        return found


MOMENT = Moment()
