"""The jobs of the scenarios: one case for each outcome, each with a ledger that counts executions from outside.

A command appends a line to its ledger when it starts and another one when it ends; both carry the attempt id, the pid
and the time since boot. The ledgers lie outside the state directory: the controller knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = """
ledger=$1
say() { read -r up rest </proc/uptime; echo "$1 $HOLDFAST_ATTEMPT $$ $up" >>"$ledger"; }
trap 'say end; exit 143' TERM
starts=0
if [ -e "$ledger" ]; then starts=$(grep -c ^start "$ledger"); fi
# BEFORE
say start
# COMMAND
code=$?
say end
exit $code
"""
# The command proper; `starts` is the number of executions before this one.
QUICK = "sleep 0.1"
SEVEN = "sleep 0.05; (exit 7)"
LONG = "sleep 1200"  # ended by what is done to it, also where the API server is away for a minute
# Long enough for the command to say that it has begun: that is counted.
DEADLINE = "2s"
FIRST_FAILS = 'sleep 0.05; [ "$starts" -gt 0 ]'
NUMBER = "${HOLDFAST_ATTEMPT##*.}"
# The first execution leaves its number as a checkpoint before it is seen to start, and is long; the next one has to be
# told of it and find it.
CHECKPOINT = f'[ "$starts" -gt 0 ] || echo "{NUMBER}" >"$HOLDFAST_CHECKPOINT_DIR/number"'
FIRST_IS_RESUMED = (
    '[ "$starts" -gt 0 ] || sleep 1200; '
    '[ "$(cat "$HOLDFAST_CHECKPOINT_DIR/number")" = "${HOLDFAST_RESUMED_FROM-none}" ]'
)
FIRST_IS_LONG = '[ "$starts" -gt 0 ] || sleep 1200'


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a ledger; `at` in seconds since boot."""

    what: str
    attempt: str
    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class Case:
    """One job and what has to become of it.

    Args:
        kind: names the outcome.
        name: of the BatchJob.
        spec: without queue.
        phase: in which the job ends.
        starts: how many times commands of it run, over all attempts.
        exit_code: of the last attempt, None where it is not checked.
        reason: of the condition Complete or Failed, None where it is not checked.
        losses: attempts that count as lost.
    """

    kind: str
    name: str
    spec: dict[str, Any]
    phase: str
    starts: int
    exit_code: int | None = None
    reason: str | None = None
    losses: int = 0

    def manifest(self, queue: str) -> dict[str, Any]:
        """The BatchJob."""
        return {
            "apiVersion": "holdfast.dev/v1alpha1",
            "kind": "BatchJob",
            "metadata": {"name": self.name},
            "spec": {"queue": queue, "gracePeriod": "5s", **self.spec},
        }


def read_ledger(path: Path) -> list[Entry]:
    """The complete lines of a ledger, none where nothing has started."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    words = [line.split() for line in lines if line.endswith("\n")]
    return [Entry(what, attempt, int(pid), float(at)) for what, attempt, pid, at in words]


def _script(command: str, ledger: Path, before: str = "") -> dict[str, Any]:
    script = SCRIPT.replace("# COMMAND", command).replace("# BEFORE", before)
    return {"command": ["/bin/sh", "-c", script, "job", str(ledger)]}


Maker = Callable[[str, Path], Case]  # name of the job, its ledger

MAKERS: dict[str, Maker] = {
    "success": lambda name, ledger: Case("success", name, _script(QUICK, ledger), "Succeeded", 1, 0),
    "seven": lambda name, ledger: Case("seven", name, _script(SEVEN, ledger), "Failed", 1, 7, "NonZeroExitCode"),
    "missing": lambda name, _: Case(
        "missing", name, {"command": ["/nonexistent/program"]}, "Failed", 0, None, "CommandNotFound"
    ),
    "deadline": lambda name, ledger: Case(
        "deadline", name, _script(LONG, ledger) | {"deadline": DEADLINE}, "Failed", 1, None, "DeadlineExceeded"
    ),
    "cancel": lambda name, ledger: Case("cancel", name, _script(LONG, ledger), "Canceled", 1, None, "Canceled"),
    "retry": lambda name, ledger: Case(
        "retry",
        name,
        _script(FIRST_FAILS, ledger) | {"retry": {"limit": 1, "backoff": "100ms"}},
        "Succeeded",
        2,
        0,
    ),
    "suspend": lambda name, ledger: Case("suspend", name, _script(FIRST_IS_LONG, ledger), "Succeeded", 2, 0),
    "lost": lambda name, ledger: Case(
        "lost", name, _script(FIRST_IS_LONG, ledger) | {"onLost": "Restart"}, "Succeeded", 2, 0, losses=1
    ),
    "resumed": lambda name, ledger: Case(
        "resumed",
        name,
        _script(FIRST_IS_RESUMED, ledger, CHECKPOINT) | {"onLost": "Resume"},
        "Succeeded",
        2,
        0,
        losses=1,
    ),
}


def make(kind: str, name: str, ledgers: Path) -> Case:
    """A job of one kind; its ledger is the file of its name in `ledgers`."""
    return MAKERS[kind](name, ledgers / name)
