"""What the Pod executor needs of the API server; `controller.kube.workloads` is it.

Objects are raw JSON and are parsed at once (`views`). `value` is the value of the label that names an attempt.
Everything that waits raises the errors of `controller.errors` by reaction.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

Object = dict[str, Any]


class Cluster(Protocol):
    """See the module."""

    def subscribe(self, tell: Callable[[str], None]) -> None:
        """`tell` is called with the value of what changed, in the event loop."""

    def groups(self) -> set[str]:
        """The values that Jobs or Pods have, as last told."""

    def known(self, value: str) -> tuple[list[Object], list[Object]]:
        """Jobs and Pods of a value, as last told."""

    def last_pod(self, value: str) -> Object | None:
        """The last state of a Pod that was deleted not long ago."""

    async def look(self, namespace: str | None, value: str) -> tuple[list[Object], list[Object]]:
        """Jobs and Pods of a value, as they are now."""

    async def job(self, namespace: str, name: str) -> Object | None:
        """One Job by name."""

    async def warnings(self, namespace: str, uid: str) -> list[str]:
        """Messages of the Warning Events about an object, the newest last."""

    def log(
        self, namespace: str, pod: str, container: str, since: int = 0, *, follow: bool = True
    ) -> AsyncGenerator[bytes, None]:
        """A container's output from `since` on, in seconds since 1970, each line with its time, until it ends.

        Without `follow` what there is now.
        """

    async def create_job(self, namespace: str, body: Object) -> bool:
        """False: one of that name exists."""

    async def patch_job(self, namespace: str, name: str, uid: str, patch: Object) -> bool:
        """False: it is gone."""

    async def patch_pod(self, namespace: str, name: str, uid: str, patch: Object) -> None:
        """Exactly this one; nothing to do where it is gone."""

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Exactly this one, and its Pods."""

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_seconds: int | None = None) -> None:
        """Exactly this one; None: with its own grace period."""
