"""Housekeeping of `up`: what fails is said once, keeps nothing else from being done, and is tried again."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from controller.local import logs, process
from controller.local.chores import Chores


def test_what_fails_is_said_once_and_keeps_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    chores = Chores(said.append)
    problems: list[Exception | None] = [OSError(28, "No space left on device")] * 3
    problems += [OSError(5, "Input/output error"), None, OSError(5, "Input/output error")]
    for problem in problems:
        with chores.by_itself("washing up"):
            if problem is not None:
                raise problem
        with chores.by_itself("sweeping"):
            pass
    assert said == [
        "washing up failed and will be tried again: [Errno 28] No space left on device",
        "washing up failed and will be tried again: [Errno 5] Input/output error",
        "washing up failed and will be tried again: [Errno 5] Input/output error",
    ]
    assert not caplog.records


def test_a_defect_is_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    chores = Chores(said.append)
    for _ in range(2):
        with chores.by_itself("washing up"):
            raise KeyError("plug")
    assert said == ["washing up failed and will be tried again: KeyError: 'plug'"]
    (line,) = caplog.records
    assert line.exc_info is not None


def test_a_cancelled_chore_is_cancelled() -> None:
    with pytest.raises(KeyboardInterrupt), Chores(print).by_itself("washing up"):
        raise KeyboardInterrupt


def test_a_log_that_cannot_be_kept_is_cut_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirement 8.3: the bound of a log does not depend on the place for its copy."""
    monkeypatch.setattr(logs, "MAX_BYTES", 100)
    path = tmp_path / "etcd.log"
    path.write_bytes(b"x" * 101)
    (tmp_path / "etcd.log.1").mkdir()
    with pytest.raises(OSError, match="was cut") as caught:
        logs.bound(path)
    assert caught.value.filename == str(tmp_path / "etcd.log.1")
    assert logs.size(path) == 0


def test_a_process_that_somebody_else_has_reaped_is_gone() -> None:
    """An adopted server is no child of ours: it may go between the look and the signal."""
    child = subprocess.Popen(["true"])
    pidfd = os.pidfd_open(child.pid)
    try:
        child.wait(20)
        assert process.send(pidfd, signal.SIGTERM) is False
    finally:
        os.close(pidfd)
