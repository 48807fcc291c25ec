"""The audit journal itself: when lines are written, and that it never stands in anybody's way (requirement 9.3)."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from controller.decisions.audit_line import Category, Line
from controller.files.segments import Appended, Bounds, SegmentWriter
from controller.telemetry import audit
from controller.telemetry.audit import AuditJournal
from controller.telemetry.audit_controller import changes
from controller.telemetry.audit_metrics import AuditMetrics
from tests.eventually import eventually

BOUNDS = Bounds(16 * 1024**2, 3600, 64 * 1024**2)


def line(name: str, *, urgent: bool = False, new: str = "") -> Line:
    return Line(Category.JOB, "Launch", "BatchJob", "default", name, new=new, urgent=urgent)


def made(directory: Path) -> tuple[AuditJournal, AuditMetrics]:
    metrics = AuditMetrics(CollectorRegistry())
    return AuditJournal(SegmentWriter(directory, audit.NAME, BOUNDS), metrics), metrics


def names(directory: Path) -> list[str]:
    path = directory / "audit.jsonl"
    return [json.loads(each)["name"] for each in path.read_text().splitlines()] if path.exists() else []


class StandingDisk(SegmentWriter):
    """A disk that does not answer until it is let go."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, audit.NAME, BOUNDS)
        self.gate = threading.Event()
        self.appends = 0

    def append(self, data: bytes, now: datetime) -> Appended:
        self.appends += 1
        self.gate.wait(120)
        return super().append(data, now)


async def test_an_urgent_line_takes_what_waits_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirement 9.3: starts and ends at once, all of one turn of the loop in one write, in order."""
    monkeypatch.setattr(audit, "FLUSH_SECONDS", 600.0)
    journal, metrics = made(tmp_path)
    journal.say(line("a"))
    await asyncio.sleep(0.05)
    assert names(tmp_path) == []
    journal.say(line("b"), line("c", urgent=True))
    journal.say(line("d"))
    await eventually(lambda: names(tmp_path) == ["a", "b", "c", "d"])
    assert metrics.lines.labels("job")._value.get() == 4
    await journal.close(5)


async def test_other_lines_are_written_within_two_seconds(tmp_path: Path) -> None:
    """Requirement 9.3: a bounded flush time."""
    journal, _ = made(tmp_path)
    began = asyncio.get_running_loop().time()
    journal.say(line("a"))
    await eventually(lambda: names(tmp_path) == ["a"])
    assert asyncio.get_running_loop().time() - began > audit.FLUSH_SECONDS / 2 and audit.FLUSH_SECONDS <= 2
    await journal.close(5)


async def test_a_stop_writes_what_waits(tmp_path: Path) -> None:
    """Requirement 7.9: flush on a graceful stop."""
    journal, _ = made(tmp_path)
    journal.say(line("a"))
    await journal.close(5)
    assert names(tmp_path) == ["a"]
    journal.say(line("b"))
    assert not journal.on


async def test_a_disk_that_stands_still_holds_nobody_up(tmp_path: Path) -> None:
    """Requirement 9.3: lines are gathered, past a bound dropped and counted, then written."""
    disk, metrics = StandingDisk(tmp_path), AuditMetrics(CollectorRegistry())
    journal = AuditJournal(disk, metrics)
    journal.say(line("first", urgent=True))
    await eventually(lambda: disk.appends == 1)
    for number in range(audit.MAX_WAITING + 10):
        journal.say(line(str(number), urgent=number % 100 == 0))
    assert metrics.dropped._value.get() == 10
    assert disk.appends == 1
    disk.gate.set()
    await eventually(lambda: disk.appends >= 2 and len(names(tmp_path)) >= 2 + audit.MAX_WAITING)
    assert names(tmp_path)[:3] == ["first", "0", "1"]
    assert json.loads((tmp_path / "audit.jsonl").read_text().splitlines()[-1])["event"] == "AuditDropped"
    await journal.close(5)


async def test_a_stop_does_not_wait_for_a_disk_that_stands_still(tmp_path: Path) -> None:
    """Requirement 7.9: exit within the grace period; what is lost is counted."""
    disk, metrics = StandingDisk(tmp_path), AuditMetrics(CollectorRegistry())
    journal = AuditJournal(disk, metrics)
    journal.say(line("a", urgent=True))
    await eventually(lambda: disk.appends == 1)
    journal.say(line("b"))
    await journal.close(0.1)
    assert metrics.dropped._value.get() == 1
    disk.gate.set()


async def test_a_repeated_action_is_told_once(tmp_path: Path) -> None:
    """An action that is asked for until it shows is one line, until something new is to be said."""
    journal, _ = made(tmp_path)
    for new in ("Failed", "Failed", "Done", "Done"):
        journal.say_once(line("a", new=new))
    await journal.close(5)
    assert names(tmp_path) == ["a", "a"]


async def test_switched_off_it_writes_nothing(tmp_path: Path) -> None:
    """HOLDFAST_AUDIT=off."""
    journal = AuditJournal(None, AuditMetrics(CollectorRegistry()))
    journal.say(line("a", urgent=True))
    await journal.close(5)
    assert not journal.on


def test_checks_of_the_controller_are_told_when_they_change() -> None:
    """Requirements 7.3, 9.3: degraded and healed, once each."""
    told = changes({"a": "x", "b": "y"}, {"b": "z", "c": "w"})
    assert [(each.event, each.reason, each.message) for each in told] == [("Degraded", "c", "w"), ("Healed", "a", "")]
