"""What the models of all kinds of our group have; the kinds themselves stand in `controller.api.kinds`."""

from __future__ import annotations

from typing import ClassVar

from controller.api.crd import Column, Rule
from controller.api.keys import Key
from controller.api.model import Model, ObjectMeta
from controller.api.names import Names


class Kind(Model):
    """An object of a kind of ours. A kind narrows `spec` and `status` to its own types.

    Args:
        names: what the API server calls it.
        rules: CEL rules at the root of its schema.
        columns: what `kubectl get` shows.
    """

    names: ClassVar[Names]
    rules: ClassVar[tuple[Rule, ...]] = ()
    columns: ClassVar[tuple[Column, ...]] = ()
    metadata: ObjectMeta
    spec: Model
    status: Model

    @property
    def key(self) -> Key:
        """What the work queue and the store call it."""
        return Key(self.names.kind, self.metadata.namespace, self.metadata.name)
