"""What jobs leave in their directories keeps nobody from releasing them and tidying up (requirements 7.3, 7.5, 7.6)."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from controller.errors import Transient
from controller.executors.process import ending
from controller.executors.process.executor import ProcessExecutor
from controller.executors.process.identity import Identity, boot_id, machine_id, of_self
from controller.executors.process.records import Attempt, Exit, Process
from controller.executors.process.rundir import RunDir, build
from controller.files import quarantine
from controller.files.trees import remove_tree
from controller.reconcile.ownerless import Ownerless
from controller.reconcile.parts import Parts
from controller.reconcile.workqueue import WorkQueue
from controller.recovery.attempt_orphans import TempFiles
from controller.repositories.cleanup import clean_leftovers
from controller.repositories.operations.mirror import size_of
from controller.repositories.operations.stale import remove_stale
from controller.repositories.places import Places
from controller.repositories.refs import ref_files
from controller.repositories.trees import making, remove
from controller.telemetry.metrics import Metrics
from tests.unit.test_trees import DEEP, STEP, make_deep
from tests.unprivileged import NOBODY, as_nobody

ATTEMPT = "0f9e6c1a-aaaa.1"


@pytest.fixture
def home() -> Iterator[Path]:
    """A state directory that every user can write in."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    yield path
    remove_tree(path)


def ended(home: Path, attempt: str = ATTEMPT) -> RunDir:
    """The run directory of an attempt that is over."""
    (home / "runs").mkdir(exist_ok=True)
    record = Attempt(
        attempt, "sid", machine_id(), boot_id(), "default", "j", ("true",), {}, "/", created_at=time.time()
    )
    gone = Identity(machine_id(), boot_id(), of_self().pid_namespace, 4_000_000, 1)
    process = Process(gone, time.time(), 1.0)
    files = {"attempt.json": record.to_bytes(), "exit.json": Exit(code=0).to_bytes()}
    run = build(str(home / "runs"), attempt, files | {"process.json": process.to_bytes()})
    assert run is not None
    return run


def module_cache(top: str | Path) -> None:
    """As `go build` leaves it."""
    path = Path(top) / "go/pkg/mod/example.com@v1"
    path.mkdir(parents=True)
    (path / "a.go").write_text("")
    path.chmod(0o555)


def leave(kind: str, top: str | Path) -> None:
    """What a job left in a directory of its own."""
    if kind == "deep":
        make_deep(Path(top))
    else:
        module_cache(top)


@pytest.mark.parametrize("kind", ["deep", "read-only"])
@pytest.mark.parametrize("keep_record", [True, False])
def test_release(home: Path, kind: str, keep_record: bool) -> None:
    """7.6: an attempt is released whatever it left in HOME, TMPDIR and its working directory."""

    def act() -> None:
        run = ended(home)
        for name in ("home", "tmp", "work"):
            leave(kind, run.file(name))
        ending.release(str(home / "runs"), ATTEMPT, "sid", keep_record=keep_record)
        assert ending.unreleased(str(home / "runs"), [ATTEMPT]) == []
        assert [path.name for path in (home / "runs").iterdir()] == ([ATTEMPT] if keep_record else [])

    as_nobody(act)


@pytest.mark.parametrize("kind", ["deep", "read-only"])
def test_what_a_crash_left(home: Path, kind: str) -> None:
    """7.3, 7.6: an interrupted removal is finished, by the start as by the sweep."""

    def act() -> None:
        runs = home / "runs"
        for name in (".trash.a.tmp.0123456789abcdef", ".trash.b.tmp.0123456789abcdef"):
            leave(kind, runs / name / "home")
        assert len(ending.clean_leftovers(str(runs), time.time())) == 2
        assert list(runs.iterdir()) == []

    as_nobody(act)


@pytest.mark.parametrize("kind", ["deep", "read-only"])
def test_checkouts(home: Path, kind: str) -> None:
    """7.6: a workspace, and what was half-made when its operation was killed."""

    def act() -> None:
        leave(kind, home / "workspaces" / ATTEMPT)
        remove(home / "workspaces" / ATTEMPT)
        leave(kind, home / "workspaces" / ".making.a.1")
        with making(home / "workspaces", "a", "1") as directory:
            leave(kind, directory / "below")
        assert list((home / "workspaces").iterdir()) == []

    as_nobody(act)


@pytest.mark.parametrize("kind", ["deep", "read-only"])
async def test_the_sweep(home: Path, kind: str) -> None:
    """7.6: `.removing.*` of a checkout goes."""
    left = home / "workspaces" / ".removing.0123456789abcdef"

    def act() -> None:
        leave(kind, left / "below")

    as_nobody(act)
    sort = TempFiles(home, set)
    found = await sort.find()
    assert [orphan.path for orphan in found] == [str(left)]
    assert await sort.remove(found[0]) and not left.exists()


@pytest.mark.parametrize("kind", ["deep", "read-only"])
def test_quarantine(home: Path, kind: str) -> None:
    """7.5: a damaged run directory that holds such a tree goes when its time has come."""

    def act() -> None:
        for name in ("a.1", "b.1"):
            leave(kind, home / "runs" / name / "home")
            assert quarantine.set_aside(home, home / "runs" / name, "damaged") is not None
        now = time.time() + quarantine.BOUNDS.seconds + 60
        removed, failed = quarantine.keep_within(home, now)
        assert [aside.path.name.partition(".")[0] for aside in removed] == ["a"] and failed is None
        assert not removed[0].path.exists()

    as_nobody(act)


def test_deep_names_in_a_mirror(home: Path) -> None:
    """7.3: a job may push a branch of a thousand parts; sizes, refs and what is stale are still told."""
    parts = [STEP] * DEEP
    for directory in ("refs/heads", "objects"):
        make_deep(home / directory, len(parts))
    assert ref_files(home, "refs/heads/") == ["/".join([*parts, "file"])]
    assert size_of(home) == 0
    (home / "objects" / "tmp_pack").mkdir()
    make_deep(home / "objects" / "tmp_pack", len(parts))
    assert remove_stale(home) == ["objects/tmp_pack"]


def somebody_elses(top: Path) -> None:
    """A directory that only root can empty; everything on the way to it is nobody's."""
    (top / "kept" / "below").mkdir(parents=True)
    for path in (top, top.parent):
        os.chown(path, NOBODY, NOBODY)


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")


@only_root
def test_one_that_stays_keeps_no_other(home: Path) -> None:
    """7.3, 7.5, 7.6: of what a crash left, of a release and of quarantine, all else goes, and the error is told."""
    runs = home / "runs"
    names = [f".trash.{name}.tmp.0123456789abcdef" for name in "abcd"]
    for name in names:
        (runs / name).mkdir(parents=True)
        os.chown(runs / name, NOBODY, NOBODY)
    listed = [entry.name for entry in os.scandir(runs)]
    somebody_elses(runs / listed[0])  # the one that comes first
    left = home / "workspaces"
    for name in ("a", "b", "c"):
        somebody_elses(left / f".removing.{name}") if name == "a" else (left / f".removing.{name}").mkdir()

    def act() -> None:
        with pytest.raises(PermissionError) as caught:
            ending.clean_leftovers(str(runs), time.time())
        assert caught.value.filename.startswith(str(runs / listed[0]))
        assert [path.name for path in runs.iterdir()] == [listed[0]]
        with pytest.raises(PermissionError):
            clean_leftovers(Places(home), (), now=time.time())
        assert [path.name for path in left.iterdir()] == [".removing.a"]

    as_nobody(act)


@only_root
def test_quarantine_goes_on(home: Path) -> None:
    """7.5: the oldest that cannot be removed stays, those after it go."""
    for name in ("a.1", "b.1", "c.1"):
        (home / "runs" / name).mkdir(parents=True)
        aside = quarantine.set_aside(home, home / "runs" / name, "damaged")
        assert aside is not None
        if name == "a.1":
            somebody_elses(aside)

    def act() -> None:
        removed, failed = quarantine.keep_within(home, time.time() + quarantine.BOUNDS.seconds + 60)
        assert [aside.path.name.partition(".")[0] for aside in removed] == ["b"]
        assert isinstance(failed, PermissionError)

    for path in (home / "quarantine").iterdir():
        os.chown(path, NOBODY, NOBODY)
    as_nobody(act)


@only_root
def test_tidying_up_goes_on(home: Path) -> None:
    """7.3, 7.6: what cannot be removed does not keep foreign entries and unreleased attempts from being dealt with."""
    runs = home / "runs"
    runs.mkdir()
    somebody_elses(runs / ".trash.a.tmp.0123456789abcdef")

    def act() -> None:
        ended(home)
        (runs / "README").write_text("")
        used = SimpleNamespace(executor=ProcessExecutor(runs, "sid"), metrics=Metrics(), queue=WorkQueue())
        parts = cast(Parts, used)
        with pytest.raises(Transient) as caught:
            asyncio.run(Ownerless(parts).tidy())
        assert caught.value.reason == "CleanupFailed"
        assert sorted(path.name for path in runs.iterdir())[1:] == [ATTEMPT]
        assert parts.queue.depth().ready == 1

    as_nobody(act)
