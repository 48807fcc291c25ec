"""Repositories whose lock cannot be recorded: a disk or an API server refuses, or a newer version wrote the fence.

Such a Repository says so (LockSound, Event, log), and nobody is granted its lock: grants on their way are taken back,
so that their slots go to others (7.3, 7.5), and its jobs say why they wait. It is over when what failed is seen to
work: the status and the fence are written. Forgotten with the process: the next one's first pass finds it again.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog

from controller.api.repository import Repository
from controller.decisions.lock_record import Healed, sound
from controller.errors import HoldfastError, Transient
from controller.kube.errors import Unreachable
from controller.kube.events import Reference
from controller.reconcile.parts import Parts
from controller.reconcile.repository_book import RepositoryBook
from controller.reconcile.repository_pages import Reason, RepositoryName
from controller.repositories.fence import rewrite_fence
from controller.repositories.places import Places

NOT_RECORDED = "LockNotRecorded"  # the reason that jobs are given
AGAIN_SECONDS = 15.0  # a disk does not say when it works again
NORMAL_ERRORS = frozenset({"Conflict", "Deleted"})  # the newer object, or the news of its end, is on its way

_log = structlog.get_logger("controller.locks")


class LockOutages:
    """Called by the reconciler of Repositories, with the Repository's key held."""

    def __init__(self, parts: Parts, book: RepositoryBook, places: Places) -> None:
        self._parts = parts
        self._book = book
        self._places = places
        self._known: dict[RepositoryName, Reason] = {}

    def failed(self, repository: Repository, error: HoldfastError) -> None:
        """A pass could not record the lock, or not close the fence: nobody is granted it before one can."""
        if error.reason in NORMAL_ERRORS:
            return
        name, why = (repository.metadata.namespace, repository.metadata.name), (error.reason, error.message)
        before, self._known[name] = self._known.get(name), why
        text = f"the lock of Repository {name[1]} cannot be recorded, so nobody is granted it: {error}"
        self._book.not_grantable(name, (NOT_RECORDED, text))
        if before is None or before[0] != why[0]:
            _log.warning("a lock cannot be recorded", namespace=name[0], name=name[1], reason=why[0], error=why[1])
            self._parts.events.record(Reference.to(repository), "Warning", NOT_RECORDED, text)
        if not isinstance(error, Unreachable):
            self._parts.queue.add_after(repository.key, AGAIN_SECONDS)

    async def look(self, repository: Repository, now: datetime) -> Repository:
        """The Repository, which says by now what was wrong; what failed before is tried: status and fence are written.

        Raises:
            HoldfastError: it fails still.
        """
        name = (repository.metadata.namespace, repository.metadata.name)
        why = self._known.get(name)
        if why is None:
            return repository
        found = Healed(None, reason=why[0], message=f"nothing is granted: {why[1]}")
        conditions = sound(repository.status.conditions, found, repository.metadata.generation, now)
        status = repository.status.model_copy(update={"conditions": conditions})
        told = await self._parts.writer.write(repository, status)
        directory = self._places.repository(*name)
        try:
            await asyncio.to_thread(rewrite_fence, directory)
        except OSError as error:
            raise fence_error("FenceNotWritten", error, str(directory)) from error
        return told

    def over(self, name: RepositoryName, held_up: Reason | None) -> None:
        """A pass has recorded the lock and closed the fence; it may be held up nevertheless: by a push in flight."""
        if self._known.pop(name, None) is not None:
            _log.info("the lock can be recorded again", namespace=name[0], name=name[1])
        self._book.not_grantable(name, held_up)


def fence_error(reason: str, error: OSError, path: str) -> Transient:
    """What is raised for a file of a fence or mirror that cannot be read or written."""
    return Transient(reason, f"{error.filename or path}: {error.strerror}")
