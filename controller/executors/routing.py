"""One executor out of several: each attempt goes to the one that it was recorded for.

What is recorded decides, never what is enabled now: an attempt of an executor that is not enabled any more is UNKNOWN,
so nobody takes it for lost. Attempts without a record are those of the executor that has a trace of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.decisions.observed import Evidence, Observation
from controller.errors import Several, Waiting
from controller.executors.base import AttemptId, Executor, LaunchSpec, Usage


class RoutingExecutor:
    """Implements `controller.executors.base.Executor` over the enabled ones.

    Args:
        executors: by name, the default one first.
        recorded: the executor that an attempt's BatchJob names, None where nothing is known of the job.
    """

    def __init__(self, executors: Mapping[str, Executor], recorded: Callable[[AttemptId], str | None]) -> None:
        self._executors = dict(executors)
        self._recorded = recorded
        self._traces: dict[AttemptId, str] = {}

    def name_of(self, attempt: AttemptId) -> str:
        """The name of the executor that an attempt belongs to; it may be one that is not enabled."""
        return self._recorded(attempt) or self._traces.get(attempt) or next(iter(self._executors))

    async def observe(self, attempt: AttemptId) -> Observation:
        """Look at one attempt; that of an executor that is not enabled is UNKNOWN."""
        name = self.name_of(attempt)
        executor = self._executors.get(name)
        if executor is None:
            return Observation(Evidence.UNKNOWN, message=_disabled(attempt, name), executor=name)
        return replace(await executor.observe(attempt), executor=name)

    async def annotations(self, attempt: AttemptId) -> Mapping[str, str] | None:
        """What the attempt's LaunchSpec carried."""
        executor = self._executors.get(self.name_of(attempt))
        return None if executor is None else await executor.annotations(attempt)

    async def launch(self, spec: LaunchSpec) -> None:
        """As the executor of the attempt; raises Waiting where that one is not enabled."""
        self._traces.setdefault(spec.attempt, self.name_of(spec.attempt))
        await self._of(spec.attempt).launch(spec)

    async def stop(self, attempt: AttemptId, reason: str, grace_seconds: float) -> None:
        """As the executor of the attempt; raises Waiting where that one is not enabled."""
        await self._of(attempt).stop(attempt, reason, grace_seconds)

    async def void(self, attempt: AttemptId, message: str) -> bool:
        """As the executor of the attempt; raises Waiting where that one is not enabled."""
        self._traces.setdefault(attempt, self.name_of(attempt))
        return await self._of(attempt).void(attempt, message)

    async def fence(self, attempt: AttemptId, message: str) -> None:
        """As the executor of the attempt; raises Waiting where that one is not enabled."""
        await self._of(attempt).fence(attempt, message)

    async def ensure_supervised(self, attempt: AttemptId) -> bool:
        """As the executor of the attempt; raises Waiting where that one is not enabled."""
        return await self._of(attempt).ensure_supervised(attempt)

    async def release(self, attempt: AttemptId, keep_record: bool) -> None:
        """As the executor of the attempt; raises Waiting where that one is not enabled."""
        await self._of(attempt).release(attempt, keep_record)
        if not keep_record:
            self._traces.pop(attempt, None)

    def subscribe(self, wake: Callable[[AttemptId], None]) -> None:
        """Be woken by all of them."""
        for executor in self._executors.values():
            executor.subscribe(wake)

    async def list_attempts(self) -> list[AttemptId]:
        """All attempts of all of them; raises Transient where one cannot tell."""
        found: list[AttemptId] = []
        for name, executor in self._executors.items():
            attempts = await executor.list_attempts()
            self._traces.update(dict.fromkeys(attempts, name))
            found += attempts
        return found

    async def unreleased(self) -> list[AttemptId]:
        """Attempts of all of them that nobody finished to release; raises Transient."""
        return [attempt for executor in self._executors.values() for attempt in await executor.unreleased()]

    async def foreign_entries(self) -> list[str]:
        """What lies beside the attempts of all of them; raises Transient."""
        return [name for executor in self._executors.values() for name in await executor.foreign_entries()]

    async def quarantine(self, name: str, asked: str = "") -> str | None:
        """As the executor that the attempt belongs to; a foreign entry is set aside by the one that has it."""
        if (attempt := _attempt(name)) is not None:
            return await self._of(attempt).quarantine(name, asked)
        for executor in self._executors.values():
            if (reason := await executor.quarantine(name, asked)) is not None:
                return reason
        return None

    async def usage(self, attempt: AttemptId) -> Usage:
        """As the executor of the attempt; nothing where that one is not enabled."""
        executor = self._executors.get(self.name_of(attempt))
        return Usage() if executor is None else await executor.usage(attempt)

    async def disk_bytes(self, attempt: AttemptId) -> int:
        """As the executor of the attempt; nothing where that one is not enabled."""
        executor = self._executors.get(self.name_of(attempt))
        return 0 if executor is None else await executor.disk_bytes(attempt)

    def place(self, name: str) -> str:
        """As the executor that the attempt belongs to; foreign entries are told as the default one would."""
        attempt = _attempt(name)
        executor = self._executors.get(self.name_of(attempt)) if attempt is not None else None
        return (executor or next(iter(self._executors.values()))).place(name)

    async def clean_leftovers(self, older_than_seconds: float = 600) -> list[str]:
        """What a crash left in all of them; raises Transient."""
        found: list[str] = []
        several = Several()
        for executor in self._executors.values():
            with several.kept():
                found += await executor.clean_leftovers(older_than_seconds)
        several.raise_all()
        return found

    def _of(self, attempt: AttemptId) -> Executor:
        name = self.name_of(attempt)
        executor = self._executors.get(name)
        if executor is None:
            raise Waiting("ExecutorNotEnabled", _disabled(attempt, name))
        return executor


def _attempt(name: str) -> AttemptId | None:
    try:
        return AttemptId.parse(name)
    except ValueError:
        return None


def _disabled(attempt: AttemptId, name: str) -> str:
    return f"attempt {attempt} belongs to the executor {name}, which is not enabled here; set HOLDFAST_EXECUTORS"
