"""Closing attempts that never started, removing what is left of ended ones, setting damaged ones aside.

All of it is blocking file work, called in a thread. Each step can be interrupted at any point and done again.
"""

from __future__ import annotations

import os
import signal
import time

from controller.decisions.observed import Evidence, Observation
from controller.errors import Several, Transient, Waiting
from controller.executors.process import cgroup
from controller.executors.process.identity import Verdict, boot_id, compare, machine_id, send
from controller.executors.process.observe import look, processes_left
from controller.executors.process.records import Attempt, Exit, RecordError
from controller.executors.process.rundir import (
    TRASH_PREFIX,
    RunDir,
    build,
    is_attempt_name,
    is_locked,
    try_lock,
)
from controller.files.atomic import is_temp_name, temp_name
from controller.files.quarantine import set_aside
from controller.files.trees import remove_tree

_KEPT = frozenset({"attempt.json", "process.json", "exit.json", "output.log", "journal.jsonl", "lock", "recorder.lock"})
_LOOK_LIMIT_SECONDS = 0.3
_KILLED_LIMIT_SECONDS = 2.0
_RECORDER_LIMIT_SECONDS = 10.0


def void(runs: str, attempt: str, state_id: str, message: str) -> bool:
    """Make sure that an attempt that is not proved started never starts.

    Whoever holds `lock` and `recorder.lock` and finds neither process.json nor exit.json knows that the command has
    not run, and that nobody else can let it: the record written then is the first thing that any supervisor finds.

    Args:
        message: why, for a person.

    Returns:
        False where the command may have started: observe it.

    Raises:
        OSError: the record could not be written.
    """
    record = Exit(never_started=True, message=message)
    tombstone = Attempt(attempt, state_id, machine_id(), boot_id(), "", "", (), {}, "/", created_at=time.time())
    files = {"attempt.json": tombstone.to_bytes(), "exit.json": record.to_bytes()}
    run = RunDir.of(runs, attempt)
    if not run.exists("") and build(runs, attempt, files) is not None:
        return True
    known = _never_started(run)
    if known is not None:
        return known
    lock = try_lock(run.file("lock"), _LOOK_LIMIT_SECONDS) or _lock_of_killed_supervisor(run)
    if lock is None:
        return False
    try:
        recorder_lock = try_lock(run.file("recorder.lock"), _RECORDER_LIMIT_SECONDS)
        if recorder_lock is None:
            return False
        try:
            known = _never_started(run)
            if known is None:
                run.write_exit(record)
            return known is not False
        finally:
            os.close(recorder_lock)
    finally:
        os.close(lock)


def _never_started(run: RunDir) -> bool | None:
    """True or False where the files prove it or nearly so, None where the command has not been let go yet."""
    try:
        record = run.read_exit()
    except RecordError:
        return False
    if record is not None:
        return record.never_started
    return False if run.exists("process.json") else None


def _lock_of_killed_supervisor(run: RunDir) -> int | None:
    """A supervisor that has not let its command go: without it the gate closes and the recorder says so."""
    try:
        supervisor = run.read_supervisor()
    except RecordError:
        supervisor = None
    if supervisor is not None:
        send(supervisor, signal.SIGKILL)
    return try_lock(run.file("lock"), _KILLED_LIMIT_SECONDS)


def release(runs: str, attempt: str, state_id: str, *, keep_record: bool) -> None:
    """Remove what is left of an ended attempt.

    Args:
        keep_record: keep attempt.json, exit.json, the journal and the output; else the whole directory goes.

    Raises:
        Waiting: something of it is or may be alive.
        Transient: a file could not be removed.
    """
    run = RunDir.of(runs, attempt)
    seen = look(run, state_id)
    if seen.observation.evidence is Evidence.ABSENT:
        return
    _refuse_alive(run, seen.observation)
    try:
        if seen.sweep and processes_left(run, seen.process):
            raise Waiting("ProcessesLeft", f"{run.path} is kept: processes of the attempt still run", 5)
        # Without process.json: made by a launch that was cut off before it, or the file is damaged.
        cgroup.remove(seen.process.cgroup if seen.process is not None else cgroup.path_of(attempt))
        if keep_record:
            _strip(run)
        else:
            _trash(runs, run)
    except OSError as error:
        raise Transient("ReleaseFailed", f"{error.filename or run.path}: {error.strerror or error}") from error


def _refuse_alive(run: RunDir, seen: Observation) -> None:
    finished = seen.evidence in (Evidence.ENDED, Evidence.GONE, Evidence.NEVER_STARTED)
    if not finished or seen.processes_left:
        why = seen.message or f"it is {seen.evidence.value}"
        raise Waiting("AttemptNotOver", f"{run.path} is kept: {why}", 5)


def _strip(run: RunDir) -> None:
    with os.scandir(run.path) as entries:
        surplus = [entry for entry in entries if entry.name not in _KEPT]
    several = Several()
    for entry in surplus:
        with several.kept():
            remove_tree(entry.path)  # two releases of one attempt may meet: what is gone is no error
    several.raise_all()


def unreleased(runs: str, attempts: list[str]) -> list[str]:
    """Those of `attempts` with files beside the record and the output. Raises OSError."""
    found = []
    for name in attempts:
        try:
            entries = os.listdir(os.path.join(runs, name))
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed meanwhile, or no run directory: `foreign_entries` tells
        if not _KEPT.issuperset(entries):
            found.append(name)
    return found


def _trash(runs: str, run: RunDir) -> None:
    """One rename makes it absent for everybody; a removal that is interrupted is finished by `clean_leftovers`."""
    trash = os.path.join(runs, TRASH_PREFIX + temp_name(os.path.basename(run.path)))
    os.rename(run.path, trash)
    remove_tree(trash)


def clean_leftovers(runs: str, now: float, older_than_seconds: float = 600) -> list[str]:
    """Finish interrupted removals, and remove directories whose building was killed (requirement 7.6).

    Args:
        now: wall clock in seconds since the epoch.
        older_than_seconds: younger unfinished directories may belong to a launch at work.

    Returns:
        The removed paths.

    Raises:
        OSError: the directory cannot be read, or something cannot be removed; all else is removed.
    """
    removed, several = [], Several()
    for path in half_made(runs, now, older_than_seconds):
        with several.kept():
            remove_tree(path)
            removed.append(path)
    several.raise_all()
    return removed


def half_made(runs: str, now: float, older_than_seconds: float = 600) -> list[str]:
    """What `clean_leftovers` would remove; arguments as there. Raises OSError."""
    with os.scandir(runs) as entries:
        hidden = [entry for entry in entries if entry.name.startswith(".") and is_temp_name(entry.name)]
    found = []
    for entry in hidden:
        try:
            age = now - entry.stat(follow_symlinks=False).st_mtime
        except FileNotFoundError:
            continue
        if entry.name.startswith(TRASH_PREFIX) or age > older_than_seconds:
            found.append(entry.path)
    return found


def quarantine(runs: str, name: str, state_id: str, asked: str = "") -> str | None:
    """Set an entry of `runs` aside that is damaged or foreign, unless something of it may be alive (7.5).

    Args:
        asked: a person's reason to set aside what is neither, but of which nothing is proved; "" for none.

    Returns:
        Why it was set aside; None where it stays.

    Raises:
        OSError: it could not be moved.
    """
    run = RunDir(os.path.join(runs, name))
    reason = _damage(run, name, state_id) or asked
    if not reason or _may_be_alive(run, name):
        return None
    # Beside `runs`: all that was set aside is in one place of the state directory.
    return reason if set_aside(os.path.dirname(runs), run.path, reason) is not None else None


def _damage(run: RunDir, name: str, state_id: str) -> str | None:
    if not is_attempt_name(name):
        return "is not the name of an attempt"
    return look(run, state_id).damaged or None


def _may_be_alive(run: RunDir, name: str) -> bool:
    if not os.path.isdir(run.path):
        return False
    if is_locked(run.file("lock")) or is_locked(run.file("recorder.lock")):
        return True
    try:
        process = run.read_process()
    except RecordError:
        process = None
    if process is None:
        return False
    return compare(process.recorder) is Verdict.SAME or bool(processes_left(run, process))
