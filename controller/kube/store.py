"""What the API server last told of each object: the reconcilers' reads, without a request (design 2).

Promises: per key the newest version seen, never an older one; a deleted object does not come back by a late answer;
an object that does not parse is set aside and never stops the rest (requirement 7.5). Missing here is no proof.

An object is kept as the JSON text of what the models read (2 KB for a finished job instead of 15 KB as a model), and
the models of the last HOT objects used beside it; parsing one again costs 30 µs. So models are equal, not identical.
"""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from controller.api.batchjob import BatchJob
from controller.api.keys import Key
from controller.api.kind import Kind
from controller.api.kinds import MODELS
from controller.telemetry.metrics import Metrics

HOT = 2000  # models kept parsed
TOMBSTONE_SECONDS = 600.0
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"  # a second copy of the spec that nobody reads here

Model = TypeVar("Model", bound=Kind)

_log = structlog.get_logger("controller.kube.store")


class ChangeType(StrEnum):
    ADDED = "Added"
    MODIFIED = "Modified"
    DELETED = "Deleted"
    CORRUPT = "Corrupt"  # the newest version does not parse; the last good one, if any, stays in the store


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the store.

    Args:
        old: before it; None for ADDED, and for DELETED where no version of it ever parsed.
        new: after it; None for DELETED and CORRUPT.
        edited_before_seen: only for ADDED: the version is (probably) not the one that the object was created with,
            so it does not tell its place in creation order (design 4).
        error: what does not parse, for CORRUPT; else "".
    """

    type: ChangeType
    key: Key
    old: Kind | None
    new: Kind | None
    edited_before_seen: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Corrupt:
    """An object that was set aside."""

    uid: str
    version: int
    error: str


@dataclass(slots=True)
class _Entry:
    uid: str
    version: int
    text: bytes


class Store:
    """See the module.

    Args:
        clock: monotonic seconds, for the age of tombstones.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._heard_at = clock()
        self._entries: dict[str, dict[Key, _Entry]] = {kind: {} for kind in MODELS}
        self._hot: OrderedDict[Key, Kind] = OrderedDict()
        self._tombstones: OrderedDict[str, float] = OrderedDict()  # uid -> when
        self._listeners: dict[str, list[Callable[[Change], None]]] = {kind: [] for kind in MODELS}
        self._corrupt: dict[str, dict[Key, Corrupt]] = {kind: {} for kind in MODELS}
        self._highest: dict[str, int] = dict.fromkeys(MODELS, 0)

    def listen(self, callback: Callable[[Change], None], *kinds: str) -> None:
        """Have every change told, in order, in the call that makes it; `callback` must not raise or wait.

        Args:
            kinds: of these; without any: of all.
        """
        for kind in kinds or MODELS:
            self._listeners[kind].append(callback)

    def update(self, kind: str, raw: dict[str, Any]) -> Change | None:
        """Take an object from a LIST, an event or the answer to a write; None where nothing is newer in it.

        Raises:
            KeyError: `raw` is no API object (no name, uid or resourceVersion), or the kind is not kept here.
        """
        meta = raw["metadata"]
        key = Key(sys.intern(kind), sys.intern(meta.get("namespace", "")), meta["name"])
        uid, version = meta["uid"], int(meta["resourceVersion"])
        self.saw(kind, version)
        known = self._entries[kind].get(key)
        aside = self._corrupt[kind].get(key)
        newest = max(known.version if known else -1, aside.version if aside else -1)
        if version <= newest or uid in self._tombstones:
            return None
        if known is not None and known.uid != uid:  # deleted and created again under the same name
            self._remove(key, known)
            known = None
        text = _text(raw)
        try:
            model = MODELS[kind].model_validate_json(text)
        except ValidationError as error:
            return self._set_aside(key, uid, version, error)
        self._corrupt[kind].pop(key, None)
        old = self._model(key, known) if known else None
        self._entries[kind][key] = _Entry(uid, version, text)
        self._heat(key, model)
        if known:
            return self._tell(Change(ChangeType.MODIFIED, key, old, model))
        return self._tell(Change(ChangeType.ADDED, key, None, model, edited_before_seen(raw)))

    def delete(self, kind: str, raw: dict[str, Any]) -> Change | None:
        """Take a DELETED event; None where the store holds nothing of this object."""
        meta = raw["metadata"]
        key = Key(kind, meta.get("namespace", ""), meta["name"])
        self.saw(kind, int(meta["resourceVersion"]))
        return self.remove(key, meta["uid"])

    def remove(self, key: Key, uid: str) -> Change | None:
        """Forget the object with this uid and bury it; None where it is not held."""
        self._bury(uid)
        aside = self._corrupt[key.kind].get(key)
        if aside is not None and aside.uid == uid:
            del self._corrupt[key.kind][key]
        known = self._entries[key.kind].get(key)
        if known is not None and known.uid == uid:
            return self._remove(key, known)
        return self._tell(Change(ChangeType.DELETED, key, None, None)) if aside and aside.uid == uid else None

    def get(self, key: Key) -> Kind | None:
        """The newest version of one object, or None."""
        known = self._entries[key.kind].get(key)
        if known is None:
            return None
        model = self._model(key, known)
        self._heat(key, model)
        return model

    def find(self, model: type[Model], key: Key) -> Model | None:
        """The same, by the model of the key's kind."""
        found = self.get(key)
        return found if isinstance(found, model) else None

    def job(self, key: Key) -> BatchJob | None:
        """The same for the kind that most is about."""
        return self.find(BatchJob, key)

    def keys(self, kind: str) -> list[Key]:
        """The keys of a kind, as they are now."""
        return list(self._entries[kind])

    def versions(self, kind: str) -> dict[Key, tuple[str, int]]:
        """uid and version of every object of a kind, as they are now, those set aside included."""
        found = {key: (entry.uid, entry.version) for key, entry in self._entries[kind].items()}
        return found | {key: (aside.uid, aside.version) for key, aside in self._corrupt[kind].items()}

    def items(self, kind: str) -> Iterator[tuple[Key, Kind]]:
        """All objects of a kind. Costs 30 µs for each that is not hot: for a first pass, not for every cycle."""
        for key, entry in list(self._entries[kind].items()):
            yield key, self._model(key, entry)

    def count(self, kind: str) -> int:
        """How many objects of a kind are held."""
        return len(self._entries[kind])

    @property
    def corrupt(self) -> dict[Key, Corrupt]:
        """The objects set aside (requirement 7.5)."""
        return {key: aside for held in self._corrupt.values() for key, aside in held.items()}

    def highest_version(self, kind: str) -> int:
        """The highest resourceVersion seen of a kind, 0 before any."""
        return self._highest[kind]

    def saw(self, kind: str, version: int) -> None:
        """Note a version that the API server gave for a kind."""
        self._highest[kind] = max(self._highest[kind], version)
        self._heard_at = self._clock()

    def age(self) -> float:
        """Seconds since the API server was last heard of, by an event, a LIST or the answer to a write."""
        return self._clock() - self._heard_at

    def clear(self) -> None:
        """Drop everything, as when etcd turned out to be an older one; nobody is told."""
        self._entries = {kind: {} for kind in MODELS}
        self._corrupt = {kind: {} for kind in MODELS}
        self._hot.clear()
        self._tombstones.clear()
        self._highest = dict.fromkeys(MODELS, 0)

    def _set_aside(self, key: Key, uid: str, version: int, error: ValidationError) -> Change:
        first = error.errors(include_url=False, include_input=False)[0]
        text = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        self._corrupt[key.kind][key] = Corrupt(uid, version, text)
        _log.error("object set aside", kind=key.kind, namespace=key.namespace, name=key.name, error=text)
        known = self._entries[key.kind].get(key)
        old = self._model(key, known) if known else None
        return self._tell(Change(ChangeType.CORRUPT, key, old, None, error=text))

    def _remove(self, key: Key, known: _Entry) -> Change:
        old = self._model(key, known)
        del self._entries[key.kind][key]
        self._hot.pop(key, None)
        self._bury(known.uid)
        return self._tell(Change(ChangeType.DELETED, key, old, None))

    def _bury(self, uid: str) -> None:
        now = self._clock()
        self._tombstones.setdefault(uid, now)
        while self._tombstones and next(iter(self._tombstones.values())) < now - TOMBSTONE_SECONDS:
            self._tombstones.popitem(last=False)

    def _model(self, key: Key, entry: _Entry) -> Kind:
        model = self._hot.get(key)
        if model is not None and model.metadata.version == entry.version:
            return model
        return MODELS[key.kind].model_validate_json(entry.text)

    def _heat(self, key: Key, model: Kind) -> None:
        self._hot[key] = model
        self._hot.move_to_end(key)
        if len(self._hot) > HOT:
            self._hot.popitem(last=False)

    def _tell(self, change: Change) -> Change:
        self._gauges(change.key.kind)
        for callback in self._listeners[change.key.kind]:
            callback(change)
        return change

    def _gauges(self, kind: str) -> None:
        self._metrics.store_objects.labels(kind).set(len(self._entries[kind]))
        self._metrics.corrupt_objects.labels(kind).set(len(self._corrupt[kind]))


def edited_before_seen(raw: dict[str, Any]) -> bool:
    """Whether an object was written again after its creation, so that its version is not the one of its creation.

    A freshly created object has generation 1 and one managedFields entry, for no subresource, of the second of its
    creation. Not seen: a second write by the same manager within that second that changes metadata only.
    """
    meta = raw["metadata"]
    managers = meta.get("managedFields") or []
    if meta.get("generation", 1) > 1 or len(managers) != 1:
        return True
    (only,) = managers
    return bool(only.get("subresource") or only.get("time", "") > meta.get("creationTimestamp", ""))


def _text(raw: dict[str, Any]) -> bytes:
    """What the models read of an object."""
    meta = {k: v for k, v in raw["metadata"].items() if k != "managedFields"}
    annotations = meta.get("annotations")
    if annotations and LAST_APPLIED in annotations:
        meta["annotations"] = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
    kept = {"metadata": meta} | {k: raw[k] for k in ("spec", "status") if k in raw}
    return json.dumps(kept, separators=(",", ":")).encode()
