"""Every state file, damaged in every way: told, set aside with its reason, never in the way of the rest (7.5)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from controller.decisions.binding import Identity
from controller.errors import Terminal
from controller.executors.process.identity import of_self
from controller.executors.process.records import Attempt, Exit, NewerRecordError, Process, RecordError, Stop
from controller.files import quarantine
from controller.files.versions import MIGRATIONS, NewerVersion, current, known
from controller.recovery.binding import read_identity, write_identity
from controller.recovery.chores import tidy_quarantine
from controller.recovery.clean_stop import mark_clean_stop
from controller.recovery.integrity import check_files, check_runs
from controller.repositories.facts import Damaged, MirrorFacts, Newer, format_facts, read_mirror
from controller.repositories.fence import Fence, read_fence, sealed, write_fence
from controller.repositories.places import Places
from controller.repositories.results import Reason, Result, write_result
from controller.telemetry.integrity import Integrity

RUN, OPERATION = "11111111-2222-3333-4444-555555555555.1", "99999999-2222-3333-4444-555555555555.3"
FILES = {
    "identity.json": ("identity.json", "stays"),
    "http.json": ("http.json", "moves"),
    "stopped.json": ("stopped.json", "moves"),
    "result": (f"results/{OPERATION}.json", "moves"),
    "fence": ("repositories/ns/shop/fence", "copied"),
    "mirror.json": ("repositories/ns/shop/mirror.git/mirror.json", "stays"),
    "attempt.json": (f"runs/{RUN}/attempt.json", "stays"),
    "process.json": (f"runs/{RUN}/process.json", "stays"),
    "stop.json": (f"runs/{RUN}/stop.json", "stays"),
    "exit.json": (f"runs/{RUN}/exit.json", "stays"),
    "operation": (f"operations/{OPERATION}/attempt.json", "stays"),
}


def newer(path: Path) -> None:
    path.write_bytes(json.dumps({**json.loads(path.read_bytes()), "version": 99}).encode())


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:5]),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "wrong types": lambda path: path.write_bytes(b'{"version": 1, "id": 7, "url": [], "recorder": 3, "code": "x"}'),
    "no object": lambda path: path.write_bytes(b"[]"),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "newer version": newer,
    "wrong owner": lambda path: os.chown(path, 65534, -1),
    "writable by all": lambda path: path.chmod(0o666),
}


def applies(sort: str, damage: str) -> bool:
    """A run directory is closed by its own mode, not by each file's; a newer fence is below, as it is no JSON."""
    if FILES[sort][0].startswith(("runs/", "operations/")) and damage in ("wrong owner", "writable by all"):
        return False
    return (sort, damage) != ("fence", "newer version")


CASES = [(sort, damage) for sort in FILES for damage in DAMAGES if applies(sort, damage)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A state directory with one sound file of each sort."""
    home = tmp_path / "home"
    places, attempt = Places(home), Attempt(RUN, "state-1", "m", "b", "ns", "job", ("true",), {}, "/")
    for directory in (f"runs/{RUN}", f"operations/{OPERATION}", "repositories/ns/shop/mirror.git"):
        (home / directory).mkdir(parents=True)
    write_identity(home, Identity("state-1", "cluster", 7))
    told = {"version": known("http.json"), "url": "http://127.0.0.1:1", "pid": 1, "maxRunning": 2}
    (home / "http.json").write_text(json.dumps(told))
    mark_clean_stop(home, datetime.now(UTC))
    write_result(places.result(OPERATION), Result("fetch", OPERATION, Reason.SUCCEEDED))
    write_fence(places.repository("ns", "shop"), [4, 5])
    facts = MirrorFacts("op", "url", "sha1", "main", 1.0)
    (home / "repositories/ns/shop/mirror.git/mirror.json").write_bytes(format_facts(facts))
    (home / "runs" / RUN / "attempt.json").write_bytes(attempt.to_bytes())
    (home / "runs" / RUN / "process.json").write_bytes(Process(of_self(), 1.0, 1.0).to_bytes())
    (home / "runs" / RUN / "stop.json").write_bytes(Stop("Canceled", 3.0).to_bytes())
    (home / "runs" / RUN / "exit.json").write_bytes(Exit(code=0).to_bytes())
    (home / "operations" / OPERATION / "attempt.json").write_bytes(attempt.to_bytes())
    return home


async def check(home: Path) -> Integrity:
    integrity = Integrity(CollectorRegistry())
    check_files(home, integrity)
    await check_runs(home, integrity)
    return integrity


async def test_all_is_sound(home: Path) -> None:
    """7.5: what is whole is counted and left alone."""
    integrity = await check(home)
    assert (integrity.problems, integrity.files) == ({}, 8)
    assert not (home / quarantine.DIRECTORY).exists()


@pytest.mark.parametrize(("sort", "damage"), CASES)
async def test_damaged(home: Path, sort: str, damage: str) -> None:
    """7.5: exactly the damaged file is told, and in quarantine with its reason where it may go."""
    name, fate = FILES[sort]
    path = home / name
    if damage == "wrong owner" and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    DAMAGES[damage](path)
    content = path.read_bytes()
    integrity = await check(home)
    told = path.parent if path.parent.parent.name in ("runs", "operations") else path
    assert list(integrity.problems) == [str(told)]
    aside = list(quarantine.entries(home))
    assert path.exists() == (fate != "moves")
    if fate == "stays":
        assert aside == [] and path.read_bytes() == content
        return
    (kept,) = aside
    assert kept.path.read_bytes() == content and str(path) in kept.reason
    assert len(kept.reason) > len(str(path)) + 10


async def test_a_share(home: Path) -> None:
    """7.5: the ratio that the alert looks at; what was set aside counts until the next start."""
    (home / "http.json").write_bytes(b"x")
    registry = CollectorRegistry()
    integrity = Integrity(registry)
    told: list[str] = []
    integrity.on_problem(told.append)
    check_files(home, integrity)
    await check_runs(home, integrity)
    integrity.observe(objects=12, corrupt_objects=1)
    assert registry.get_sample_value("holdfast_corrupt_ratio") == 2 / 20
    assert told == [str(home / "http.json")]


def test_versions() -> None:
    """Issue 6: an older version is migrated in memory, a newer one refused with a message that says what to do."""
    assert current("identity.json", {"stateId": "a"}) == {"stateId": "a", "version": 1}
    for sort in MIGRATIONS:
        assert current(sort, {"version": known(sort), "x": 1})["x"] == 1
        with pytest.raises(NewerVersion, match=r"newer version of Holdfast.*use that one"):
            current(sort, {"version": known(sort) + 1})
        for wrong in (True, "1", -1, 1.0, None):
            with pytest.raises(ValueError, match="never was one"):
                current(sort, {"version": wrong})
    with pytest.raises(ValueError, match="has no version"):
        current("attempt.json", {})


def test_a_newer_version_is_refused_by_every_reader(home: Path) -> None:
    """Issue 6: not guessed at, and not taken for damaged: damaged files are made anew."""
    for name in ("attempt.json", "process.json", "stop.json", "exit.json"):
        newer(home / "runs" / RUN / name)
    records = {"attempt.json": Attempt, "process.json": Process, "stop.json": Stop, "exit.json": Exit}
    for name, record in records.items():
        with pytest.raises(NewerRecordError):
            record.from_bytes((home / "runs" / RUN / name).read_bytes())
    newer(home / "identity.json")
    with pytest.raises(Terminal) as caught:
        read_identity(home)
    assert caught.value.reason == "IdentityNewer" and "adopt" not in caught.value.message
    newer(home / "repositories/ns/shop/mirror.git/mirror.json")
    with pytest.raises(Newer):
        read_mirror(home / "repositories/ns/shop/mirror.git")
    path = Places(home).result(OPERATION)
    newer(path)
    with pytest.raises(NewerVersion):
        Result.from_bytes(path.read_bytes())
    assert not issubclass(Newer, Damaged) and issubclass(NewerRecordError, RecordError)


def test_a_damaged_fence_keeps_its_largest_token(home: Path) -> None:
    """5.5, 7.5: salvaged from the file that stays, so that no token is given twice."""
    fence = home / "repositories/ns/shop/fence"
    fence.write_bytes(b"max 41\n4\ngarb")
    check_files(home, Integrity(CollectorRegistry()))
    assert read_fence(fence.parent).max_token == 41


def test_a_byte_that_flips_in_a_fence_is_seen(tmp_path: Path) -> None:
    """5.5, 7.5: no token is let in and none is forgotten for it: whatever flips, it is damaged."""
    write_fence(tmp_path, [4, 5], max_token=41)
    content = (tmp_path / "fence").read_bytes()
    for place in range(len(content)):
        for bit in range(8):
            changed = content[place] ^ (1 << bit)
            (tmp_path / "fence").write_bytes(content[:place] + bytes([changed]) + content[place + 1 :])
            seen = read_fence(tmp_path)
            assert seen.damaged and not seen.tokens, (place, bit)


def test_a_fence_of_before_versions_is_read_and_left_alone(tmp_path: Path) -> None:
    """7.5: an older version is migrated when read, and not written back for that alone; a change writes the new one."""
    (tmp_path / "fence").write_bytes(b"max 41\n4\n5\n")
    assert read_fence(tmp_path) == Fence(frozenset({4, 5}), 41)
    write_fence(tmp_path, [4, 5])
    assert (tmp_path / "fence").read_bytes() == b"max 41\n4\n5\n"
    assert write_fence(tmp_path, [5]) == read_fence(tmp_path) == Fence(frozenset({5}), 41)
    assert (tmp_path / "fence").read_bytes() == sealed(b"version 2\nmax 41\n5\n")


async def test_a_newer_fence_is_refused_and_not_overwritten(home: Path) -> None:
    """7.5, issue 6: whatever it says; one that only looks newer, as a byte flipped, is damaged."""
    fence = home / "repositories/ns/shop/fence"
    newer = sealed(b"version 3\nmax 41\nholder 4\n")
    fence.write_bytes(newer)
    for use in (lambda: read_fence(fence.parent), lambda: write_fence(fence.parent, [7])):
        with pytest.raises(OSError, match="newer version of Holdfast"):
            use()
    integrity = await check(home)
    assert "newer version" in integrity.problems[str(fence)] and fence.read_bytes() == newer
    assert list(quarantine.entries(home)) == []
    fence.write_bytes(newer.replace(b"4", b"5"))
    assert read_fence(fence.parent) == Fence(frozenset(), 51, damaged=True)


def test_quarantine_survives_a_kill_between_reason_and_move(tmp_path: Path) -> None:
    """7.5, 7.6: a reason without its thing is no entry, and goes after ten minutes."""
    (tmp_path / "x").write_text("garbage")
    moved = quarantine.set_aside(tmp_path, tmp_path / "x", "why")
    assert moved is not None
    dangling = tmp_path / quarantine.DIRECTORY / "y.1.reason"
    dangling.write_text("why")
    assert [aside.path for aside in quarantine.entries(tmp_path)] == [moved]
    assert quarantine.remove_dangling(tmp_path, dangling.stat().st_mtime + 60) == []
    assert quarantine.remove_dangling(tmp_path, dangling.stat().st_mtime + 601) == [str(dangling)]
    assert quarantine.set_aside(tmp_path, tmp_path / "x", "again") is None


def filled(home: Path, *names: str) -> list[str]:
    """Set these aside one after the other, a day between two; the names that are in quarantine then."""
    for age, name in enumerate(reversed(names)):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.name == "runs":
            path.mkdir()
            (path / "output.log").write_bytes(b"x" * 8192)
        else:
            path.write_bytes(b"x" * 8192)
        moved = quarantine.set_aside(home, path, "why: because")
        assert moved is not None
        then = LATE - (age + 1) * DAY
        os.utime(f"{moved}{quarantine.REASON}", (then, then))
    return left(home)


def left(home: Path) -> list[str]:
    return [aside.path.name.rpartition(".")[0] for aside in quarantine.entries(home)]


LATE, DAY = 2_000_000_000.0, 86400.0
WIDE = quarantine.Bounds(1000, 1024**3, 1000 * DAY)


@pytest.mark.parametrize(
    "bounds",
    [replace(WIDE, count=3), replace(WIDE, bytes=4 * 8192 - 1), replace(WIDE, seconds=2.5 * DAY)],
    ids=["count", "bytes", "age"],
)
def test_quarantine_is_bounded(tmp_path: Path, bounds: quarantine.Bounds) -> None:
    """7.5: by number, bytes and age; the oldest goes first with its reason, the newest of its kind never."""
    names = ("identity.json", "runs/a.1", "runs/b.1", "stopped.json", "runs/c.1")
    assert filled(tmp_path, *names) == ["identity.json", "a.1", "b.1", "stopped.json", "c.1"]
    assert quarantine.keep_within(tmp_path, LATE, WIDE) == ([], None)
    removed, failed = quarantine.keep_within(tmp_path, LATE, bounds)
    assert [aside.path.name.rpartition(".")[0] for aside in removed] == ["a.1", "b.1"] and failed is None
    assert left(tmp_path) == ["identity.json", "stopped.json", "c.1"]
    assert len(list((tmp_path / quarantine.DIRECTORY).iterdir())) == 6
    assert quarantine.keep_within(tmp_path, LATE, bounds) == ([], None)


async def test_what_quarantine_lets_go_is_counted(tmp_path: Path) -> None:
    """7.5: whoever looks for something that was set aside finds that it was removed."""
    filled(tmp_path, "runs/a.1", "runs/b.1")
    for reason in (tmp_path / quarantine.DIRECTORY).glob("*.reason"):
        os.utime(reason, (1.0, 1.0))
    registry = CollectorRegistry()
    await tidy_quarantine(tmp_path, Integrity(registry))
    assert registry.get_sample_value("holdfast_quarantine_removed_total") == 1 and len(left(tmp_path)) == 1
