"""The pass over all run directories, at start and now and then: which of them need a look (requirement 7.6).

It looks at what no recorded status names, and goes on with what a crash interrupted. Where too much looks ownerless at
once, a person decides (design 9): more likely the view is wrong than the world.
"""

from __future__ import annotations

import structlog

from controller.decisions.orphan import is_given_up, is_kept, is_live, too_many
from controller.errors import Several
from controller.executors.base import AttemptId
from controller.reconcile.index import attempt_key
from controller.reconcile.parts import Parts
from controller.reconcile.workqueue import LOW

_log = structlog.get_logger("controller.orphans")


class Ownerless:
    """See the module."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.held_for_a_person = False

    def attempts(self) -> list[AttemptId]:
        """Attempts whose BatchJob is not in the store: no proof that it is gone."""
        owner = self._parts.scheduler.owner
        return [attempt for attempt in self._parts.index.attempts() if owner(attempt.job_uid) is None]

    async def sweep(self) -> None:
        """Queue a look at every directory that no recorded status names; count what lives without an owner."""
        parts, ownerless = self._parts, self.attempts()
        live = [attempt for attempt in ownerless if is_live(await parts.executor.observe(attempt))]
        # A deletion that was told while we watched explains its attempts; one that only looks so does not.
        strange = sum(not parts.scheduler.told_gone(attempt.job_uid) for attempt in live)
        self.held_for_a_person = too_many(strange, len(live) + len(parts.scheduler.held_keys()))
        if self.held_for_a_person:
            text = "nothing of them is touched until a person says so: holdfast adopt"
            _log.error("too many running attempts have no BatchJob", ownerless=strange, hint=text)
        for attempt in parts.index.attempts():
            if self._needs_a_look(attempt):
                parts.queue.add(attempt_key(attempt), LOW)

    def adopt(self) -> None:
        """A person says that what looks ownerless is: it is ended and removed."""
        self.held_for_a_person = False
        for attempt in self.attempts():
            self._parts.queue.add(attempt_key(attempt), LOW)

    def asks(self) -> str | None:
        """What a person has to decide, for /readyz; None: nothing."""
        if not self.held_for_a_person:
            return None
        return "too many running attempts have no BatchJob; if their jobs were deleted, run `holdfast adopt`"

    async def tidy(self) -> None:
        """Go on with what a crash interrupted: ended attempts not released, foreign entries not set aside.

        Raises:
            Transient: the state directory could not be read, or something not removed; all else was done.
        """
        parts, several = self._parts, Several()
        with several.kept():
            for name in await parts.executor.clean_leftovers():
                parts.metrics.orphans_removed.labels("temp_file").inc()
                _log.info("removed what a crash left", name=name)
        with several.kept():
            for name in await parts.executor.foreign_entries():
                with several.kept():
                    await set_aside(parts, name)
        with several.kept():
            for attempt in await parts.executor.unreleased():
                parts.queue.add(attempt_key(attempt), LOW)
        several.raise_all()

    def _needs_a_look(self, attempt: AttemptId) -> bool:
        key = self._parts.scheduler.owner(attempt.job_uid)
        job = self._parts.store.job(key) if key is not None else None
        if job is None:
            return True
        return not is_kept(job.status, attempt.number) or is_given_up(job.status, attempt.number)


async def set_aside(parts: Parts, name: str) -> bool:
    """What is damaged and needed by nobody is kept apart for a person to look at (7.5); False: it stays.

    Raises:
        Transient: it could not be moved.
    """
    reason = await parts.executor.quarantine(name)
    if reason is None:
        return False
    parts.metrics.integrity.set_aside(parts.executor.place(name), reason)
    return True
