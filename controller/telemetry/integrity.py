"""What was found damaged since the start, and what leftovers gave back (7.5, 7.6): metrics, and a log line each.

Damaged files are counted once for each place, so that `holdfast_corrupt_ratio` is a share of what is there and not of
how often somebody looked. A file that was set aside counts until the next start: it was there when this one began.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry

from controller.telemetry.registered import Registered

_log = structlog.get_logger("controller.integrity")


class Integrity(Registered):
    """See the module."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.problems: dict[str, str] = {}  # path -> what is wrong with it
        self._told: Callable[[str], None] = lambda path: None
        self._checked: dict[str, int] = {}  # sort of file -> how many there are
        self.quarantined_files = self._counter("holdfast_quarantined_files_total", "Damaged files that were set aside.")
        self.quarantine_removed = self._counter(
            "holdfast_quarantine_removed_total",
            "What had been set aside and was removed again: too old, or too much in quarantine.",
        )
        self.corrupt_ratio = self._gauge(
            "holdfast_corrupt_ratio",
            "Share of objects and state files that are damaged or were set aside.",
        )
        self.memory_reclaimed = self._counter(
            "holdfast_orphan_memory_reclaimed_bytes_total", "Memory (PSS) of leftover processes that were stopped."
        )
        self.disk_reclaimed = self._counter(
            "holdfast_orphan_disk_reclaimed_bytes_total", "Disk space of leftovers that were removed."
        )

    def on_problem(self, told: Callable[[str], None]) -> None:
        """Have `told` called with the path of each damaged file, once."""
        self._told = told

    def set_aside(self, path: str, reason: str) -> None:
        """A damaged file or directory was moved, or copied, to quarantine."""
        self._note(path, reason)
        self.quarantined_files.inc()
        _log.error("set aside in quarantine", path=path, reason=reason)

    def removed(self, path: str, reason: str) -> None:
        """What had been set aside was removed, as too much was there or it was too old."""
        self.quarantine_removed.inc()
        _log.warning("removed from quarantine", path=path, reason=reason)

    def damaged(self, path: str, reason: str) -> None:
        """A damaged file stays where it is: who it belongs to decides."""
        if self.problems.get(path) != reason:
            self._note(path, reason)
            _log.error("a state file is damaged", path=path, reason=reason)

    def _note(self, path: str, reason: str) -> None:
        new = path not in self.problems
        self.problems[path] = reason
        if new:
            self._told(path)

    def sound(self, path: str) -> None:
        """It is whole again, or gone."""
        self.problems.pop(path, None)

    def checked(self, sort: str, count: int) -> None:
        """So many files of a sort were looked at."""
        self._checked[sort] = count

    @property
    def files(self) -> int:
        """How many state files were looked at by the last look at each sort."""
        return sum(self._checked.values())

    def observe(self, objects: int, corrupt_objects: int) -> None:
        """Set the ratio.

        Args:
            objects: all that the store knows of, those set aside included.
        """
        corrupt = corrupt_objects + len(self.problems)
        self.corrupt_ratio.set(corrupt / max(1, objects + self.files, corrupt))
