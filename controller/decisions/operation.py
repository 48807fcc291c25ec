"""One operation of ours (clone, fetch, verify, prepare) as an attempt of the executor: what to do until it is over.

Promises: what runs is reattached, never started beside itself; a crash between the record and the launch is the same
launch again; an end is told once, in the words of the program's own result. Operations hold no slot and no lock, and
each works in a directory named after its number, so one that stays silent can be given up after a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from controller.decisions.observed import Evidence, Observation
from controller.decisions.outcome import describe
from controller.decisions.plan import Action, Launch, Release, Stop, Supervise, Void
from controller.errors import HoldfastError, Terminal

LOOK_AGAIN = 1.0  # seconds until the next look at something that is about to change
UNKNOWN_AGAIN = 5.0  # seconds until the next look at something that could not be read
START_TIMEOUT = 120.0  # seconds after which one that did not start is voided (design 6)
GIVE_UP = 600.0  # seconds of silence, after its deadline, until another one may be started
KEPT_RUNS = 3  # newest run directories, whose output people may read
BACKOFF_FIRST, BACKOFF_MOST = 5.0, 600.0  # seconds between failures: doubling

SUCCEEDED = "Succeeded"
LOST, NO_EVIDENCE, NEVER_STARTED, CUT_OFF = "Lost", "NoEvidence", "NeverStarted", "Failed"

UNSEEN = Observation(Evidence.UNKNOWN, message="the operation was not observed")


@dataclass(frozen=True, slots=True)
class Result:
    """What the program wrote about its end.

    Args:
        reason: in CamelCase; Succeeded where it did its work.
        message: a sentence for a person, or "".
        size_bytes: of the mirror, None where it says nothing of it.
        diverged: branches with pushes of jobs that upstream neither has nor precedes; None where it did not look.
    """

    reason: str = SUCCEEDED
    message: str = ""
    size_bytes: int | None = None
    diverged: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """All that was read about the newest operation.

    Args:
        found: what was observed of it; None where there is none to observe.
        result: what the program wrote about its end, None where it wrote nothing.
        known: numbers found in run directories of this object's operations; None: they could not be read.
        annotations: what the newest known one carried, to rebuild a wiped status.
        starting_for: seconds (monotonic) since this controller first saw it Starting.
        unknown_for: seconds (monotonic) since there was last evidence about it.
        error: what the last action failed with.
    """

    found: Observation | None = None
    result: Result | None = None
    known: tuple[int, ...] | None = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    starting_for: float = 0.0
    unknown_for: float = 0.0
    error: HoldfastError | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How an operation ended.

    Args:
        ok: it did its work.
        reason: why not, "" where it did.
        message: a sentence for a person, or "".
        lost: it was cut off by what it cannot help (a reboot, a kill): repeating it is free.
        result: what the program said, None where it said nothing.
        finished_at: where an exit record tells it.
    """

    ok: bool
    reason: str = ""
    message: str = ""
    lost: bool = False
    result: Result | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What to do about an operation now; `end` once it is proved over (or given up)."""

    actions: tuple[Action, ...] = ()
    wake_after: float | None = None
    end: End | None = None
    reason: str = ""
    message: str = ""


def follow(number: int, run: Run, deadline_seconds: float) -> Step:
    """Decide about operation `number`, which is recorded as begun.

    Args:
        number: of the operation.
        run: what was read about it.
        deadline_seconds: its run time, after which its supervisor stops it.
    """
    found = run.found or UNSEEN
    match found.evidence:
        case Evidence.ALIVE:
            return Step(() if found.supervised else (Supervise(number),))
        case Evidence.ABSENT:
            return _launch(number, run)
        case Evidence.LAUNCHING:
            return Step(wake_after=LOOK_AGAIN) if found.supervised and not _cannot(run) else _launch(number, run)
        case Evidence.UNKNOWN:
            return _unknown(number, run, found, deadline_seconds)
        case _ if found.processes_left:
            return Step((Stop(number, "Sweep", 0.0),), LOOK_AGAIN)
        case _:
            return Step((Release(number, keep_record=True),), 0.0, _end(found, run))


def superseded(run: Run, number: int) -> tuple[Action, ...]:
    """Removal of the run directories of old operations, the newest being `number`; repeated until they are gone."""
    return tuple(Release(old, keep_record=False) for old in run.known or () if old <= number - KEPT_RUNS)


def backoff_seconds(failures: int) -> float:
    """Wait after `failures` failures in a row: doubling, at most ten minutes."""
    return 0.0 if failures < 1 else min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(failures - 1, 16))


def backoff_left(retry_at: datetime | None, now: datetime) -> float:
    """Seconds of backoff left; a clock that was set back cannot make it longer than the longest backoff."""
    if retry_at is None:
        return 0.0
    left = (retry_at - now).total_seconds()
    return left if 0 < left <= BACKOFF_MOST else 0.0


def _cannot(run: Run) -> str:
    """Why it will never start, "" while it may."""
    if isinstance(run.error, Terminal):
        return str(run.error)
    if run.starting_for > START_TIMEOUT:
        return f"not started within {run.starting_for:.0f} s" + (f": {run.error}" if run.error else "")
    return ""


def _launch(number: int, run: Run) -> Step:
    """The intent is recorded: go on with the launch (doing it again does it once), or make sure it never happens."""
    if why := _cannot(run):
        return Step((Void(number, why),), LOOK_AGAIN)
    reason, message = (run.error.reason, run.error.message) if run.error else ("", "")
    return Step((Launch(number),), LOOK_AGAIN, reason=reason, message=message)


def _unknown(number: int, run: Run, found: Observation, deadline_seconds: float) -> Step:
    why = found.message or "no evidence whether it runs"
    if run.unknown_for < deadline_seconds + GIVE_UP:
        return Step(wake_after=UNKNOWN_AGAIN, reason=NO_EVIDENCE, message=why)
    text = f"given up after {run.unknown_for:.0f} s without evidence: {why}"
    return Step((Void(number, text), Stop(number, "GivenUp", 0.0)), 0.0, End(False, NO_EVIDENCE, text, lost=True))


def _end(found: Observation, run: Run) -> End:
    record = found.exit
    if found.evidence is Evidence.GONE or record is None:
        text = found.message or "it ended without an exit record"
        return End(False, LOST, text, lost=True)
    if found.evidence is Evidence.NEVER_STARTED:
        error = run.error if isinstance(run.error, Terminal) else None
        reason = error.reason if error else record.reason or NEVER_STARTED
        text = error.message if error else record.message or "it was never started"
        return End(False, reason, text, lost=reason == NEVER_STARTED, finished_at=record.finished_at)
    said, when = run.result, record.finished_at
    if record.code == 0 and not record.reason:
        return End(True, "", said.message if said else "", result=said, finished_at=when)
    # Being stopped (deadline, disk) outweighs what the program could still say; else its own word counts.
    if said is not None and said.reason != SUCCEEDED and not record.reason:
        return End(False, said.reason, said.message, result=said, finished_at=when)
    return End(False, record.reason or CUT_OFF, record.message or describe(record), finished_at=when)
