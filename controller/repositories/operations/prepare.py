"""prepare: run the user's command in a checkout of one commit and keep the whole as a base (requirements 5.1, 5.7).

The command gets no credentials and may leave no process behind: what it started is ended before the base is put in
place, so that nothing changes it any more. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from controller.repositories.operations import base
from controller.repositories.operations import git as calls
from controller.repositories.operations.checkout import check_supported, check_there
from controller.repositories.operations.failures import Failed
from controller.repositories.operations.mirror import locked, sound_mirror
from controller.repositories.operations.outcome import Outcome
from controller.repositories.orders import Prepare
from controller.repositories.places import BASES
from controller.repositories.results import Reason

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2): what the command leaves behind becomes our child
_END_LIMIT_SECONDS = 10.0


def prepare(order: Prepare, command: Sequence[str]) -> Outcome:
    """Make the base; one that is there is complete and stays.

    Raises:
        Failed, OSError: there is no base then.
    """
    with locked(Path(order.repository), order.lock_seconds, alone=False):
        mirror, facts = sound_mirror(Path(order.repository))
        base.remove_half_made(mirror, order.key)
        made = base.is_made(mirror.parent / BASES / order.key)
        if not made:
            git = calls.local(mirror)
            check_there(git, order.commit)
            check_supported(git, order.commit)
    if made:
        return Outcome(commit=order.commit, exit_code=0)
    try:
        base.make(mirror, order.key, order.commit, facts.object_format, order, lambda place: _run(place, command))
    except _CommandFailed as failure:
        return Outcome(Reason.PREPARATION_FAILED, str(failure), commit=order.commit, exit_code=failure.code)
    return Outcome(commit=order.commit, exit_code=0)


class _CommandFailed(Exception):
    """The command did not end with 0, or never began (`code` None)."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.code = code


def _run(directory: Path, command: Sequence[str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sys.stdout.flush()
    # The key of what is prepared is the commit: the environment has nothing that differs from job to job.
    try:
        status = subprocess.run(command, cwd=directory, check=False, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        raise _CommandFailed(f"spec.prepare.command[0] {command[0]}: {error.strerror}", None) from error
    _end_children()
    if status != 0:
        how = f"exit code {status}" if status > 0 else f"signal {-status}"
        raise _CommandFailed(f"spec.prepare.command ended with {how}: see the output", status if status > 0 else None)


def _end_children() -> None:
    """KILL and reap until none is left; orphans of those killed come to us too."""
    end = time.monotonic() + _END_LIMIT_SECONDS
    while children := _children():
        if time.monotonic() > end:
            raise Failed(Reason.PREPARATION_FAILED, f"spec.prepare.command left processes that do not end: {children}")
        for pid in children:
            os.kill(pid, signal.SIGKILL)  # our child, not reaped yet: the pid is still its own
        for pid in children:
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)


def _children() -> list[int]:
    return [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
