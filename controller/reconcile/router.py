"""Which reconciler a key goes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from controller.api.keys import Key
from controller.reconcile.workers import Reconcile, Result


class Router:
    """One reconciler per kind of key.

    Args:
        wait: seconds for which an object is left alone, None for one that is not.
    """

    def __init__(self, reconcilers: Mapping[str, Reconcile], wait: Callable[[Key], float | None]) -> None:
        self._reconcilers = dict(reconcilers)
        self._wait = wait

    async def reconcile(self, key: Key) -> Result:
        """Hand the key on; raises KeyError for a kind that has no reconciler, which is a defect."""
        if (seconds := self._wait(key)) is not None:
            return Result(seconds)
        return await self._reconcilers[key.kind](key)
