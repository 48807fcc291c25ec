"""Objects of ours that follow from another one: named after what was recorded, so making one twice makes it once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.api.keys import API_VERSION, Key
from controller.api.kind import Kind
from controller.errors import Waiting
from controller.kube.errors import AlreadyExists
from controller.reconcile.parts import Parts

Object = dict[str, Any]
AGAIN_SECONDS = 10.0  # until a name that is taken is tried again


class NameTaken(Waiting):
    """An object of that name is there and belongs to somebody else: a person has to choose which of the two goes."""

    def __init__(self, key: Key, owner: Key) -> None:
        text = f"{key.kind} {key.name} is there and does not belong to {owner}: delete or rename it"
        super().__init__("NameTaken", text, AGAIN_SECONDS)


async def make_child(
    parts: Parts, owner: Kind, key: Key, spec: Object, same: Callable[[Object], bool] | None = None
) -> None:
    """Create the object of `key`, owned by `owner`, unless it is there; it is in the store afterwards, and reconciled.

    Args:
        same: whether the spec of an object that `owner` does not own (any more) is nevertheless of the one wanted.

    Raises:
        NameTaken: an object of that name is there and belongs to somebody else.
        HoldfastError: the API server could not take it; the next pass makes it.
    """
    meta = owner.metadata
    whose = {"apiVersion": API_VERSION, "kind": owner.key.kind, "name": meta.name, "uid": meta.uid, "controller": True}
    body = {
        "apiVersion": API_VERSION,
        "kind": key.kind,
        "metadata": {"name": key.name, "namespace": key.namespace, "ownerReferences": [whose]},
        "spec": spec,
    }
    try:
        made = await parts.api.create(key.kind, key.namespace, body)
    except AlreadyExists:  # of an earlier controller, or the watch is behind
        made = await parts.api.get(*key)
        owners = {each["uid"] for each in made["metadata"].get("ownerReferences", ())}
        if meta.uid not in owners and not (same is not None and same(made["spec"])):
            raise NameTaken(key, owner.key) from None
    parts.store.update(key.kind, made)
    parts.queue.add(key)  # the watch will tell nothing new of it
