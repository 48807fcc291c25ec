"""`holdfast down --stop-jobs`: end the running attempts of a home, without a controller, by their run directories."""

from __future__ import annotations

import asyncio
from pathlib import Path

from controller.decisions.observed import Evidence
from controller.decisions.outcome import STOPPED_WITH_THE_PLANE
from controller.errors import Transient
from controller.executors.base import AttemptId
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.records import RecordError
from controller.executors.process.rundir import RunDir
from controller.recovery.binding import read_identity

DEFAULT_GRACE_SECONDS = 30.0
# After the grace period the supervisor KILLs until nothing is left; this is for a slow disk.
MARGIN_SECONDS = 30.0
POLL_SECONDS = 0.1


async def stop_jobs(home: Path) -> int:
    """Stop every attempt that runs, all at once; returns how many when none of them runs any more.

    Raises:
        Terminal: the state directory's identity is damaged.
        Transient: some still run after their grace period and a margin; the message names them.
    """
    identity = read_identity(home)
    runs = home / "runs"
    if identity is None or not runs.is_dir():
        return 0
    executor = ProcessExecutor(runs, identity.state_id)
    try:
        running = [attempt for attempt in await executor.list_attempts() if await _is_running(executor, attempt)]
        graces = [_grace(runs, attempt) for attempt in running]
        for attempt, grace in zip(running, graces, strict=True):
            await executor.stop(attempt, STOPPED_WITH_THE_PLANE, grace)
        await _all_ended(executor, running, max(graces, default=0.0) + MARGIN_SECONDS)
    finally:
        executor.close()
    return len(running)


async def _all_ended(executor: ProcessExecutor, attempts: list[AttemptId], limit_seconds: float) -> None:
    deadline = asyncio.get_running_loop().time() + limit_seconds
    left = attempts
    while left := [attempt for attempt in left if await _is_running(executor, attempt)]:
        if asyncio.get_running_loop().time() > deadline:
            raise Transient("JobsStillRun", f"still running: {', '.join(map(str, left))}; see their run directories")
        await asyncio.sleep(POLL_SECONDS)


async def _is_running(executor: ProcessExecutor, attempt: AttemptId) -> bool:
    seen = await executor.observe(attempt)
    return seen.evidence in (Evidence.ALIVE, Evidence.LAUNCHING) or seen.processes_left > 0


def _grace(runs: Path, attempt: AttemptId) -> float:
    try:
        record = RunDir(str(runs / str(attempt))).read_attempt()
    except (RecordError, OSError):
        record = None  # damaged: the usual grace period is the kindest guess
    return DEFAULT_GRACE_SECONDS if record is None else record.grace_seconds
