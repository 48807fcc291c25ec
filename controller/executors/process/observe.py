"""One look at a run directory: what is proved about an attempt (design 6 "Identity and evidence").

The order matters: liveness first, exit.json after it, so that an end between the two is seen as an end and never as a
loss. Nothing is changed here; what cannot be read or does not parse is UNKNOWN with a message.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.executors.process.identity import Stat, Verdict, boot_id, compare, container, machine_id, pid_namespace
from controller.executors.process.records import Attempt, Exit, NewerRecordError, Process, RecordError
from controller.executors.process.rundir import RunDir, is_locked
from controller.executors.process.sweeping import scope_without_records
from controller.executors.process.tree import Scope, marker, members, scan
from controller.files import journal

_FINISHED = (Evidence.ENDED, Evidence.GONE, Evidence.NEVER_STARTED)
_HIGHEST_SIGNAL = 64
_DISPENSABLE = frozenset({"attempt.json", "process.json"})  # not needed where the end is recorded

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found, before the slow parts.

    Args:
        observation: complete but for processes_left where `sweep` is set.
        process: process.json, None where it is absent or damaged.
        sweep: nobody vouches that no process is left: look for them.
        sync: exit.json is not known to be durable yet.
        damaged: what is wrong with which file, "" where nothing is.
    """

    observation: Observation
    process: Process | None = None
    sweep: bool = False
    sync: bool = False
    damaged: str = ""


def look(run: RunDir, state_id: str) -> Look:
    """Look at one attempt.

    Args:
        run: its run directory, which may be missing.
        state_id: of this state directory: another one's attempts are UNKNOWN (design 9).
    """
    try:
        return _look(run, state_id)
    except RecordError as error:
        return _damaged(run, error)
    except OSError as error:
        return _unreadable(run, error)


def _damaged(run: RunDir, error: RecordError) -> Look:
    """A damaged file is no proof of anything; an end that is recorded beside it is one."""
    alive, supervised = _recorder_lock_held(run), _supervised(run)
    message = f"{run.path}: {error}"
    try:
        ended = None if alive else _ended_all_the_same(run, error, supervised)
    except RecordError as another:
        ended, message = None, f"{message}; {another}"
    except OSError as unreadable:
        return _unreadable(run, unreadable)
    if ended is not None:
        return ended
    evidence = Evidence.ALIVE if alive else Evidence.UNKNOWN
    return Look(Observation(evidence, supervised=supervised, message=message), damaged=str(error))


def _ended_all_the_same(run: RunDir, error: RecordError, supervised: bool) -> Look | None:
    """The end of an attempt whose attempt.json or process.json is damaged, None where it is not proved.

    Proved is it by a whole exit.json in a directory of this machine, whose recorder took `recorder.lock` and gave it
    back. A lock that is missing proves nothing.

    Raises:
        RecordError, OSError: exit.json cannot be read either.
    """
    if error.name not in _DISPENSABLE or isinstance(error, NewerRecordError):
        return None
    if not run.exists("recorder.lock") or not run.exists("lock"):
        return None
    record = run.read_exit()
    process = _whole(run.read_process)
    if record is None or _machine(run, process) != machine_id():
        return None
    story = journal.read(run.journal)
    stop = story.last("StopRequested")
    base = _base(run, process, stop, supervised)
    message = f"{run.path}: {error}; its end was recorded all the same"
    found = _ended(run, replace(base, message=message), record, process, story, stop)
    return replace(found, damaged=str(error))


def _machine(run: RunDir, process: Process | None) -> str | None:
    """The machine that the attempt ran on, by whichever record is whole; None where none is."""
    if process is not None:
        return process.recorder.machine
    attempt = _whole(run.read_attempt)
    if attempt is not None:
        return attempt.machine
    supervisor = _whole(run.read_supervisor)
    return None if supervisor is None else supervisor.machine


def _whole(read: Callable[[], T | None]) -> T | None:
    """What a record says, None where it is damaged or missing."""
    try:
        return read()
    except RecordError:
        return None


def _unreadable(run: RunDir, error: OSError) -> Look:
    return Look(Observation(Evidence.UNKNOWN, message=f"{error.filename or run.path}: {error.strerror or error}"))


def _look(run: RunDir, state_id: str) -> Look:
    attempt = run.read_attempt()
    if attempt is None:
        return _without_attempt(run)
    if attempt.state_id != state_id:
        return _unknown(f"{run.path} belongs to state directory {attempt.state_id}, this one is {state_id}")
    if attempt.machine != machine_id():
        return _unknown(f"{run.path} was made on another machine ({attempt.machine or 'without machine-id'})")
    supervised = is_locked(run.file("lock"))
    process = run.read_process()
    verdict = Verdict.UNKNOWN if process is None else compare(process.recorder)
    record = run.read_exit()
    story = journal.read(run.journal)
    stop = story.last("StopRequested")
    base = _base(run, process, stop, supervised)
    if record is not None and process is None and not record.never_started:
        raise RecordError("process.json", "is missing")
    if record is not None:
        return _ended(run, base, record, process, story, stop)
    if process is None:
        return Look(replace(base, evidence=Evidence.LAUNCHING))
    if verdict is Verdict.UNKNOWN and _went_with_container(attempt, process) and not _recorder_lock_held(run):
        message = "the container that it ran in has ended, with all processes in it"
        return Look(replace(base, evidence=Evidence.GONE, message=message), process)
    return _running(run, base, process, verdict)


def _went_with_container(attempt: Attempt, process: Process) -> bool:
    """Whether it ran in an earlier instance of this very container: see `identity.container`."""
    then, now = process.recorder, (boot_id(), container())
    return bool(now[1]) and (then.boot, attempt.container) == now and then.pid_namespace != pid_namespace()


def _base(run: RunDir, process: Process | None, stop: Mapping[str, object] | None, supervised: bool) -> Observation:
    """What is observed whatever the evidence will be."""
    return Observation(
        Evidence.UNKNOWN,
        started_at=None if process is None else _time(process.started_at),
        output_bytes=_size(run.output),
        stop_requested=stop is not None,
        supervised=supervised,
    )


def _without_attempt(run: RunDir) -> Look:
    if not run.exists(""):
        os.stat(os.path.dirname(run.path))  # ABSENT needs a state directory that can be read
        return Look(Observation(Evidence.ABSENT))
    raise RecordError("attempt.json", "is missing")


def _unknown(message: str) -> Look:
    return Look(Observation(Evidence.UNKNOWN, message=message))


def _running(run: RunDir, base: Observation, process: Process, verdict: Verdict) -> Look:
    if verdict is Verdict.SAME:
        return Look(replace(base, evidence=Evidence.ALIVE), process)
    if verdict is Verdict.GONE and base.supervised:
        message = "the recorder is gone; its supervisor still deals with the attempt"
        return Look(replace(base, evidence=Evidence.ALIVE, message=message), process)
    if verdict is Verdict.GONE:
        return Look(replace(base, evidence=Evidence.GONE), process, sweep=process.recorder.boot == boot_id())
    if _recorder_lock_held(run):
        return Look(replace(base, evidence=Evidence.ALIVE), process)
    message = f"{run.path}: the recorder (pid {process.recorder.pid}) cannot be looked up from here"
    return Look(replace(base, evidence=Evidence.UNKNOWN, message=message), process)


def _ended(
    run: RunDir,
    base: Observation,
    record: Exit,
    process: Process | None,
    story: journal.Journal,
    stop: Mapping[str, object] | None,
) -> Look:
    evidence = Evidence.NEVER_STARTED if record.never_started else Evidence.ENDED
    end = ExitRecord(
        code=record.code,
        signal=_signal(record, stop is not None),
        reason=record.reason or _text(stop, "reason"),
        message=record.message or _text(stop, "message"),
        finished_at=_time(os.stat(run.file("exit.json")).st_mtime),
    )
    observation = replace(base, evidence=evidence, exit=end)
    last = story.last("Ended")
    if last is not None:
        return Look(observation, process, sync=last.get("durable") is not True)
    if record.never_started if process is None else process.recorder.boot != boot_id():
        return Look(observation, process, sync=True)  # no process of it can be left
    if base.supervised:
        message = "its supervisor still looks for processes that it left"
        return Look(replace(observation, processes_left=1, message=message), process, sync=True)
    return Look(observation, process, sweep=True, sync=True)


def _signal(record: Exit, stopped: bool) -> int | None:
    """A code above 128 names a signal only where we sent one: programs may exit with such a code by themselves."""
    if record.signal is not None:
        return record.signal
    if stopped and record.code is not None and 128 < record.code <= 128 + _HIGHEST_SIGNAL:
        return record.code - 128
    return None


def processes_left(run: RunDir, process: Process | None, stats: dict[int, Stat] | None = None) -> list[Stat]:
    """The attempt's processes as seen from outside, when no supervisor vouches for their end.

    Args:
        process: process.json, None where it is damaged.

    Raises:
        OSError: /proc cannot be read.
    """
    if process is None:
        return members(scope_without_records(run), stats)
    try:
        command = run.read_command(process)
    except RecordError:
        command = None
    pids = {process.recorder.pid} | ({command.pid} if command is not None else set())
    alive = frozenset({command.pid} if command is not None and compare(command) is Verdict.SAME else ())
    recorder = {process.recorder.pid} if compare(process.recorder) is Verdict.SAME else set()
    attempt = os.path.basename(run.path)
    scope = Scope(attempt, alive, frozenset(pids), process.cgroup, frozenset({os.getpid()} | recorder))
    return members(scope, stats)


def live_processes(run: RunDir) -> list[Stat]:
    """The processes of an attempt besides supervisor and recorder, by the marker. Raises OSError for /proc."""
    process = _whole(run.read_process)
    recorder = {process.recorder.pid} if process is not None and compare(process.recorder) is Verdict.SAME else set()
    return members(Scope(os.path.basename(run.path), exclude=frozenset({os.getpid()} | recorder)))


def still_running(run: RunDir) -> str:
    """Whether processes of an attempt run although its directory is gone: a message for a person, "" where none do.

    Raises:
        OSError: /proc cannot be read.
    """
    left = members(Scope(os.path.basename(run.path), exclude=frozenset({os.getpid()})))
    pids = ", ".join(str(stat.pid) for stat in left[:5])
    return f"{run.path} is gone, but {len(left)} processes of the attempt run (pid {pids})" if left else ""


def attempts_of_processes() -> set[str]:
    """All attempts that live processes carry as their marker. Raises OSError where /proc cannot be read."""
    return {attempt for pid in scan() if (attempt := marker(pid))}


def _recorder_lock_held(run: RunDir) -> bool:
    try:
        return is_locked(run.file("recorder.lock"))
    except OSError:
        return False


def _supervised(run: RunDir) -> bool:
    try:
        return is_locked(run.file("lock"))
    except OSError:
        return False


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _text(entry: Mapping[str, object] | None, key: str) -> str:
    value = None if entry is None else entry.get(key)
    return value if isinstance(value, str) else ""
