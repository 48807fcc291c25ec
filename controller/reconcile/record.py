"""Record: at most one PATCH of a status, only if something changed, always against the version that was read."""

from __future__ import annotations

from typing import TypeVar

from controller.api.keys import Key
from controller.api.kind import Kind
from controller.api.model import Model
from controller.errors import Waiting
from controller.kube.client import Api
from controller.kube.errors import Conflict, NotFound
from controller.kube.store import Change, Store
from controller.reconcile.merge import difference

Recorded = TypeVar("Recorded", bound=Kind)


class StatusWriter:
    """Writes the status of objects of ours and takes the answer into the store at once."""

    def __init__(self, api: Api, store: Store) -> None:
        self._api = api
        self._store = store
        self._in_flight: dict[Key, Model] = {}

    async def write(self, read: Recorded, status: Model) -> Recorded:
        """The object as it is recorded now; `read` itself where `status` says nothing new.

        Raises:
            Conflict: somebody wrote since it was read; the store has the newer one now.
            Waiting: the object is gone; the watch will say so.
            Transient: the API server could not take it.
        """
        patch = {} if status is read.status else difference(read.status.to_json(), status.to_json())
        if not patch:
            return read
        meta, key = read.metadata, read.key
        self._in_flight[key] = status
        try:
            raw = await self._api.patch_status(*key, meta.uid, meta.resource_version, patch)
        except Conflict:
            self._store.update(key.kind, await self._api.get(*key))
            raise
        except NotFound:
            raise Waiting("Deleted", f"{key} is gone; the watch will say so") from None
        finally:
            del self._in_flight[key]
        self._store.update(key.kind, raw)
        new = self._store.find(type(read), key)
        if new is None or new.metadata.uid != meta.uid:
            raise Waiting("Deleted", f"{key} was deleted while it was recorded")
        return new

    def is_echo(self, change: Change) -> bool:
        """Whether an event tells only what is being written at this moment: it often overtakes the answer."""
        written = self._in_flight.get(change.key)
        new, old = change.new, change.old
        if written is None or new is None or old is None:
            return False
        return new.status == written and new.spec == old.spec and new.metadata.uid == old.metadata.uid
