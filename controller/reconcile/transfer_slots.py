"""How many operations on remotes run at once on this host (requirement 7.4, setting `max_transfers`).

A slot is taken in the step that counts, before anything is awaited: the record comes later, and many Repositories are
due together after a start. Derived from decisions and from the store; losing it loses nothing that is recorded.
"""

from __future__ import annotations

from controller.api.keys import Key
from controller.api.repository import Repository, RepositoryStatus
from controller.decisions.repository import network
from controller.kube.store import Store


class TransferSlots:
    """See the module.

    Args:
        most: operations on remotes at once.
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self._taken: set[Key] = set()

    def free_for(self, key: Key) -> bool:
        """Whether the Repository `key` may begin one now; nothing may be awaited between this and `decided`."""
        recorded = {
            other
            for other, found in self._store.items("Repository")
            if isinstance(found, Repository) and network(found.status)
        }
        return len((recorded | self._taken) - {key}) < self._most

    def decided(self, key: Key, status: RepositoryStatus) -> None:
        """What was decided about it, which is recorded next.

        A record that fails keeps the slot until the next decision: it may have been written without an answer.
        """
        if network(status):
            self._taken.add(key)
        else:
            self._taken.discard(key)

    def gone(self, key: Key) -> None:
        """There is no such Repository any more."""
        self._taken.discard(key)
