"""Every state file is checked when the controller starts, and the run directories again now and then (requirement 7.5).

One table says which files there are, how each is read, and what becomes of a damaged one:

    MOVE   it is made anew by who needs it: to quarantine
    COPY   it is salvaged and rewritten by who needs it: a copy to quarantine
    STAY   it may belong to something alive, or only a person can say: told, and left to its reader

Readers check too, whenever they read: this look is for the account of a start, and for what nobody reads for long.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path

import structlog

from controller.errors import Terminal
from controller.executors.process.records import RecordError
from controller.executors.process.rundir import RunDir, is_attempt_name
from controller.files.quarantine import keep_copy, set_aside
from controller.files.versions import NewerVersion, current
from controller.recovery.binding import IDENTITY, read_identity
from controller.recovery.clean_stop import MARK, read_mark
from controller.repositories.cleanup import list_repositories
from controller.repositories.facts import Damaged, read_mirror
from controller.repositories.fence import read_fence
from controller.repositories.places import FENCE, Places
from controller.repositories.results import Result
from controller.telemetry.integrity import Integrity

CHUNK = 100  # run directories looked at before others get the processor
PAUSE_SECONDS = 0.02
ROUND_SECONDS = 3600.0

_log = structlog.get_logger("controller.integrity")


class Reaction(Enum):
    """See the module."""

    MOVE = "Move"
    COPY = "Copy"
    STAY = "Stay"


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort of state file.

    Args:
        paths: all of them below a state directory; raises OSError.
        read: raises ValueError (RecordError and NewerVersion among them), Terminal or OSError for a damaged one.
    """

    name: str
    paths: Callable[[Path], Iterable[Path]]
    read: Callable[[Path], object]
    reaction: Reaction


def _http(path: Path) -> None:
    found = current("http.json", json.loads(path.read_bytes()))
    if not isinstance(found.get("url"), str) or type(found.get("pid")) is not int:
        raise ValueError("url or pid is missing or no such value")


def _result(path: Path) -> None:
    Result.from_bytes(path.read_bytes())


def _fence(path: Path) -> None:
    if read_fence(path.parent).damaged:
        raise ValueError("is not as it was written; the largest number in it still counts as given")


def _repositories(home: Path) -> Iterator[Path]:
    places = Places(home)
    return (places.repository(*pair) for pair in list_repositories(places))


SORTS = (
    Sort(IDENTITY, lambda home: [home / IDENTITY], lambda path: read_identity(path.parent), Reaction.STAY),
    Sort("http.json", lambda home: [home / "http.json"], _http, Reaction.MOVE),
    Sort(MARK, lambda home: [home / MARK], read_mark, Reaction.MOVE),
    Sort("result", lambda home: _children(Places(home).results, ".json"), _result, Reaction.MOVE),
    Sort(FENCE, lambda home: (path / FENCE for path in _repositories(home)), _fence, Reaction.COPY),
    Sort(
        "mirror.json",
        lambda home: (path / "mirror.git" / "mirror.json" for path in _repositories(home)),
        lambda path: read_mirror(path.parent),
        Reaction.STAY,  # it is verified and cloned anew, and pushes of jobs are brought over
    ),
)


def check_files(home: Path, integrity: Integrity) -> None:
    """Check all but the run directories: few and small. Raises nothing: what cannot be looked at is told."""
    for sort in SORTS:
        count = 0
        try:
            for path in sort.paths(home):
                count += path.exists()
                _check(home, path, sort, integrity)
        except OSError as error:
            integrity.damaged(str(error.filename or home), f"cannot be read ({error.strerror or error})")
        integrity.checked(sort.name, count)
    integrity.observe(0, 0)


def _check(home: Path, path: Path, sort: Sort, integrity: Integrity) -> None:
    problem, readable = _problem(home, path, sort.read)
    if not problem:
        integrity.sound(str(path))
        return
    if sort.reaction is Reaction.STAY or not readable:
        integrity.damaged(str(path), problem)
        return
    put = set_aside if sort.reaction is Reaction.MOVE else keep_copy
    if put(home, path, problem) is not None:
        integrity.set_aside(str(path), problem)


def _problem(home: Path, path: Path, read: Callable[[Path], object]) -> tuple[str, bool]:
    """What is wrong with a file, "" where nothing is or it is not there; and whether it could be read at all."""
    try:
        wrong = wrong_hands(home, path)
        read(path)
    except FileNotFoundError:
        return "", True
    except (Terminal, NewerVersion, RecordError, Damaged) as error:
        return str(error), True
    except (ValueError, RecursionError) as error:
        return f"is damaged ({error})", True
    except OSError as error:
        return f"cannot be read ({error.strerror or error})", False
    return wrong, True


def wrong_hands(home: Path, path: Path) -> str:
    """Why somebody else may have written a file, "" where nobody could. Raises OSError.

    Whom the state directory belongs to is trusted: root runs on other users' directories too.
    """
    status, trusted = path.lstat(), {os.geteuid(), home.stat().st_uid}
    if status.st_uid not in trusted:
        return f"belongs to uid {status.st_uid}, not to the user of Holdfast: who wrote it?"
    if status.st_mode & 0o002 and path.is_file():
        return f"can be written by everybody (mode {status.st_mode & 0o777:04o}): who wrote it?"
    return ""


async def keep_checking_runs(home: Path, integrity: Integrity) -> None:
    """Check the run directories after the start and once an hour, until cancelled."""
    while True:
        await check_runs(home, integrity)
        await asyncio.sleep(ROUND_SECONDS)


async def check_runs(home: Path, integrity: Integrity) -> None:
    """Look at the records of all run directories, of jobs and of operations, a few at a time.

    They stay: one may belong to something that runs. Who proves that nobody needs it sets it aside (`ownerless`).
    """
    for directory in (home / "runs", home / "operations"):
        count, known = 0, {path for path in integrity.problems if Path(path).parent == directory}
        runs = iter(await asyncio.to_thread(_run_directories, directory))
        while chunk := list(islice(runs, CHUNK)):
            count += len(chunk)
            for path, problem in await asyncio.to_thread(_damaged_runs, home, chunk):
                known.discard(str(path))
                integrity.damaged(str(path), problem)
            await asyncio.sleep(PAUSE_SECONDS)
        for whole in known:
            if os.path.lexists(whole):  # else it was set aside, which counts until the next start
                integrity.sound(whole)
        integrity.checked(directory.name, count)


def _run_directories(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if is_attempt_name(path.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        _log.warning("the run directories cannot be read", path=str(directory), error=str(error))
        return []


def _damaged_runs(home: Path, paths: list[Path]) -> list[tuple[Path, str]]:
    found = ((path, _problem(home, path, _read_run)[0]) for path in paths)
    return [(path, problem) for path, problem in found if problem]


def _read_run(path: Path) -> None:
    run = RunDir(str(path))
    if run.read_attempt() is None and path.exists():
        raise ValueError("attempt.json is missing")
    run.read_process()
    run.read_stop()
    run.read_exit()


def _children(directory: Path, suffix: str) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == suffix)
    except FileNotFoundError:
        return []
