"""The proof: what was seen of each job before, right after and long after the outage, compared with what must be.

A row is right only if every comparison holds; `problems` says in words which one does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from controller.executors.process.rundir import RunDir


@dataclass(frozen=True)
class Process:
    """A living process: a pid alone could be another one's later, the create time tells them apart."""

    pid: int
    created: float

    def __str__(self) -> str:
        return f"{self.pid} {datetime.fromtimestamp(self.created).strftime('%H:%M:%S.%f')[:-4]}"


@dataclass(frozen=True)
class Look:
    """One job at one moment: its process, None where none runs, and the bytes of output so far."""

    process: Process | None
    output: int


@dataclass(frozen=True)
class Expected:
    """What must be true of a job.

    Args:
        phase: at the end.
        exit_code: at the end; 128 and the signal's number where one ended it.
        lived_through: whether one and the same process runs before and right after the outage.
        grew: whether there is output before, during and after the outage; None where either is right.
        starts: by the ledger.
    """

    phase: str = "Succeeded"
    exit_code: int = 0
    lived_through: bool = False
    grew: tuple[bool | None, bool | None, bool | None] = (None, None, None)
    starts: int = 1


@dataclass(frozen=True)
class Row:
    """One line of the table. `other` are problems found by looking at the job's results."""

    name: str
    expected: Expected
    before: Look
    back: Look
    starts: int
    pids: frozenset[int]
    status: Mapping[str, Any]
    output: int
    other: tuple[str, ...] = field(default=())

    @property
    def grown(self) -> tuple[int, int, int]:
        """Bytes of output before, during and after the outage."""
        return self.before.output, self.back.output - self.before.output, self.output - self.back.output

    @property
    def problems(self) -> list[str]:
        """Everything that is not as it must be; empty for a right line."""
        attempt, expected = self.status.get("attempt", {}), self.expected
        found = [
            *differs("phase", self.status.get("phase"), expected.phase),
            *differs("exit code", attempt.get("exitCode"), expected.exit_code),
            *differs("starts", self.starts, expected.starts),
            *differs("attempt", attempt.get("number"), 1),
            *differs("bytes of output in the status", self.status.get("output", {}).get("bytes"), self.output),
            *self._process_problems(),
            *self.other,
        ]
        for when, size, wanted in zip(("before", "during", "after"), self.grown, expected.grew, strict=True):
            if size < 0 or (wanted is not None and wanted is not (size > 0)):
                found.append(f"{size} bytes {when} the outage, {'some' if wanted else 'none'} expected")
        if self.output == 0:
            found.append("no output")
        return found

    def _process_problems(self) -> list[str]:
        before, back = self.before.process, self.back.process
        seen = {process.pid for process in (before, back) if process is not None}
        found = []
        if self.expected.lived_through and (before is None or back is None):
            found.append(f"it ran {'not before' if before is None else 'no more after'} the outage")
        if before is not None and back is not None and before != back:
            found.append(f"process {before} became {back}")
        if not seen <= self.pids:
            found.append(f"process {seen} is not the one that signed the ledger ({set(self.pids)})")
        return found


def look(run: RunDir) -> Look:
    """Look at the command's process by the pid in the run directory, and at its output."""
    output = Path(run.output).stat().st_size if run.exists("output.log") else 0
    recorded = run.read_process() if run.exists("process.json") else None
    command = None if recorded is None or run.exists("exit.json") else run.read_command(recorded)
    if command is None:
        return Look(None, output)
    try:
        process = psutil.Process(command.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return Look(None, output)
        return Look(Process(command.pid, process.create_time()), output)
    except psutil.NoSuchProcess:
        return Look(None, output)


def table(rows: list[Row]) -> Table:
    """All lines, with a verdict each."""
    made = Table(title="What became of the jobs (times are the processes' own create times)", title_justify="left")
    for name in ("job", "process before", "process after"):
        made.add_column(name, no_wrap=True)
    for name in ("bytes\nbefore", "\nduring", "\nafter", "starts", "exit"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("end", no_wrap=True)
    made.add_column("verdict")
    for row in rows:
        problems = row.problems
        made.add_row(
            row.name,
            _shown(row.before, row, "not yet"),
            _shown(row.back, row, "not yet"),
            *(str(size) for size in row.grown),
            str(row.starts),
            _ending(row.status.get("attempt", {})),
            str(row.status.get("phase")),
            "[red]" + "; ".join(problems) if problems else "[green]right",
        )
    return made


def _shown(seen: Look, row: Row, absent: str) -> str:
    if seen.process is not None:
        return str(seen.process)
    return "ended" if seen.output == row.output and row.output > 0 else absent


def _ending(attempt: Mapping[str, Any]) -> str:
    if "signal" in attempt:
        return f"signal {attempt['signal']}"
    return str(attempt.get("exitCode", "-"))


def differs(what: str, found: object, wanted: object) -> list[str]:
    """One problem in words where `found` is not `wanted`, else none."""
    return [] if found == wanted else [f"{what}: {found}, not {wanted}"]
