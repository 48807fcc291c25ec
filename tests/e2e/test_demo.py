"""hack/demo as a user runs it, and that its table can be wrong (issue item 9)."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually_sync
from tests.running_plane import find_binaries

CHECKOUT = Path(__file__).resolve().parents[2]
DEMO_SECONDS = 600.0

# The parts of a script, not of an installed package.
sys.path.insert(0, str(CHECKOUT / "hack"))
from demonstration.proof import Expected, Look, Process, Row  # noqa: E402

PROCESS = Process(4711, 1000.0)
RIGHT = Row(
    name="a",
    expected=Expected(lived_through=True, grew=(True, True, True)),
    before=Look(PROCESS, 10),
    back=Look(PROCESS, 20),
    starts=1,
    pids=frozenset({4711}),
    status={"phase": "Succeeded", "attempt": {"number": 1, "exitCode": 0}, "output": {"bytes": 30}},
    output=30,
)


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """TMPDIR of the demo: short, and nothing may be left in it."""
    find_binaries(lambda text: print(text, file=sys.stderr))
    yield tmp_path


def start(temporary: Path) -> subprocess.Popen[str]:
    """The demo without its set-up, which the running test has behind it."""
    return subprocess.Popen(
        [sys.executable, "hack/demo.py"],
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_with(text: str) -> list[int]:
    """Pids of the processes whose environment or arguments name `text`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            told = (path / "environ").read_bytes() + (path / "cmdline").read_bytes()
        except OSError:
            continue  # it ended, or is not ours
        if text.encode() in told and int(path.name) != os.getpid():
            found.append(int(path.name))
    return found


@pytest.mark.timeout(700)
def test_every_line_is_right(temporary: Path) -> None:
    """Requirements 2.1, 3.1, 3.2, 5.4: three SIGKILLs, no job lost, none run twice, no lock; all is cleaned up."""
    demo = start(temporary)
    told, _ = demo.communicate(timeout=DEMO_SECONDS)
    assert demo.returncode == 0, told
    assert told.count("right") > 16
    assert list(temporary.iterdir()) == []
    eventually_sync(lambda: not processes_with(str(temporary)), 60, "no process is left")


@pytest.mark.timeout(700)
def test_ctrl_c_leaves_nothing(temporary: Path) -> None:
    """Item 9: it cleans up after itself, also where it is interrupted while the control plane comes up."""
    demo = start(temporary)
    try:
        eventually_sync(lambda: list(temporary.glob("*/home/etcd/data")), 120, "etcd has begun")
    finally:
        demo.send_signal(signal.SIGINT)
    told, _ = demo.communicate(timeout=DEMO_SECONDS)
    assert demo.returncode == 1, told
    assert "interrupted" in told
    assert list(temporary.iterdir()) == []
    eventually_sync(lambda: not processes_with(str(temporary)), 60, "no process is left")


def test_a_right_line() -> None:
    """Item 9: what a line must look like."""
    assert RIGHT.problems == []
    assert RIGHT.grown == (10, 10, 10)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"starts": 2}, "starts: 2"),
        ({"starts": 0}, "starts: 0"),
        ({"status": {**RIGHT.status, "phase": "Failed"}}, "phase: Failed"),
        ({"status": {**RIGHT.status, "attempt": {"number": 1, "exitCode": 7}}}, "exit code: 7"),
        ({"status": {**RIGHT.status, "attempt": {"number": 2, "exitCode": 0}}}, "attempt: 2"),
        ({"status": {**RIGHT.status, "output": {"bytes": 29}}}, "bytes of output in the status: 29"),
        ({"back": Look(Process(4711, 1000.5), 20)}, "became"),
        ({"back": Look(None, 20)}, "no more after"),
        ({"before": Look(None, 10)}, "not before"),
        ({"pids": frozenset({1})}, "ledger"),
        ({"back": Look(PROCESS, 10)}, "0 bytes during"),
        ({"back": Look(PROCESS, 9)}, "-1 bytes during"),
        ({"other": ("its results are not right",)}, "results"),
    ],
)
def test_a_wrong_line_is_called_wrong(change: dict[str, object], problem: str) -> None:
    """Item 9: exit status 0 only if every line is right, so every expectation must be able to fail."""
    wrong = dataclasses.replace(RIGHT, **change)  # type: ignore[arg-type]
    assert any(problem in text for text in wrong.problems), wrong.problems
