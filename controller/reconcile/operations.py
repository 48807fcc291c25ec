"""Operations on repositories: clone, fetch, verify, prepare, workspace, publish, each an attempt of an executor.

So each is launched once, reattached after a crash, stopped at its deadline, and has output and exit code. Every
operation is idempotent by design: one that is proved to be gone without a result (a reboot) is begun again under the
same name.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from controller.api.keys import Key
from controller.decisions.inputs import Step, StepState
from controller.decisions.observed import Evidence, Observation
from controller.decisions.orphan import is_over
from controller.errors import Transient
from controller.executors.base import AttemptId, Executor, LaunchSpec, Limits
from controller.files.quarantine import set_aside
from controller.files.versions import NewerVersion
from controller.reconcile.index import AttemptIndex
from controller.reconcile.workqueue import HIGH, LOW, WorkQueue
from controller.repositories.cleanup import remove_result
from controller.repositories.places import Places
from controller.repositories.requests import Request, outcome
from controller.repositories.results import Result

OWNER_KIND, OWNER_NAMESPACE, OWNER_NAME, OWNER_UID = "ownerKind", "namespace", "name", "ownerUid"
_NAMES = uuid.UUID("6f1f6a52-9a5e-4d0e-8f43-7d1f2f0f2a11")  # of operations, for uuid5 (RFC 9562)


class Purpose(StrEnum):
    """What an operation is for; part of its name."""

    MIRROR = "mirror"
    PREPARE = "prepare"
    WORKSPACE = "workspace"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that an operation belongs to."""

    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at an operation found.

    Args:
        result: what it said; None while it runs, and where it was killed before it could say anything.
    """

    observation: Observation
    result: Result | None = None

    def step(self) -> Step:
        """The same in the words of a decision about a job."""
        seen, exit_ = self.observation, self.observation.exit
        match seen.evidence:
            case Evidence.ABSENT | Evidence.GONE:
                return Step(StepState.ABSENT)
            case Evidence.LAUNCHING if not seen.supervised:  # cut off in the middle: doing it again does it once
                return Step(StepState.ABSENT)
            case Evidence.ALIVE | Evidence.LAUNCHING:
                return Step(StepState.WORKING)
            case Evidence.UNKNOWN:
                return Step(StepState.UNKNOWN, message=seen.message)
            case Evidence.NEVER_STARTED if exit_ is None or not exit_.reason:
                return Step(StepState.ABSENT)
        if self.result is not None:
            state = StepState.DONE if self.result.succeeded else StepState.FAILED
            final = not self.result.reason.repeating_can_help
            return Step(state, self.result.reason.value, self.result.message, final, self.result.commit)
        reason = exit_.reason if exit_ is not None and exit_.reason else "OperationKilled"
        message = exit_.message if exit_ is not None and exit_.message else "it ended without saying why"
        return Step(StepState.FAILED, reason, message)


class Operations:
    """See the module.

    Args:
        executor: of operations only, with run directories of its own.
        queue: the owner's key is added when its operation may have ended.
        damaged: told of a result that was set aside: its path, and why.
    """

    def __init__(
        self, executor: Executor, places: Places, queue: WorkQueue, damaged: Callable[[str, str], None]
    ) -> None:
        self.executor = executor
        self.places = places
        self._queue = queue
        self._damaged = damaged
        self._owners: dict[AttemptId, Key] = {}
        self._index = AttemptIndex()
        executor.subscribe(self._wake)

    @staticmethod
    def name(purpose: Purpose, owner_uid: str, number: int) -> AttemptId:
        """The name of an operation for ever: it follows from what was recorded."""
        return AttemptId(str(uuid.uuid5(_NAMES, f"{purpose}:{owner_uid}")), number)

    async def load(self) -> None:
        """After a start: find what runs. Raises Transient where the directory cannot be read."""
        self._index.load(await self.executor.list_attempts())

    def known(self, purpose: Purpose, owner_uid: str) -> tuple[int, ...] | None:
        """Numbers of the owner's operations that have a run directory; None: they could not be read."""
        return self._index.known(self.name(purpose, owner_uid, 0).job_uid)

    def all(self) -> list[AttemptId]:
        """All operations with a run directory."""
        return self._index.attempts()

    async def look(self, operation: AttemptId, owner: Key) -> Look:
        """Look at one operation, and see to it that it is supervised; `owner` is woken by its end.

        Raises:
            Transient: its result cannot be read, or no supervisor be started.
        """
        seen = await self.executor.observe(operation)
        if is_over(seen):
            self._owners.pop(operation, None)
        else:
            self._owners[operation] = owner
        if seen.evidence is Evidence.ALIVE and not seen.supervised:
            await self.executor.ensure_supervised(operation)
        if seen.processes_left:
            await self.executor.stop(operation, "Sweep", 0.0)
        if seen.evidence is not Evidence.ENDED:
            return Look(seen)
        code = seen.exit.code if seen.exit is not None else None
        try:
            return Look(seen, await asyncio.to_thread(outcome, self.places, str(operation), code))
        except NewerVersion as error:
            raise Transient("NewerVersion", f"{self.places.result(str(operation))} {error}") from error
        except ValueError as error:
            path = self.places.result(str(operation))
            await asyncio.to_thread(set_aside, self.places.home, path, str(error))
            self._damaged(str(path), str(error))
            return Look(seen)
        except OSError as error:
            raise Transient("ResultUnreadable", f"{error.filename or operation}: {error.strerror}") from error

    def look_again(self) -> None:
        """Wake the owners of all that runs: not every end wakes them.

        The supervisor of an operation that a killed controller was about to start may sign right after `reattach`.
        """
        for owner in set(self._owners.values()):
            self._queue.add(owner, LOW)

    async def begin(self, operation: AttemptId, owner: Owner, request: Request) -> None:
        """Start an operation unless it runs or has ended; one that is gone without an end is started again.

        Raises:
            Waiting, Transient: as the executor says.
            Terminal: it can never start.
        """
        look = await self.look(operation, owner.key)
        if look.step().state is not StepState.ABSENT:
            return
        if look.observation.evidence not in (Evidence.ABSENT, Evidence.LAUNCHING):
            await self.forget(operation)
        self._owners[operation] = owner.key
        self._index.add(operation)
        key = owner.key
        whose = {OWNER_KIND: key.kind, OWNER_NAMESPACE: key.namespace, OWNER_NAME: key.name, OWNER_UID: owner.uid}
        await self.executor.launch(
            LaunchSpec(
                attempt=operation,
                namespace=key.namespace,
                job=key.name,
                argv=request.argv,
                secret_env=request.secret_env,
                limits=Limits(
                    output_bytes=request.output_bytes,
                    deadline_seconds=request.deadline_seconds,
                    grace_seconds=request.grace_seconds,
                ),
                annotations={**request.annotations, **whose},
            )
        )

    async def forget(self, operation: AttemptId) -> None:
        """Remove what is left of an operation that is over: it may be begun again.

        Raises:
            Waiting: something of it is alive.
            Transient: a file could not be removed.
        """
        await self.executor.release(operation, keep_record=False)
        try:
            await asyncio.to_thread(remove_result, self.places, str(operation))
        except OSError as error:
            raise Transient("ResultNotRemoved", f"{error.filename or operation}: {error.strerror}") from error
        self._index.remove(operation)
        self._owners.pop(operation, None)

    def lost(self, operation: AttemptId) -> None:
        """Its run directory is gone: it may be begun again."""
        self._index.remove(operation)
        if (owner := self._owners.pop(operation, None)) is not None:
            self._queue.add(owner, LOW)

    async def stop(self, operation: AttemptId) -> None:
        """Stop an operation that nobody needs any more; nothing to do where it is over."""
        seen = await self.executor.observe(operation)
        if seen.evidence is Evidence.ALIVE:
            await self.executor.stop(operation, "NotNeeded", 5.0)
        elif seen.evidence is Evidence.LAUNCHING:
            await self.executor.void(operation, "nobody needs it any more")

    def _wake(self, operation: AttemptId) -> None:
        if (owner := self._owners.get(operation)) is not None:
            self._queue.add(owner, HIGH)
