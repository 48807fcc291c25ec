"""The newest operation of one object: read for a decision (`decisions/operation.py`), and acted on after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from controller.api.keys import Key
from controller.decisions.inputs import StepState
from controller.decisions.operation import Result as Said
from controller.decisions.operation import Run
from controller.decisions.plan import Action, Launch, Release, Stop, Supervise, Void
from controller.errors import HoldfastError
from controller.executors.base import AttemptId
from controller.reconcile.operations import Look, Operations, Owner, Purpose
from controller.reconcile.parts import Parts
from controller.repositories.requests import Request


@dataclass(slots=True)
class _Memory:
    """Makes limits monotonic and messages better; losing it loses nothing. Each belongs to one number."""

    error: tuple[int, HoldfastError] | None = None
    starting: tuple[int, float] | None = None
    heard: tuple[int, float] | None = None


class OperationRuns:
    """For all objects of one kind, whose operations have one purpose."""

    def __init__(self, parts: Parts, operations: Operations, purpose: Purpose) -> None:
        self._parts = parts
        self._operations = operations
        self._purpose = purpose
        self._memory: dict[str, _Memory] = {}

    async def read(self, key: Key, uid: str, recorded: int, *, active: bool) -> Run:
        """All that is to be known of the newest operation.

        Args:
            recorded: its number in the status, 0 where there is none.
            active: the status does not say that it is over.

        Raises:
            Transient: its result cannot be read, or no supervisor be started.
        """
        known = self._operations.known(self._purpose, uid)
        number = recorded or max(known or (0,), default=0)
        if number == 0 or (recorded and not active):
            return Run(known=known)
        operation = self.name(uid, number)
        look = await self._operations.look(operation, key)
        memory, now, state = self._memory.setdefault(uid, _Memory()), self._parts.monotonic(), look.step().state
        if memory.heard is None or memory.heard[0] != number or state is not StepState.UNKNOWN:
            memory.heard = (number, now)
        if memory.starting is None or memory.starting[0] != number or state is not StepState.ABSENT:
            memory.starting = (number, now)
        failed, error = memory.error or (0, None)
        return Run(
            found=look.observation,
            result=_said(look),
            known=known,
            annotations=await self._operations.executor.annotations(operation) or {},
            starting_for=now - memory.starting[1],
            unknown_for=now - memory.heard[1],
            error=error if failed == number else None,
        )

    async def act(
        self, owner: Owner, actions: tuple[Action, ...], request: Callable[[AttemptId], Awaitable[Request]]
    ) -> None:
        """Do what was decided about operations of `owner`; `request` makes what a Launch asks the executor for.

        Raises:
            HoldfastError: what the executor says; the next decision is told.
        """
        memory = self._memory.setdefault(owner.uid, _Memory())
        for action in actions:
            try:
                await self._do(owner, action, request)
            except HoldfastError as error:
                memory.error = (getattr(action, "number", 0), error)
                raise
            memory.error = None

    def name(self, uid: str, number: int) -> AttemptId:
        """The name of operation `number` of the object with `uid`."""
        return Operations.name(self._purpose, uid, number)

    async def _do(self, owner: Owner, action: Action, request: Callable[[AttemptId], Awaitable[Request]]) -> None:
        executor = self._operations.executor
        match action:
            case Launch(number):
                operation = self.name(owner.uid, number)
                await self._operations.begin(operation, owner, await request(operation))
            case Stop(number, reason, grace):
                await executor.stop(self.name(owner.uid, number), reason, grace)
            case Void(number, message):
                await executor.void(self.name(owner.uid, number), message)
            case Supervise(number):
                await executor.ensure_supervised(self.name(owner.uid, number))
            case Release(number, True):
                await executor.release(self.name(owner.uid, number), keep_record=True)
            case Release(number, False):
                await self._operations.forget(self.name(owner.uid, number))
            case _:
                raise TypeError(f"{action} is not about an operation")


def _said(look: Look) -> Said | None:
    found = look.result
    if found is None:
        return None
    measured = found.succeeded and found.size_bytes > 0
    return Said(
        found.reason.value,
        found.message,
        found.size_bytes if measured else None,
        found.diverged if measured else None,
    )
