"""Does this state directory belong to this cluster? Every way in which it may not (design 9)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import cast

import pytest

from controller.decisions.binding import Identity, mismatch
from controller.errors import Terminal
from controller.executors.process.records import Attempt
from controller.reconcile.index import AttemptIndex
from controller.reconcile.ownerless import Ownerless
from controller.reconcile.parts import Parts
from controller.reconcile.scheduler import Scheduler
from controller.reconcile.workqueue import WorkQueue
from controller.recovery.binding import (
    ADOPT,
    IDENTITY,
    adopt_requested,
    adopted,
    read_identity,
    request_adopt,
    set_identity_aside,
    state_id_of_attempts,
    unreadable_directory,
    write_identity,
)
from controller.recovery.chores import follow_adopt
from controller.recovery.disk import DiskWatch
from controller.recovery.upkeep import Chore, Upkeep
from controller.settings import Settings
from controller.telemetry.metrics import Metrics
from tests.eventually import eventually

ME = Identity("state-1", "cluster-1", 500)
JOBS = ("default/a", "default/b")


@pytest.mark.parametrize(
    ("recorded", "cluster", "version", "foreign", "own", "directories", "reason"),
    [
        (None, "cluster-1", 1, (), (), None, None),  # the first start ever
        (None, "cluster-1", 1, (), (), 0, None),
        (None, "cluster-1", 900, JOBS, (), None, "EmptyStateDirectory"),  # the file system is not mounted
        (None, "cluster-1", 900, (), (), 3, "EmptyStateDirectory"),  # whose are these?
        (ME, "cluster-1", 500, (), JOBS, 2, None),  # every start after it
        (ME, "cluster-1", 501, (), (), 0, None),
        (ME, "cluster-1", 501, (), (), None, None),  # nothing ran, so nothing is missed
        (ME, "cluster-1", 501, JOBS, (), 2, None),  # theirs are Unknown, ours go on
        (ME, "cluster-2", 900, (), (), 2, "OtherCluster"),
        (ME, "cluster-1", 499, (), (), 2, "OlderBackup"),
        (ME, "cluster-1", 501, (), JOBS, None, "MissingRunDirectories"),
        (ME, "cluster-1", 501, (), JOBS, 0, None),  # the directory is there: each attempt is judged by itself
    ],
)
def test_binding(
    recorded: Identity | None,
    cluster: str,
    version: int,
    foreign: tuple[str, ...],
    own: tuple[str, ...],
    directories: int | None,
    reason: str | None,
) -> None:
    """7.5, design 9: what does not fit starts degraded, and the message names the way out."""
    found = mismatch(recorded, cluster, version, foreign, own, directories)
    assert (found.reason if found else None) == reason
    if found is not None:
        assert "holdfast adopt" in found.message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff",
        b"[]",
        b'"text"',
        b"{}",
        b'{"stateId": "a", "cluster": "b"}',
        b'{"stateId": "", "cluster": "b", "highestVersion": 1}',
        b'{"stateId": "a", "cluster": null, "highestVersion": 1}',
        b'{"stateId": "a", "cluster": "b", "highestVersion": "1"}',
        b"[" * 100_000,
    ],
)
def test_damaged_identity_is_no_identity(tmp_path: Path, content: bytes) -> None:
    """7.5: a damaged identity.json is told from a missing one, with its path and the way out; nothing is guessed."""
    (tmp_path / IDENTITY).write_bytes(content)
    with pytest.raises(Terminal) as caught:
        read_identity(tmp_path)
    assert caught.value.reason == "IdentityDamaged"
    assert str(tmp_path / IDENTITY) in caught.value.message and "holdfast adopt" in caught.value.message
    aside = set_identity_aside(tmp_path, caught.value.message)
    assert aside is not None and aside.read_bytes() == content
    assert read_identity(tmp_path) is None and set_identity_aside(tmp_path, caught.value.message) is None


def test_identity_round_trip(tmp_path: Path) -> None:
    """Design 9: what was remembered is read back."""
    write_identity(tmp_path, ME)
    assert read_identity(tmp_path) == ME


def test_a_request_to_adopt(tmp_path: Path) -> None:
    """Design 9: `holdfast adopt` leaves a file; it is there until it was followed."""
    assert not adopt_requested(tmp_path) and not adopt_requested(tmp_path / "missing")
    request_adopt(tmp_path)
    assert adopt_requested(tmp_path)
    adopted(tmp_path)
    assert not adopt_requested(tmp_path)


async def test_a_state_directory_that_may_not_be_searched_shuts_admission() -> None:
    """7.3, 8.3: whoever looks for a request to adopt is no reason to end; the watch of the disk comes and says."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        home = Path(directory) / "home"
        (home / "runs").mkdir(parents=True)
        request_adopt(home)
        scheduler, metrics = Scheduler(WorkQueue(), AttemptIndex(), 10), Metrics()
        parts = cast(Parts, SimpleNamespace(scheduler=scheduler, metrics=metrics))
        watch = DiskWatch(parts, Settings(home=home), lambda attempt: home)
        ownerless = Ownerless(parts)
        chores = (Chore("adopt", 0, partial(follow_adopt, home, ownerless)), Chore("disk", 0, watch.look))
        home.chmod(0)
        with unprivileged():
            running = asyncio.create_task(Upkeep(chores, metrics).run())
            try:
                await eventually(lambda: "StateDirectory" in scheduler.gate.closed_for)
                assert not running.done()
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        labels = {"kind": "Chore", "reaction": "defect"}
        assert metrics.registry.get_sample_value("holdfast_reconcile_errors_total", labels) == 0
        assert (home / ADOPT).exists()


def test_state_id_of_attempts(tmp_path: Path) -> None:
    """7.5: the run directories remember whose they are; where they do not agree nobody knows."""
    assert state_id_of_attempts(tmp_path / "runs") is None
    (tmp_path / "runs" / ".quarantine").mkdir(parents=True)
    assert state_id_of_attempts(tmp_path / "runs") is None
    for number, state_id in enumerate(("state-1", "state-1", None, "state-2"), 1):
        run = tmp_path / "runs" / f"0-1.{number}"
        run.mkdir()
        record = Attempt(run.name, state_id or "", "m", "b", "ns", "job", ("true",), {}, "/")
        (run / "attempt.json").write_bytes(record.to_bytes() if state_id else b"garbage")
        assert state_id_of_attempts(tmp_path / "runs") == ("state-1" if number < 4 else None)


def test_directories_that_are_there_or_missing_can_be_told(tmp_path: Path) -> None:
    """Design 9: what is missing altogether is judged by what the jobs say."""
    (tmp_path / "empty").mkdir()
    assert unreadable_directory(tmp_path, tmp_path / "empty", tmp_path / "missing") is None


@pytest.mark.parametrize("kind", ["file", "dangling", "forbidden"])
def test_a_directory_that_cannot_be_read_proves_nothing(kind: str) -> None:
    """7.3, 8.3: the message has the path and the way out."""
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        runs = Path(directory) / "runs"
        match kind:
            case "file":
                runs.write_text("")
            case "dangling":
                runs.symlink_to(Path(directory) / "not mounted")
            case _:
                runs.mkdir(mode=0)
        with unprivileged():
            why = unreadable_directory(Path(directory) / "missing", runs)
    assert why is not None and why.reason == "StateDirectory"
    assert str(runs) in why.message and "put the right one back" in why.message


@contextmanager
def unprivileged() -> Iterator[None]:
    """root may read everything; seteuid(2) takes that away for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)
