"""The modelled world as the controller sees it: an API server and an executor. A controller is killed at their doors.

Every write to the API server and every effect of the executor crosses the boundary twice: on its way, and with its
answer. Reads do not: a controller that dies between two reads has done nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from controller.decisions.observed import Observation
from controller.executors.base import AttemptId, LaunchSpec, Usage
from controller.kube.client import Listing
from controller.kube.errors import Conflict, NotFound, Unreachable
from tests.unit.world import World


class Killed(BaseException):
    """The controller process is gone. Nothing that handles errors may handle this."""


class Boundary:
    """Kills whoever crosses it the n-th time."""

    def __init__(self) -> None:
        self._left: int | None = None

    def arm(self, crossings: int | None) -> None:
        """Let `crossings` pass, then kill; None: kill nobody."""
        self._left = crossings

    def cross(self) -> None:
        if self._left == 0:
            self._left = None
            raise Killed
        self._left = self._left - 1 if self._left is not None else None

    @property
    def armed(self) -> bool:
        """Whether nobody was killed yet who was to be."""
        return self._left is not None


class WorldApi:
    """What the reconcilers use of `controller.kube.client.Api`."""

    def __init__(self, world: World, boundary: Boundary) -> None:
        self._world = world
        self._boundary = boundary

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        return copy.deepcopy(self._found(kind, name))

    async def get_uncached_gone(self, kind: str, namespace: str, name: str, uid: str) -> bool:
        found = self._world.objects.get((kind, name))
        return found is None or found["metadata"]["uid"] != uid

    async def list(
        self, kind: str, namespace: str = "", field_selector: str = "", resource_version: int | None = None, **_: Any
    ) -> Listing:
        """Of old versions it knows what existed, as etcd does, also what was deleted since."""
        at = self._world.version if resource_version is None else resource_version
        if field_selector:
            name = field_selector.removeprefix("metadata.name=")
            named = [uid for uid, version in self._world.created.items() if uid == f"{name}-{version}"]
            return Listing([{"metadata": {"uid": uid}} for uid in named if self._world.created[uid] <= at], at)
        items = [copy.deepcopy(found) for (its, _), found in self._world.objects.items() if its == kind]
        return Listing(items, at)

    async def patch_status(
        self, kind: str, namespace: str, name: str, uid: str, version: str, patch: dict[str, Any]
    ) -> dict[str, Any]:
        self._boundary.cross()
        found = self._found(kind, name)
        if found["metadata"]["uid"] != uid or found["metadata"]["resourceVersion"] != version:
            raise Conflict("Conflict", name)
        answer = self._world.patch_status(kind, name, patch)
        self._boundary.cross()
        if self._world.lost_answers:
            self._world.lost_answers -= 1
            raise Unreachable("Unreachable", "no answer")
        return answer

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        self._boundary.cross()
        if self._found(kind, name)["metadata"]["uid"] != uid:
            raise Conflict("Conflict", name)
        self._world.delete(kind, name)
        self._boundary.cross()

    def _found(self, kind: str, name: str) -> dict[str, Any]:
        found = self._world.objects.get((kind, name))
        if found is None:
            raise NotFound("NotFound", name)
        return found


class WorldExecutor:
    """`controller.executors.base.Executor` on the run directories of the world."""

    def __init__(self, world: World, boundary: Boundary) -> None:
        self._world = world
        self._boundary = boundary

    async def observe(self, attempt: AttemptId) -> Observation:
        return self._world.observe(attempt)

    async def annotations(self, attempt: AttemptId) -> Mapping[str, str] | None:
        run = self._world.runs.get(attempt)
        return None if run is None or run.unreadable else run.annotations

    async def launch(self, spec: LaunchSpec) -> None:
        self._effect(lambda: self._world.launch(spec.attempt, spec.annotations))

    async def stop(self, attempt: AttemptId, reason: str, grace_seconds: float) -> None:
        self._effect(lambda: self._world.stop(attempt, reason))

    async def void(self, attempt: AttemptId, message: str) -> bool:
        self._effect(lambda: self._world.void(attempt))
        return self._world.runs[attempt].state == "never"

    async def fence(self, attempt: AttemptId, message: str) -> None:
        """The mirror does it."""

    async def ensure_supervised(self, attempt: AttemptId) -> bool:
        self._effect(lambda: self._world.supervise(attempt))
        return True

    async def release(self, attempt: AttemptId, keep_record: bool) -> None:
        self._effect(lambda: self._world.release(attempt, keep_record=keep_record))

    def subscribe(self, wake: Callable[[AttemptId], None]) -> None:
        """Whoever ends an attempt in the world says so itself."""

    async def list_attempts(self) -> list[AttemptId]:
        return list(self._world.runs)

    async def unreleased(self) -> list[AttemptId]:
        return []

    async def foreign_entries(self) -> list[str]:
        return []

    async def quarantine(self, name: str, asked: str = "") -> str | None:
        return None  # what cannot be read here is not damaged

    async def usage(self, attempt: AttemptId) -> Usage:
        return Usage()

    async def disk_bytes(self, attempt: AttemptId) -> int:
        return 0

    def place(self, name: str) -> str:
        return name

    async def clean_leftovers(self, older_than_seconds: float = 600) -> list[str]:
        return []

    def _effect(self, what: Callable[[], None]) -> None:
        self._boundary.cross()
        what()
        self._boundary.cross()
