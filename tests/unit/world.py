"""A model of the world that decisions are about: objects with versions, run directories, processes, time.

It knows nothing of the controller. It counts what really happens (`starts`, `built`), so that a test can compare what
the controller believes with what is.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from controller.decisions.observed import Evidence, ExitRecord, Observation
from controller.executors.base import AttemptId
from tests.unit.builders import START


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time only moves when it is told to: timers of hours cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def time(self) -> float:
        return self.seconds


@dataclass(slots=True)
class Run:
    """A run directory and the processes of its attempt."""

    state: str = "built"  # built, running, ended, never, gone
    supervised: bool = True
    annotations: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = None
    exit: ExitRecord | None = None
    stop: str = ""  # stop.json
    journalled: bool = False
    left: int = 0
    unreadable: bool = False

    @property
    def over(self) -> bool:
        return self.state in ("ended", "never", "gone") and not self.left


class World:
    """See the module."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}  # (kind, name) -> what the API server holds
        self.version = 100
        self.created: dict[str, int] = {}  # uid -> resourceVersion of its creation
        self.events: list[tuple[str, str, dict[str, Any]]] = []  # (type, kind, object), not told yet
        self.runs: dict[AttemptId, Run] = {}
        self.built: set[AttemptId] = set()  # run directories that ever were
        self.starts: Counter[AttemptId] = Counter()  # how often a command was let go
        self.released: set[AttemptId] = set()
        self.lost_answers = 0  # so many of the next status writes are done, and nobody is told
        self.queues_of: dict[str, str] = {}  # uid -> queue, also of what was deleted
        self.monotonic = 0.0
        self.clock_shift = 0.0

    @property
    def now(self) -> datetime:
        """The wall clock, which may jump."""
        return START + timedelta(seconds=self.monotonic + self.clock_shift)

    # --- the API server

    def create(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        meta = {
            "name": name,
            "namespace": "default",
            "uid": f"{name}-{self.version}",
            "resourceVersion": str(self.version),
            "generation": 1,
            "creationTimestamp": START.isoformat(),
            "managedFields": [{"manager": "kubectl", "time": START.isoformat()}],
        }
        self.created[meta["uid"]] = self.version
        self.objects[kind, name] = {"metadata": meta, "spec": spec, "status": {}}
        self._told("ADDED", kind, name)
        return self.objects[kind, name]

    def edit(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        """A user's change."""
        found = self.objects[kind, name]
        found["spec"] |= spec
        found["metadata"]["generation"] += 1
        self._touched(kind, name)

    def wipe_status(self, name: str) -> None:
        self.objects["BatchJob", name]["status"] = {}
        self.objects["BatchJob", name]["metadata"]["managedFields"].append({"manager": "kubectl", "time": "z"})
        self._touched("BatchJob", name)

    def delete(self, kind: str, name: str) -> None:
        self.version += 1
        self.objects[kind, name]["metadata"]["resourceVersion"] = str(self.version)
        self._told("DELETED", kind, name)
        del self.objects[kind, name]

    def patch_status(self, kind: str, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        """A JSON merge patch; answers with the new object."""
        found = self.objects[kind, name]
        found["status"] = merged(found["status"], patch)
        self._touched(kind, name)
        return copy.deepcopy(found)

    def _touched(self, kind: str, name: str) -> None:
        self.version += 1
        self.objects[kind, name]["metadata"]["resourceVersion"] = str(self.version)
        self._told("MODIFIED", kind, name)

    def _told(self, type_: str, kind: str, name: str) -> None:
        found = self.objects[kind, name]
        if kind == "BatchJob":
            self.queues_of[found["metadata"]["uid"]] = found["spec"]["queue"]
        self.events.append((type_, kind, copy.deepcopy(found)))

    # --- the executor's effects: doing one twice does it once

    def observe(self, attempt: AttemptId) -> Observation:
        run = self.runs.get(attempt)
        if run is None:
            return Observation(Evidence.ABSENT)
        if run.unreadable:
            return Observation(Evidence.UNKNOWN, message="attempt.json: Input/output error")
        evidence = {
            "built": Evidence.LAUNCHING,
            "running": Evidence.ALIVE,
            "ended": Evidence.ENDED,
            "never": Evidence.NEVER_STARTED,
            "gone": Evidence.GONE,
        }[run.state]
        return Observation(
            evidence,
            exit=run.exit,
            started_at=run.started_at,
            processes_left=run.left if run.state in ("ended", "never", "gone") else 0,
            stop_requested=run.journalled,
            supervised=run.supervised,
        )

    def launch(self, attempt: AttemptId, annotations: Mapping[str, str]) -> None:
        run = self.runs.get(attempt)
        if run is None:
            assert attempt not in self.built, f"the run directory {attempt} is made a second time"
            self.built.add(attempt)
            self.runs[attempt] = Run(annotations=annotations)
        elif run.state == "built":
            run.supervised = True

    def stop(self, attempt: AttemptId, reason: str) -> None:
        run = self.runs.get(attempt)
        if run is None:
            return
        if run.state in ("ended", "never", "gone"):
            run.left = 0
            return
        run.stop = run.stop or reason
        run.supervised = True

    def supervise(self, attempt: AttemptId) -> None:
        if (run := self.runs.get(attempt)) is not None:
            run.supervised = True

    def void(self, attempt: AttemptId) -> None:
        run = self.runs.get(attempt)
        if run is None:
            self.built.add(attempt)
            self.runs[attempt] = run = Run()
        if run.state == "built" and not run.unreadable:
            run.state, run.supervised = "never", False
            run.exit = ExitRecord(None, None, "", "voided", self.now)

    def release(self, attempt: AttemptId, *, keep_record: bool) -> None:
        run = self.runs.get(attempt)
        assert run is None or run.over, f"{attempt} is removed while it is {run}"
        self.released.add(attempt)
        if not keep_record:
            self.runs.pop(attempt, None)

    # --- what happens by itself

    def begin(self, attempt: AttemptId) -> None:
        """The supervisor lets the command go, unless it finds a stop."""
        run = self.runs[attempt]
        if run.stop:
            run.state, run.supervised = "never", False
            run.exit = ExitRecord(None, None, run.stop, "", self.now)
            return
        self.starts[attempt] += 1
        assert self.starts[attempt] == 1, f"the command of {attempt} is started twice"
        run.state, run.started_at = "running", self.now

    def end(self, attempt: AttemptId, code: int, *, left: int = 0) -> None:
        """The command ends: by itself, or as a stop wants it."""
        run = self.runs[attempt]
        run.state, run.supervised, run.left = "ended", False, left
        run.exit = ExitRecord(code, None, run.stop, "", self.now)

    def journal(self, attempt: AttemptId) -> None:
        """The supervisor found the request to stop."""
        self.runs[attempt].journalled = True

    def reboot(self) -> None:
        """Every process is gone."""
        for run in self.runs.values():
            run.supervised, run.left = False, 0
            run.state = "gone" if run.state == "running" else run.state

    def live(self) -> list[AttemptId]:
        """What runs, or may still begin to."""
        return [attempt for attempt, run in self.runs.items() if not run.over]


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
