"""Objects of ours that follow from another one: named after what was recorded, so making one twice makes it once."""

from __future__ import annotations

from typing import Any

from controller.api.keys import API_VERSION, Key
from controller.api.kind import Kind
from controller.errors import Waiting
from controller.kube.errors import AlreadyExists
from controller.reconcile.parts import Parts


async def make_child(parts: Parts, owner: Kind, key: Key, spec: dict[str, Any]) -> None:
    """Create the object of `key`, owned by `owner`, unless it is there; it is in the store afterwards, and reconciled.

    Raises:
        Waiting: an object of that name is there and belongs to somebody else.
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
        if meta.uid not in {each["uid"] for each in made["metadata"].get("ownerReferences", ())}:
            text = f"{key.kind} {key.name} is there and does not belong to {owner.key}: delete or rename it"
            raise Waiting("NameTaken", text, 30.0) from None
    parts.store.update(key.kind, made)
    parts.queue.add(key)  # the watch will tell nothing new of it
