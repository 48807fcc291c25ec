"""When the schedule wants a Snapshot (requirement 7.10). Cron syntax, in UTC.

Promises: what was missed while no controller ran, or while the clock stood wrong, is caught up once, not once for each
time; a clock that was set back makes nothing twice, and one that was ahead holds nothing up once it is right again.
Names follow from the moment of the schedule, so that a restart cannot take the same one twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from controller.api.snapshot import SCHEDULED_FOR, Snapshot


def previous(expression: str, now: datetime) -> datetime:
    """The newest moment of the schedule, which the settings have checked, that is not after `now`."""
    # cronsim goes back from strictly before: one minute on includes the present one.
    moments = CronSim(expression, now.replace(second=0, microsecond=0) + timedelta(minutes=1), reverse=True)
    return next(moments)


def due(expression: str, made: Sequence[datetime], now: datetime) -> datetime | None:
    """The moment for which a Snapshot is to be made now; None: nothing is due.

    Args:
        expression: cron syntax, checked before.
        made: moments for which Snapshots were made already.
        now: wall clock, timezone-aware UTC.
    """
    moment = previous(expression, now)
    # Those of a clock that was ahead are no reason to wait until it is that late again.
    return moment if all(each < moment for each in made if each <= now) else None


def name_of(moment: datetime) -> str:
    """Name of the Snapshot that is made for `moment`."""
    return f"scheduled-{moment.astimezone(UTC):%Y%m%d-%H%M}"


def scheduled_for(snapshot: Snapshot) -> datetime | None:
    """The moment that a Snapshot was made for; None where the schedule did not make it."""
    text = snapshot.metadata.annotations.get(SCHEDULED_FOR)
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
