"""Stopping what an ended command left behind, where attempt.json or process.json is damaged (requirements 3.6, 7.5).

An end that is recorded needs neither of them: what belongs to the attempt carries its marker, descends from such a
process, or is in the cgroup that is named after it. Standard library only.
"""

from __future__ import annotations

import os
import time

from controller.executors.process import cgroup
from controller.executors.process.records import RecordError
from controller.executors.process.rundir import RunDir
from controller.executors.process.stopping import sweep
from controller.executors.process.story import Story
from controller.executors.process.tree import Scope, members

_GRACE_SECONDS = 5.0
_LOOK_SECONDS = 1.0


def scope_without_records(run: RunDir) -> Scope:
    """Where to look for the attempt's processes, from the names of its directory and its cgroup alone."""
    attempt = os.path.basename(run.path)
    return Scope(attempt, frozenset(), _sessions(run), cgroup.path_of(attempt), frozenset({os.getpid()}))


def _sessions(run: RunDir) -> frozenset[int]:
    """Those of command and recorder; a session counts only as the one of a process that is proved to belong here."""
    try:
        command = run.read_command_stat()
    except (RecordError, OSError):
        command = None
    return frozenset() if command is None else frozenset({command.pid, command.ppid})


def sweep_up(run: RunDir, story: Story) -> None:
    """Return when nothing of the ended attempt is left and its end is durable; `lock` is held by the caller."""
    left = sweep(lambda: scope_without_records(run), _GRACE_SECONDS, story)
    while left is not None:
        left.step()
        _beat(run, story)
        time.sleep(min(left.due_in(), _LOOK_SECONDS))
        if not members(scope_without_records(run)):
            left = None
    cgroup.remove(scope_without_records(run).cgroup)
    story.tell("Ended", left=0, durable=_make_durable(run))


def _beat(run: RunDir, story: Story) -> None:
    try:
        os.utime(run.heartbeat)
    except OSError as error:
        story.tell("HeartbeatFailed", error=error.strerror)


def _make_durable(run: RunDir) -> bool:
    try:
        run.make_exit_durable()
    except OSError:
        return False
    return True
