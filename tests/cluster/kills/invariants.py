"""What must be true after the kills. What holds for every job of the crash suite is stated there and holds here too."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.kills.cases import Execution, Work, executions, workspaces
from tests.crash import invariants as of_every_job

Object = dict[str, Any]
Outages = Sequence[tuple[float, float]]


def check(work: Work, status: Object, ledger: Path, kept: Path, spoiled: set[str], deaf: Outages) -> list[str]:
    """Every violated invariant of one job, as a sentence.

    Args:
        kept: directory of the outputs.
        spoiled: attempts whose Pod was deleted by hand.
        deaf: when containerd was away, in seconds since boot.
    """
    ran = executions(ledger)
    found = [*of_every_job.consistent(status), *of_every_job.numbers(status), *_once(ran, status)]
    found += [*_as_told(work, status, ran), *_counted(status), *_output(work, status, ran, kept, spoiled, deaf)]
    return [f"{work.name}: {text}" for text in found]


def _once(ran: list[Execution], status: Object) -> Iterator[str]:
    """Requirement 2.6: no attempt runs twice, no two run at once, none that is not recorded."""
    attempts = [one.attempt for one in ran]
    if len(attempts) != len(set(attempts)):
        yield f"an attempt ran twice: {attempts}"
    for one, other in itertools.combinations(ran, 2):
        if one.since < other.until and other.since < one.until:
            yield f"two attempts at once: {one} and {other}"
    highest = max((int(attempt.rpartition(".")[2]) for attempt in attempts), default=0)
    if highest > status["attempt"]["number"]:
        yield f"attempt {highest} ran, and {status['attempt']['number']} is the last one recorded"


def _as_told(work: Work, status: Object, ran: list[Execution]) -> Iterator[str]:
    """Requirements 2.4, 4.2: an end that a command had is the one that is recorded, and none is invented."""
    ended = {one.attempt.rpartition(".")[2] for one in ran if one.ended}
    for attempt in of_every_job.attempts(status):
        number, state, code = str(attempt["number"]), attempt.get("state"), attempt.get("exitCode")
        if state == "Succeeded" and number not in ended:
            yield f"attempt {number} is recorded as Succeeded and did not come to its end"
        if number in ended and state in ("Succeeded", "Failed") and code != work.does.code:
            yield f"attempt {number} ended with {work.does.code}, recorded is {code} ({attempt.get('reason')})"
    allowed = {"canceled": ("Canceled", "Succeeded"), "seven": ("Failed",)}.get(work.kind, ("Succeeded",))
    if status.get("phase") not in allowed:
        yield f"is {status.get('phase')} ({status.get('reason')}): {status['attempt'].get('message')}"


def _counted(status: Object) -> Iterator[str]:
    """Every attempt but a last one that ended well, or was canceled, is a loss or a failure."""
    counted = status.get("losses", 0) + status.get("failures", 0)
    number = status["attempt"]["number"]
    if counted not in (number, number - 1) or (status.get("phase") == "Succeeded" and counted != number - 1):
        yield f"{number} attempts, {status.get('losses', 0)} lost and {status.get('failures', 0)} failed"


def _output(
    work: Work, status: Object, ran: list[Execution], kept: Path, spoiled: set[str], deaf: Outages
) -> Iterator[str]:
    """Requirement 3.7: what a command printed that came to its end is kept whole, though its Pod is gone.

    Of one that ended while containerd was away the beginning is, as far as there ever was a log of it.
    """
    for one in ran:
        if one.ended and one.attempt not in spoiled and int(one.attempt.rpartition(".")[2]) == _last(status):
            path = kept / one.attempt / "output.log"
            found = path.read_bytes() if path.exists() else b""
            cut = any(since <= one.until <= until for since, until in deaf)
            if found != work.does.output and not (cut and work.does.output.startswith(found)):
                yield f"output of {one.attempt} is {found!r}; it ran from {one.since} to {one.until}"


def _last(status: Object) -> int:
    number: int = status["attempt"]["number"]
    return number


def workspace(work: Work, status: Object, ledger: Path, contents: Mapping[str, str]) -> Iterator[str]:
    """Requirement 5.3: the workspace is of the commit that is recorded, and each attempt with one had it anew.

    Args:
        contents: of COMMIT_FILE, by commit.
    """
    found = workspaces(ledger)
    for attempt, text in found:
        if text not in contents.values():
            yield f"{work.name}: attempt {attempt} found {text!r}, which is in no commit"
    number, commit = _last(status), (status.get("repository") or {}).get("commit", "")
    last = [text for attempt, text in found if int(attempt.rpartition(".")[2]) == number]
    if last and last != [contents.get(commit)]:
        yield f"{work.name}: attempt {number} found commit {last}, recorded is {commit} ({contents.get(commit)})"
    if status.get("phase") == "Succeeded" and not last:
        yield f"{work.name}: attempt {number} succeeded without a workspace"


def one_holder(ledgers: Mapping[str, list[Execution]]) -> Iterator[str]:
    """Requirement 5.4: never two that have the repository alone, as the commands themselves saw it.

    Args:
        ledgers: of those jobs, by name.
    """
    ran = sorted(((one.since, one.until, one.attempt, name) for name, found in ledgers.items() for one in found))
    for (_, until, attempt, name), (since, _, later, other) in itertools.pairwise(ran):
        if since < until:
            yield f"{name} ({attempt}) had the repository until {until}, {other} ({later}) since {since}"


def concurrency(ledgers: list[list[Execution]], limit: int) -> Iterator[str]:
    """Requirement 2.3: a queue's limit, as the commands themselves saw it."""
    moments = [moment for one in itertools.chain(*ledgers) for moment in ((one.since, 1), (one.until, -1))]
    running = most = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    if most > limit:
        yield f"{most} commands ran at once, {limit} are allowed"
