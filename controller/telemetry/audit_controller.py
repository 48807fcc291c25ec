"""What the audit journal says of the controller itself: its start and stop, and each check that fails and heals.

Which checks there are is said where they are registered (`health`); a new one is told here without a word.
"""

from __future__ import annotations

import asyncio
import os

from controller.decisions.audit_line import Category, Line
from controller.telemetry.audit import AuditJournal
from controller.telemetry.health import Health

LOOK_SECONDS = 1.0


def controller_line(event: str, *, reason: str = "", message: str = "", old: str = "", new: str = "") -> Line:
    """A line about this process; not urgent but for its start and stop."""
    ends = event in ("Started", "Stopping", "Stopped")
    return Line(
        Category.CONTROLLER,
        event,
        "Controller",
        "",
        str(os.getpid()),
        old=old,
        new=new,
        reason=reason,
        message=message,
        urgent=ends,
    )


async def tell_checks(journal: AuditJournal, health: Health) -> None:
    """Tell each change of a check, until cancelled."""
    before: dict[str, str] = {}
    while True:
        now = {name: why for name, why in health.readyz().checks.items() if why}
        journal.say(*changes(before, now))
        before = now
        await asyncio.sleep(LOOK_SECONDS)


def changes(before: dict[str, str], now: dict[str, str]) -> list[Line]:
    """Between two looks at the checks that fail, each with why it does; other words alone are no change."""
    failed = [
        controller_line("Degraded", old="ok", new="failing", reason=name, message=why)
        for name, why in now.items()
        if name not in before
    ]
    healed = [controller_line("Healed", old="failing", new="ok", reason=name) for name in before if name not in now]
    return failed + healed
