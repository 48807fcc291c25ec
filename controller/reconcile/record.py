"""Record: at most one PATCH of a status, only if something changed, always against the version that was read.

What was recorded is told to the audit journal here, once for all kinds (requirement 9.3). What the API server does not
take is told by an Event of the object and tried again: nothing that happened is lost by it (requirements 1.3, 7.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from controller.api.conditions import within_bound
from controller.api.keys import Key
from controller.api.kind import Kind
from controller.api.model import Model
from controller.decisions.audit_line import Line
from controller.decisions.audited import recorded
from controller.errors import Transient, Waiting
from controller.kube.client import Api
from controller.kube.errors import Conflict, Invalid, NotFound, StatusRefused
from controller.kube.events import Recorder, Reference
from controller.kube.store import Change, Store
from controller.reconcile.merge import difference
from controller.telemetry.audit import AuditJournal

_log = structlog.get_logger("controller.record")

Recorded = TypeVar("Recorded", bound=Kind)


class StatusWriter:
    """Writes the status of objects of ours and takes the answer into the store at once.

    Args:
        owner: uid of a BatchJob -> its key, None where it is not in the store.
        events: for what a person has to do about a status.
    """

    def __init__(
        self, api: Api, store: Store, audit: AuditJournal, owner: Callable[[str], Key | None], events: Recorder
    ) -> None:
        self._api = api
        self._store = store
        self._audit = audit
        self._owner = owner
        self._events = events
        self._refused: dict[Key, str] = {}  # told already
        self._in_flight: dict[Key, Model] = {}
        self._unanswered: dict[Key, tuple[Kind, Model, tuple[Line, ...]]] = {}
        self._late: Callable[[Kind], None] = lambda _: None

    def on_late(self, recorded_late: Callable[[Kind], None]) -> None:
        """Have it called with what was recorded by a write whose answer never came: its pass did not act on it."""
        self._late = recorded_late

    async def write(self, read: Recorded, status: Model, also: tuple[Line, ...] = ()) -> Recorded:
        """The object as it is recorded now; `read` itself where `status` says nothing new.

        Args:
            also: for the audit journal, before what follows from the statuses, once it is recorded.

        Raises:
            Conflict: somebody wrote since it was read; the store has the newer one now.
            Waiting: the object is gone; the watch will say so.
            StatusRefused: the API server will not take it as things are.
            Transient: the API server could not take it.
        """
        self._tell_unanswered(read)
        status, gone = (status, ()) if status is read.status else within_bound(status)
        patch = {} if status is read.status else difference(read.status.to_json(), status.to_json())
        if not patch:
            return read
        if gone:
            self._tell_gone(read, gone)
        meta, key = read.metadata, read.key
        self._in_flight[key] = status
        try:
            raw = await self._api.patch_status(*key, meta.uid, meta.resource_version, patch)
        except Conflict:
            self._store.update(key.kind, await self._api.get(*key))
            raise
        except NotFound:
            raise Waiting("Deleted", f"{key} is gone; the watch will say so") from None
        except Invalid as error:
            raise self._refuse(read, error) from error
        except Transient:
            self._unanswered[key] = (read, status, also)
            raise
        finally:
            del self._in_flight[key]
        self._refused.pop(key, None)
        self._store.update(key.kind, raw)
        self._tell(read, status, also)
        new = self._store.find(type(read), key)
        if new is None or new.metadata.uid != meta.uid:
            raise Waiting("Deleted", f"{key} was deleted while it was recorded")
        return new

    def job_name(self, uid: str) -> str:
        """Name of the BatchJob with this uid, for the audit journal; "" where it is not known."""
        key = self._owner(uid)
        return key.name if key is not None else ""

    def _tell_gone(self, read: Kind, gone: tuple[str, ...]) -> None:
        text = f"the list of conditions is full: room was made for ours by removing those of others: {', '.join(gone)}"
        _log.warning(text, kind=read.names.kind, namespace=read.metadata.namespace, name=read.metadata.name)
        self._events.record(Reference.to(read), "Warning", "ConditionsRemoved", text)

    def _refuse(self, read: Kind, error: Invalid) -> StatusRefused:
        """Told once as long as it is the same: it is tried again and again."""
        key, plural = read.key, read.names.plural
        way_out = f"kubectl edit {plural} -n {key.namespace} {key.name} --subresource=status"
        text = f"{error.message}; the status cannot be recorded: have that taken, or change what it names: {way_out}"
        if self._refused.get(key) != text:
            self._refused[key] = text
            self._events.record(Reference.to(read), "Warning", "StatusRefused", text)
        return StatusRefused("StatusRefused", text)

    def _tell(self, read: Kind, status: Model, also: tuple[Line, ...]) -> None:
        if self._audit.on:
            self._audit.say(*also, *recorded(read, status, self.job_name))

    def _tell_unanswered(self, read: Kind) -> None:
        """A write whose answer never came was done all the same, if it is what is read now."""
        before = self._unanswered.pop(read.key, None)
        if before is not None and read.status == before[1] and read.metadata.uid == before[0].metadata.uid:
            self._tell(*before)
            self._late(read)

    def is_echo(self, change: Change) -> bool:
        """Whether an event tells only what is being written at this moment: it often overtakes the answer."""
        written = self._in_flight.get(change.key)
        new, old = change.new, change.old
        if written is None or new is None or old is None:
            return False
        return new.status == written and new.spec == old.spec and new.metadata.uid == old.metadata.uid
