"""Which chores there are, in their order, and how often each is done."""

from __future__ import annotations

from functools import partial

from controller.app.works import Works
from controller.recovery.chores import (
    CorruptObjects,
    follow_adopt,
    follow_failures,
    observe_gauges,
    recheck_store,
    tidy,
    tidy_quarantine,
)
from controller.recovery.upkeep import Chore
from controller.settings import Settings

EACH_TICK = 0.0
DISK_SECONDS = 5.0
REMEMBER_SECONDS = 30.0
ORPHAN_SECONDS = 600.0
QUARANTINE_SECONDS = 3600.0
SCHEDULE_SECONDS = 5.0
RETENTION_SECONDS = 60.0
FAILURES_SECONDS = 5.0
RECHECK = "recheck"
RECHECK_AFTER_LIST = 3.0  # seconds: after the LIST's own events were told


def chores(works: Works, settings: Settings) -> tuple[Chore, ...]:
    """For `Upkeep`."""
    parts, ownerless, home = works.parts, works.ownerless, settings.home
    return (
        Chore("quarantine", QUARANTINE_SECONDS, partial(tidy_quarantine, home, parts.metrics.integrity)),
        Chore("adopt", EACH_TICK, partial(follow_adopt, home, ownerless)),
        Chore("corrupt objects", EACH_TICK, CorruptObjects(parts).tell),
        Chore("disk", DISK_SECONDS, works.disk.look),
        Chore("attempts", settings.sweep_seconds, works.intake.look_at_attempts),
        Chore("operations", settings.sweep_seconds, works.sides.repositories.operations.look_again),
        Chore("remember", REMEMBER_SECONDS, works.highest.remember),
        Chore("orphans", ORPHAN_SECONDS, ownerless.sweep, at_once=False),
        Chore("tidy", ORPHAN_SECONDS, partial(tidy, works.recovery.leftovers.watching(ownerless.tidy))),
        Chore(RECHECK, settings.relist_seconds, partial(recheck_store, parts, works.relisting), at_once=False),
        Chore("schedule", SCHEDULE_SECONDS, works.schedule.follow),
        Chore("snapshots", RETENTION_SECONDS, works.sides.snapshots.look_at_all),
        Chore("snapshot gauges", EACH_TICK, works.sides.snapshots.show),
        Chore("recovery", EACH_TICK, works.recovery.tick),
        Chore("failures", FAILURES_SECONDS, partial(follow_failures, parts), at_once=False),
        Chore("gauges", EACH_TICK, partial(observe_gauges, parts, ownerless, works.workers, works.recovery)),
        Chore("callback gauges", EACH_TICK, works.sides.callbacks.observe_metrics),
    )
