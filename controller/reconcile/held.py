"""Objects whose status is not restored yet are left alone (requirement 7.10); after a while a person is told."""

from __future__ import annotations

from controller.api.conditions import Condition
from controller.api.keys import Key
from controller.api.kinds import MODELS
from controller.api.restored import RESTORING, held
from controller.kube.events import Reference
from controller.reconcile.parts import Parts

TELL_SECONDS = 120.0  # after its creation; restore writes the status within seconds
LOOK_AGAIN = 60.0


class Held:
    """Asked by the router before a key is handed on."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def wait(self, key: Key) -> float | None:
        """Seconds until the next look at an object that is held; None: it is not."""
        model = MODELS.get(key.kind)
        found = self._parts.store.find(model, key) if model is not None else None
        if found is None or RESTORING not in found.metadata.annotations:
            return None
        conditions: tuple[Condition, ...] = getattr(found.status, "conditions", ())
        if not held(found.metadata, conditions):
            return None
        made = found.metadata.creation_timestamp
        if made is not None and (self._parts.now() - made).total_seconds() > TELL_SECONDS:
            text = (
                "held back: its status is not restored. Run the same `holdfast restore` again, or remove annotation "
                f"{RESTORING} to have it treated as new"
            )
            self._parts.events.record(Reference.to(found), "Warning", "Restoring", text)
        return LOOK_AGAIN
