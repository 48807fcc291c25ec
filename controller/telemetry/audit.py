"""The audit journal: every decision and action as one JSON line, for `holdfast audit` (requirement 9.3).

Promises: saying a line never raises and never waits for the disk. Lines are gathered and written by a thread of their
own: within FLUSH_SECONDS, and at the end of the loop's turn where one of them is urgent (starts and ends of attempts,
grants and releases of locks). A SIGKILL loses at most what was not written yet; nothing is decided from the journal.
Where the disk is full or stands still lines are dropped and counted, long before a job is stopped for want of space.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from controller.decisions.audit_line import Category, Line
from controller.files.segments import Appended, Bounds, SegmentWriter, append_beside
from controller.settings import Settings
from controller.telemetry.audit_metrics import AuditMetrics

DIRECTORY, NAME = "audit", "audit"  # HOLDFAST_HOME/audit/audit.jsonl
FLUSH_SECONDS = 2.0
MAX_WAITING = 20_000  # lines while the disk does not answer: about 6 MB
GIVE_WAY = 0.75  # of minFreeBytes: below it lines are dropped; jobs are stopped at half of it
REMEMBERED = 4096  # actions whose repetition is not told again

_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one for each line

_log = structlog.get_logger("controller.audit")


def _now() -> datetime:
    return datetime.now(UTC)


class AuditJournal:
    """See the module; used in the event loop only.

    Args:
        writer: None: nothing is written, and nothing is worth saying.
        now: wall clock, timezone-aware UTC.
    """

    def __init__(self, writer: SegmentWriter | None, metrics: AuditMetrics, now: Callable[[], datetime] = _now) -> None:
        self._writer = writer
        self._metrics = metrics
        self._now = now
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: list[str] = []
        self._timer: asyncio.Handle | None = None
        self._urgent = False
        self._under_way: asyncio.Future[Appended] | None = None
        self._said: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._dropped = 0  # since the disk took lines last

    @property
    def on(self) -> bool:
        """Whether lines are written; where they are not, they need not be made."""
        return self._writer is not None

    def say(self, *lines: Line) -> None:
        """Write lines, soon."""
        if self._writer is None or not lines:
            return
        now = self._now()
        for line in lines:
            self._metrics.lines.labels(line.category.value).inc()
            if len(self._waiting) >= MAX_WAITING:
                self._drop(1, "the disk does not take the lines that are there already")
                continue
            self._waiting.append(_encode(line.to_json(now)))
        self._schedule(urgent=any(line.urgent for line in lines))

    def say_once(self, line: Line) -> None:
        """The same for an action that is asked for again and again until it shows: told when it says something new."""
        key = (line.kind, line.namespace, line.name, line.uid, line.event, line.attempt, line.new, line.reason)
        known = key in self._said
        self._said[key] = None
        self._said.move_to_end(key)
        if not known:
            if len(self._said) > REMEMBERED:
                self._said.popitem(last=False)
            self.say(line)

    async def close(self, limit_seconds: float) -> None:
        """Write what waits, at most `limit_seconds`; what is said afterwards is not written."""
        if self._writer is None:
            return
        try:
            async with asyncio.timeout(limit_seconds):
                while self._waiting or self._under_way is not None:
                    self._hand_over()
                    if self._under_way is not None:
                        await asyncio.wait({self._under_way})
            self._writer.close()
        except TimeoutError:
            self._drop(len(self._waiting), "the disk did not take them before the stop")
        if self._timer is not None:
            self._timer.cancel()
        self._writer = None
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    # --- writing

    def _schedule(self, *, urgent: bool) -> None:
        hurry, self._urgent = self._urgent, self._urgent or urgent
        if self._under_way is not None or (self._timer is not None and (hurry or not urgent)):
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        flush = loop.call_soon if self._urgent else partial(loop.call_later, FLUSH_SECONDS)
        self._timer = flush(self._hand_over)

    def _hand_over(self) -> None:
        """Have the thread write all that waits; while it is at work more is gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._under_way is not None or not self._waiting or self._writer is None:
            return
        lines, self._waiting, self._urgent = self._waiting, [], False
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        data = ("\n".join(lines) + "\n").encode("ascii")
        loop = asyncio.get_running_loop()
        self._under_way = loop.run_in_executor(self._thread, self._writer.append, data, self._now())
        self._under_way.add_done_callback(self._written)

    def _written(self, done: asyncio.Future[Appended]) -> None:
        self._under_way = None
        came = done.result()
        if came.lost:
            self._drop(came.lost, came.error)
        elif self._dropped and len(self._waiting) < MAX_WAITING:
            dropped, self._dropped = self._dropped, 0
            _log.warning("the audit journal is written again", dropped=dropped)
            self.say(Line(Category.CONTROLLER, "AuditDropped", "Controller", "", NAME, message=f"{dropped} lines"))
        elif came.error:
            _log.warning("old audit segments cannot be tended", error=came.error)
        if self._waiting and self._under_way is None and self._timer is None:
            self._schedule(urgent=False)

    def _drop(self, count: int, why: str) -> None:
        if count and not self._dropped:
            _log.error("lines of the audit journal are dropped", error=why)
        self._dropped += count
        self._metrics.dropped.inc(count)


def open_journal(settings: Settings, metrics: AuditMetrics) -> AuditJournal:
    """The journal of a controller; nothing is opened before the first line."""
    if not settings.audit:
        return AuditJournal(None, metrics)
    bounds = Bounds(
        settings.audit_segment_bytes,
        settings.audit_segment_seconds,
        settings.audit_max_bytes,
        int(settings.min_free_bytes * GIVE_WAY),
    )
    return AuditJournal(SegmentWriter(journal_directory(settings.home), NAME, bounds), metrics)


def say_beside(settings: Settings, line: Line) -> None:
    """Write a line of another process than the controller, which may run meanwhile, into its journal.

    Nothing is written where there is no state directory: no controller works on this machine.

    Raises:
        OSError: it could not be written.
    """
    if settings.audit and settings.home.is_dir():
        data = f"{_encode(line.to_json(_now()))}\n".encode("ascii")
        append_beside(journal_directory(settings.home), NAME, data)


def journal_directory(home: Path) -> Path:
    """Where the journal of a state directory is."""
    return home / DIRECTORY
