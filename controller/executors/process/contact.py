"""Talking to supervisors: hear what one that was started reports, ask one to stop, find those that live.

Requests travel as files of the run directory, so they outlive both sides; a signal only wakes the reader.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace

from controller.errors import Transient
from controller.executors.base import AttemptId
from controller.executors.process.records import RecordError, Stop
from controller.executors.process.rundir import RunDir
from controller.executors.process.starting import Started
from controller.executors.process.wakeup import holder

_REPORT_LIMIT_SECONDS = 30.0


def signal_supervisor(run: RunDir, number: int) -> bool:
    """Signal the supervisor that holds `lock`; False where nobody does. Raises OSError."""
    pidfd = holder(run)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


async def raise_failure(attempt: AttemptId, started: Started) -> None:
    """Wait until the supervisor let its command go or has nothing to do; raises Transient where it could not."""
    try:
        step = await started.report(_REPORT_LIMIT_SECONDS)
    except TimeoutError as error:
        raise Transient("SupervisorSilent", f"the supervisor of {attempt} did not report in time") from error
    if step["step"] == "failed":
        raise Transient("LaunchFailed", f"{attempt}: {step.get('message')}")
    if step["step"] == "lost":
        raise Transient("SupervisorLost", f"the supervisor of {attempt} ended before it reported")


def request_stop(run: RunDir, stop: Stop) -> None:
    """The first request's reason stays; a later one may only shorten the grace period. Raises OSError."""
    if run.write_stop(stop):
        return
    try:
        earlier = run.read_stop()
    except RecordError:
        earlier = None
    if earlier is None or stop.grace_seconds < earlier.grace_seconds:
        run.replace_stop(stop if earlier is None else replace(earlier, grace_seconds=stop.grace_seconds))


def live_supervisors(runs: str, attempts: list[AttemptId]) -> list[tuple[AttemptId, int]]:
    """Attempts with a supervisor that is proved alive, with its pidfd."""
    found = []
    for attempt in attempts:
        try:
            pidfd = holder(RunDir.of(runs, str(attempt)))
        except OSError:
            # observe() reports what is wrong with it; here it only means that no pidfd wakes us.
            continue
        if pidfd is not None:
            found.append((attempt, pidfd))
    return found
