"""The Events of one object: read, put in order, shown."""

from __future__ import annotations

from typing import Any

from controller.cli import tables, view
from controller.cli.session import Session, note
from controller.errors import HoldfastError

Object = dict[str, Any]


def events_of(session: Session, item: Object) -> list[Object]:
    """Its Events, the newest last; none, with a note, where they cannot be read."""
    fields = f"involvedObject.uid={view.uid(item)}"
    try:
        events = list(session.cluster.list("Event", fields=fields))
    except HoldfastError as error:
        note(f"its Events cannot be read: {error.message}")
        return []
    return sorted(events, key=_when)


def show_events(events: list[Object]) -> None:
    """Print them under a heading."""
    tables.heading("Events")
    rows = [
        (view.age(_when(event)), event.get("count") or 1, event.get("type"), event.get("reason"), event.get("message"))
        for event in events
    ]
    tables.table_or_none(("AGE", "COUNT", "TYPE", "REASON", "MESSAGE"), rows)


def _when(event: Object) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((str(t) for t in times if t), str(event["metadata"].get("creationTimestamp") or ""))
