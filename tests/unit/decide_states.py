"""Every state that a decision can meet, every evidence and every wish, by name: what the tables are made of."""

from __future__ import annotations

from collections.abc import Callable

from controller.api.batchjob_status import AttemptState, Phase
from tests.unit.builders import (
    ABSENT,
    GONE,
    UNKNOWN,
    JobBuilder,
    alive,
    ended,
    job,
    launching,
    never_started,
)

ACTIVE = {
    "Starting": job().starting(),
    "Running": job().running(),
    "Canceling": job().stopping("Canceled"),
    "Suspending": job().stopping("Suspended"),
    "Expiring": job().stopping("ActiveDeadlineExceeded"),
    "Evicting": job().stopping("OutputLimit"),
}
EVIDENCE = {
    "alive": alive(),
    "alive, stop journalled": alive(stop_requested=True),
    "alive, no supervisor": alive(supervised=False),
    "launching": launching(),
    "launching, no supervisor": launching(supervised=False),
    "exit 0": ended(0),
    "exit 7": ended(7),
    "exit 143 Stopped": ended(143, reason="Stopped"),
    "ended, processes left": ended(0, left=2),
    "never started": never_started(),
    "not found": never_started("CommandNotFound"),
    "gone": GONE,
    "absent": ABSENT,
    "unknown": UNKNOWN,
}
WISHES: dict[str, Callable[[JobBuilder], JobBuilder]] = {
    "none": lambda declared: declared,
    "cancel": JobBuilder.cancel,
    "suspend": JobBuilder.suspend,
    "expired": lambda declared: declared.active_deadline("5s"),
    "restart": lambda declared: declared.decision(1, "Restart"),
    "resume": lambda declared: declared.decision(1, "Resume"),
    "fail": lambda declared: declared.decision(1, "Fail"),
}

IDLE = {
    "new": job(),
    "queued": job().queued().sequence(10),
    "no queue": job().queued("QueueNotFound").sequence(10),
    "backing off": job().backing_off(60),
    "backed off": job().backing_off(5),
    "suspended": job().over(AttemptState.SUSPENDED),
    "never ran, suspended": job().with_status(phase="Suspended"),
    "asks a person": job().needs_decision(),
    "asks about nothing": job().with_status(phase="Waiting"),
    "lost": job().over(AttemptState.LOST).queued("Lost"),
    "to be resumed": job().over(AttemptState.LOST).on_lost("Resume").queued("Lost").with_status(resumeFrom=1),
    "conditions taken away": job().over(AttemptState.SUCCEEDED),
    "end taken away": job().over(AttemptState.CANCELED),
    "succeeded": job().over(AttemptState.SUCCEEDED).finished(),
    "failed": job().over(AttemptState.FAILED).finished(Phase.FAILED),
    "canceled": job().finished(Phase.CANCELED),
}
