"""Which reconciler a key goes to."""

from __future__ import annotations

from collections.abc import Mapping

from controller.api.keys import Key
from controller.reconcile.workers import Reconcile, Result


class Router:
    """One reconciler per kind of key."""

    def __init__(self, reconcilers: Mapping[str, Reconcile]) -> None:
        self._reconcilers = dict(reconcilers)

    async def reconcile(self, key: Key) -> Result:
        """Hand the key on; raises KeyError for a kind that has no reconciler, which is a defect."""
        return await self._reconcilers[key.kind](key)
