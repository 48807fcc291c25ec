"""What must be true after every crash, once the next controller had time to work (design 12). Stated once, here."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.executors.process.records import RecordError
from controller.executors.process.rundir import RunDir, is_attempt_name, is_locked
from controller.executors.process.tree import MARKER
from controller.files.atomic import is_temp_name
from tests.crash.cases import Case, Entry, read_ledger

if TYPE_CHECKING:
    from tests.crash.controllers import Preloaded
    from tests.crash.scenario import Facts

Object = dict[str, Any]

SETTLE_SECONDS = 90.0
# What is kept of an attempt: its record and its output.
KEPT = {"attempt.json", "process.json", "exit.json", "output.log", "journal.jsonl", "lock", "recorder.lock"}


def check(facts: Facts, jobs: dict[str, Object], queue: Object) -> list[str]:
    """Every violated invariant as one sentence."""
    ledgers = {case.name: read_ledger(facts.ledgers / case.name) for case in facts.cases}
    found: list[str] = []
    for case in facts.cases:
        job = jobs.get(case.name)
        if job is None:
            found.append(f"{case.name}: the BatchJob is gone")
            continue
        status = job.get("status", {})
        wrong = [*_ended_as_expected(case, status), *consistent(status), *unchanged(facts, case.name, status)]
        wrong += [*_ran_once(case, ledgers[case.name]), *numbers(status)]
        found += [f"{case.name}: {text}" for text in wrong]
    found += _concurrency(facts, ledgers)
    found += in_order([case.name for case in facts.cases], jobs, facts.concurrency) if facts.in_order else ()
    found += slots(queue)
    found += leftovers(facts.home)
    return found


def is_true(status: Object, kind: str) -> bool:
    """Whether the condition is there with status True."""
    return any(c["type"] == kind and c["status"] == "True" for c in status.get("conditions", ()))


def _ended_as_expected(case: Case, status: Object) -> Iterator[str]:
    attempt = status.get("attempt", {})
    if status.get("phase") != case.phase:
        yield f"ended as {status.get('phase')} ({status.get('reason')}: {attempt.get('message')}), not {case.phase}"
    if case.exit_code is not None and attempt.get("exitCode") != case.exit_code:
        yield f"exit code {attempt.get('exitCode')}, not {case.exit_code}"
    reasons = [c["reason"] for c in status.get("conditions", ()) if c["type"] in ("Complete", "Failed")]
    if case.reason is not None and reasons != [case.reason]:
        yield f"reason {reasons}, not {case.reason}"
    if status.get("losses", 0) != case.losses:
        yield f"{status.get('losses', 0)} attempts count as lost, not {case.losses}"


def consistent(status: Object) -> Iterator[str]:
    """Requirement 1.3: one end, and nothing that speaks of an attempt under way."""
    if not is_true(status, "Finished"):
        yield "is not Finished"
    if is_true(status, "Complete") == is_true(status, "Failed"):
        yield "has not exactly one of Complete and Failed"
    if is_true(status, "Complete") != (status.get("phase") == "Succeeded"):
        yield f"phase {status.get('phase')} against condition Complete"
    if is_true(status, "Running") or is_true(status, "NeedsDecision"):
        yield "is Finished and still Running or NeedsDecision"
    for attempt in attempts(status):
        if attempt.get("state") in ("Starting", "Running", "Stopping"):
            yield f"attempt {attempt.get('number')} is still {attempt.get('state')}"


def unchanged(facts: Facts, name: str, status: Object) -> Iterator[str]:
    """Only how its deliveries went on is recorded after a job's end (requirement 6.1)."""
    first = facts.first_end.get(name)
    if first is not None and {**first, "deliveries": None} != {**status, "deliveries": None}:
        yield f"changed after its end: {first} became {status}"


def _ran_once(case: Case, ledger: list[Entry]) -> Iterator[str]:
    """Requirement 2.6."""
    starts = [entry.attempt for entry in ledger if entry.what == "start"]
    twice = {attempt for attempt in starts if starts.count(attempt) > 1}
    if twice:
        yield f"ran more than once: {sorted(twice)}"
    if len(starts) != case.starts:
        yield f"its command ran {len(starts)} times, not {case.starts}: {starts}"


def numbers(status: Object) -> Iterator[str]:
    """No number is given twice or out of order."""
    found: list[int] = [attempt["number"] for attempt in attempts(status)]
    if found != sorted(set(found)):
        yield f"attempt numbers {found}"


def attempts(status: Object) -> list[Object]:
    """What is recorded of attempts, the oldest first."""
    newest = [status["attempt"]] if "attempt" in status else []
    return [*status.get("history", ()), *newest]


def _concurrency(facts: Facts, ledgers: dict[str, list[Entry]]) -> Iterator[str]:
    """Requirement 2.3, as the commands themselves saw it. One that did not tell its end is counted as ended at once."""
    moments: list[tuple[float, int]] = []
    for entry in itertools.chain.from_iterable(ledgers.values()):
        ends = [e.at for e in ledgers_of(ledgers, entry) if e.what == "end"]
        if entry.what == "start" and ends:
            moments += [(entry.at, 1), (ends[0], -1)]
    running = most = 0
    for _, change in sorted(moments):  # an end and a start in the same tick of the clock do not overlap
        running += change
        most = max(most, running)
    if most > facts.concurrency:
        yield f"{most} commands ran at once, {facts.concurrency} are allowed"


def ledgers_of(ledgers: dict[str, list[Entry]], like: Entry) -> Iterator[Entry]:
    """The entries of the same execution."""
    return (e for ledger in ledgers.values() for e in ledger if (e.attempt, e.pid) == (like.attempt, like.pid))


def in_order(names: list[str], jobs: dict[str, Object], concurrency: int) -> Iterator[str]:
    """Requirement 2.1: admission follows creation.

    Two slots that are free at once are given in one cycle and recorded by two writes, of which a crash may lose the
    first; so up to `concurrency - 1` later ones may be recorded before a job, and never more.

    Args:
        names: of the jobs, in the order of their creation.
    """
    first = {}
    for name in names:
        tried = attempts(jobs.get(name, {}).get("status", {}))
        if tried and tried[0].get("number") == 1:
            first[name] = tried[0].get("admittedAt", "")
    in_turn = list(first)
    for index, name in enumerate(in_turn):
        earlier = [other for other in in_turn[index + 1 :] if first[other] < first[name]]
        if len(earlier) >= concurrency:
            yield f"{name} was admitted after {', '.join(earlier)}, which were created later"


def strays(preloaded: Preloaded) -> list[str]:
    """Nothing of a stopped controller is left when its jobs are over; helpers may take a moment to notice."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (left := preloaded.children()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [f"process {line} outlived its controller and its jobs" for line in left]


def slots(queue: Object) -> list[str]:
    """Nothing holds or waits for a slot."""
    status = queue.get("status", {})
    if status.get("running", 0) or status.get("pending", 0):
        return [f"queue: {status.get('running')} slots held, {status.get('pending')} jobs wait after the last end"]
    return []


def leftovers(home: Path) -> list[str]:
    """Requirement 7.6: no process, lock, temporary file or working file of an ended attempt is left."""
    found = []
    runs = home / "runs"
    directories = sorted(runs.iterdir()) if runs.is_dir() else []
    uids = {path.name.rpartition(".")[0] for path in directories}
    found += [f"process {pid} of an attempt is left" for pid in processes(uids)]
    found += [f"{path} is left" for path in home.rglob("*") if is_temp_name(path.name)]
    found += [f"{path} is left" for path in home.glob("checkpoints/*")]  # every job that has some succeeds
    for path in directories:
        if not is_attempt_name(path.name):
            found.append(f"{path} is left")
            continue
        run = RunDir(str(path))
        found += [f"{path}: {name} is held" for name in ("lock", "recorder.lock") if is_locked(run.file(name))]
        found += _record_of(run)
        surplus = sorted(entry.name for entry in path.iterdir() if entry.name not in KEPT)
        found += [f"{path}: {', '.join(surplus)} left"] if surplus else []
    return found


def _record_of(run: RunDir) -> list[str]:
    try:
        run.read_attempt()
        run.read_exit()
        run.read_process()
    except RecordError as error:
        return [f"{run.path}: {error}"]
    return []


def processes(uids: set[str]) -> list[int]:
    """Live processes with the marker of an attempt of these jobs in their environment."""
    marks = [f"{MARKER}={uid}.".encode() for uid in uids]
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            environ = (process / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if any(mark in environ for mark in marks):
            found.append(int(process.name))
    return found
