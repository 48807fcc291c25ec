"""The small files of a run directory as values: attempt.json, process.json, stop.json, exit.json.

Every parser either returns a whole value or raises RecordError: a damaged file never becomes a wrong answer.
Readers ignore fields they do not know; an older `version` is migrated, a newer one refused (`files/versions.py`).
Only the standard library may be imported here.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from controller.executors.process.identity import Identity, IdentityError
from controller.files.versions import NewerVersion, current, known

EXIT_BYTES = 256
STOP_BYTES = 512


class RecordError(ValueError):
    """A file of a run directory is not what it should be: `name` says which, the text says how."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name


class NewerRecordError(RecordError):
    """A newer version of Holdfast wrote the file: what it and the files beside it mean is not guessed at."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """attempt.json: what to run. Written once, before the launch; holds no secret value.

    Args:
        id: `<job uid>.<number>`.
        state_id: of the state directory that launched it.
        machine, boot: where and when the directory was built.
        container: `identity.container` of who built it.
        argv, env, cwd: as execve wants them; `cwd` is absolute.
        secret_names: environment variables whose values come over the supervisor's stdin.
        deadline_seconds, grace_seconds, memory_bytes, cpu, open_files, output_bytes: the limits; None means none.
        annotations: the controller's own, opaque here.
    """

    id: str
    state_id: str
    machine: str
    boot: str
    namespace: str
    job: str
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    secret_names: tuple[str, ...] = ()
    deadline_seconds: float | None = None
    grace_seconds: float = 30.0
    memory_bytes: int | None = None
    cpu: float | None = None
    open_files: int | None = None
    output_bytes: int = 1024**3
    created_at: float = 0.0
    annotations: dict[str, str] = field(default_factory=dict)
    container: str = ""

    def to_bytes(self) -> bytes:
        """The file's content."""
        value = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"version": known("attempt.json"), **value}, indent=1).encode("ascii") + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Attempt:
        """Parse; raises RecordError."""
        read = _Reader("attempt.json", data)
        return cls(
            id=read.string("id"),
            state_id=read.string("state_id"),
            machine=read.string("machine"),
            boot=read.string("boot"),
            namespace=read.string("namespace"),
            job=read.string("job"),
            argv=read.strings("argv"),
            env=read.mapping("env"),
            cwd=read.string("cwd"),
            secret_names=read.strings("secret_names"),
            deadline_seconds=read.optional_number("deadline_seconds"),
            grace_seconds=read.number("grace_seconds"),
            memory_bytes=read.optional_integer("memory_bytes"),
            cpu=read.optional_number("cpu"),
            open_files=read.optional_integer("open_files"),
            output_bytes=read.integer("output_bytes"),
            created_at=read.number("created_at"),
            annotations=read.mapping("annotations"),
            container=read.optional_string("container"),
        )


@dataclass(frozen=True, slots=True)
class Process:
    """process.json: the recorder, durable before the command may run.

    Args:
        recorder: its identity.
        started_at: wall clock, seconds since the epoch.
        started_boottime: CLOCK_BOOTTIME in seconds: the deadline counts from here.
        cgroup: directory of the attempt's cgroup, "" where none could be made.
    """

    recorder: Identity
    started_at: float
    started_boottime: float
    cgroup: str = ""

    def to_bytes(self) -> bytes:
        """The file's content."""
        value = {
            "version": known("process.json"),
            "recorder": self.recorder.to_json(),
            "startedAt": self.started_at,
            "startedBoottime": self.started_boottime,
            "cgroup": self.cgroup,
        }
        return json.dumps(value).encode("ascii") + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Process:
        """Parse; raises RecordError."""
        read = _Reader("process.json", data)
        return cls(
            recorder=read.identity("recorder"),
            started_at=read.number("startedAt"),
            started_boottime=read.number("startedBoottime"),
            cgroup=read.string("cgroup"),
        )


@dataclass(frozen=True, slots=True)
class Stop:
    """stop.json: the request to stop, made by the controller or by the supervisor itself; the first reason stays.

    Args:
        reason: CamelCase word that becomes the reason of the end.
        grace_seconds: between TERM and KILL.
        message: a sentence for a person.
    """

    reason: str
    grace_seconds: float
    message: str = ""

    def to_bytes(self) -> bytes:
        """STOP_BYTES of content, so that a file made before a disk filled up can be overwritten in place."""
        return _padded(
            {"version": known("stop.json"), "reason": self.reason[:64], "graceSeconds": self.grace_seconds},
            self.message,
            STOP_BYTES,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Stop:
        """Parse; raises RecordError."""
        read = _Reader("stop.json", data)
        return cls(read.string("reason"), read.number("graceSeconds"), read.optional_string("message"))


@dataclass(frozen=True, slots=True)
class Exit:
    """exit.json: EXIT_BYTES written in place and renamed, by the recorder or by who proves the end.

    Args:
        never_started: the command was and will never be executed.
        code: 0-255, or None where it never started or a signal ended it.
        signal: number, only where the supervisor reaped the command itself.
        reason, message: why it could not start.
    """

    never_started: bool = False
    code: int | None = None
    signal: int | None = None
    reason: str = ""
    message: str = ""

    def to_bytes(self) -> bytes:
        """EXIT_BYTES of content; a message that is too long is cut."""
        value: dict[str, Any] = {"version": known("exit.json")}
        if self.never_started:
            value["neverStarted"] = True
        for key, item in (("code", self.code), ("signal", self.signal), ("reason", self.reason or None)):
            if item is not None:
                value[key] = item
        return _padded(value, self.message, EXIT_BYTES)

    @classmethod
    def from_bytes(cls, data: bytes) -> Exit:
        """Parse; raises RecordError."""
        read = _Reader("exit.json", data)
        record = cls(
            never_started=read.value.get("neverStarted") is True,
            code=read.optional_integer("code"),
            signal=read.optional_integer("signal"),
            reason=read.optional_string("reason"),
            message=read.optional_string("message"),
        )
        if not record.never_started and record.code is None and record.signal is None:
            raise RecordError("exit.json", "has neither code nor signal nor neverStarted")
        if record.code is not None and not 0 <= record.code <= 255:
            raise RecordError("exit.json", f"code {record.code} is not within 0-255")
        return record


def parse_lock(data: bytes) -> Identity:
    """Content of `lock`: the identity of the supervisor that took it last; raises RecordError."""
    return _Reader("lock", data).identity("supervisor")


def format_lock(supervisor: Identity) -> bytes:
    """What a supervisor writes into `lock`."""
    return json.dumps({"version": known("lock"), "supervisor": supervisor.to_json()}).encode("ascii") + b"\n"


def now_boottime() -> float:
    """Seconds since boot, suspended time included: what deadlines are counted by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _padded(value: dict[str, Any], message: str, size: int) -> bytes:
    while True:
        data = json.dumps({**value, "message": message} if message else value).encode("ascii")
        if len(data) < size:
            return data.ljust(size - 1) + b"\n"
        if not message:
            raise ValueError(f"a record of {len(data)} bytes does not fit {size}")
        message = message[: max(0, len(message) - max(1, (len(data) - size) // 6))]


@dataclass(slots=True)
class _Reader:
    """Takes fields out of one file's JSON object and says what is wrong with it."""

    name: str
    data: bytes
    value: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        try:
            value = json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise RecordError(self.name, f"is not JSON ({error})") from error
        try:
            self.value = current(self.name, value)
        except NewerVersion as error:
            raise NewerRecordError(self.name, str(error)) from error
        except ValueError as error:
            raise RecordError(self.name, str(error)) from error

    def string(self, key: str) -> str:
        value = self.value.get(key)
        if not isinstance(value, str):
            raise RecordError(self.name, f"{key} is not a string")
        return value

    def optional_string(self, key: str) -> str:
        return self.string(key) if key in self.value else ""

    def number(self, key: str) -> float:
        value = self.value.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
            raise RecordError(self.name, f"{key} is not a number of 0 or more")
        return float(value)

    def optional_number(self, key: str) -> float | None:
        return None if self.value.get(key) is None else self.number(key)

    def integer(self, key: str) -> int:
        value = self.value.get(key)
        if type(value) is not int or value < 0:
            raise RecordError(self.name, f"{key} is not an integer of 0 or more")
        return value

    def optional_integer(self, key: str) -> int | None:
        return None if self.value.get(key) is None else self.integer(key)

    def strings(self, key: str) -> tuple[str, ...]:
        value = self.value.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise RecordError(self.name, f"{key} is not a list of strings")
        return tuple(value)

    def mapping(self, key: str) -> dict[str, str]:
        value = self.value.get(key)
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise RecordError(self.name, f"{key} is not an object of strings")
        return dict(value)

    def identity(self, key: str) -> Identity:
        try:
            return Identity.from_json(self.value.get(key))
        except IdentityError as error:
            raise RecordError(self.name, f"{key}: {error}") from error
