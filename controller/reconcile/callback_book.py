"""What follows from all Callbacks that are known, kept up to date by the store: no pass over ten thousand of them.

Who stands behind whom, how many are in which phase, what the last tries showed of each host, and which were deleted
before they had arrived.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from controller.api.callback import Callback, CallbackPhase
from controller.api.keys import Key
from controller.decisions.answer import over, showed
from controller.delivery.guard import origin
from controller.kube.store import Change, ChangeType

RECENT = 16  # tries of one host that are remembered until the reconciler takes them over


class CallbackBook:
    """Listens to the store from before the first LIST: `store.listen(book.observe, "Callback")`."""

    def __init__(self) -> None:
        self.phases: Counter[str] = Counter()
        self._behind: dict[Key, set[Key]] = {}
        self._recent: dict[str, list[tuple[datetime, bool]]] | None = {}
        self._listeners: list[Callable[[Change], None]] = []

    def listen(self, callback: Callable[[Change], None]) -> None:
        """Have every change told after it was entered here."""
        self._listeners.append(callback)

    def observe(self, change: Change) -> None:
        """Enter one change; called by the store. Of one that cannot be read the last good version stays."""
        if change.type is ChangeType.CORRUPT:
            return
        old, new = change.old, change.new
        if isinstance(old, Callback):
            self.phases[phase(old)] -= 1
            self._leave(old)
        if isinstance(new, Callback):
            self.phases[phase(new)] += 1
            self._stand(new)
            self._remember(new)
        for callback in self._listeners:
            callback(change)

    def behind(self, key: Key) -> list[Key]:
        """The Callbacks that wait for this one to be over."""
        return sorted(self._behind.get(key, ()))

    def take_recent(self) -> list[tuple[datetime, str, bool]]:
        """The last tries of all hosts in the order of their times; from now on the reconciler sees them itself."""
        found = [(at, host, works) for host, tries in (self._recent or {}).items() for at, works in tries]
        self._recent = None
        return sorted(found)

    def _stand(self, callback: Callback) -> None:
        if callback.spec.previous and not over(callback.status):
            self._behind.setdefault(before(callback), set()).add(callback.key)

    def _leave(self, callback: Callback) -> None:
        if not callback.spec.previous:
            return
        standing = self._behind.get(before(callback), set())
        standing.discard(callback.key)
        if not standing:
            self._behind.pop(before(callback), None)

    def _remember(self, callback: Callback) -> None:
        last = callback.status.last_attempt
        works = showed(last.code, last.reason) if last is not None else None
        if self._recent is None or last is None or works is None:
            return
        tries = self._recent.setdefault(origin(callback.spec.url), [])
        tries.append((last.at, works))
        if len(tries) > 2 * RECENT:
            tries.sort()
            del tries[:-RECENT]


def before(callback: Callback) -> Key:
    """Key of the Callback that goes first."""
    return Key(Callback.names.kind, callback.metadata.namespace, callback.spec.previous)


def phase(callback: Callback) -> str:
    """The phase for people: nothing recorded is Pending."""
    return (callback.status.phase or CallbackPhase.PENDING).value
