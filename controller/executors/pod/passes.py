"""One pass over a log, from the second of the last line that is known: what is known is skipped, what is new is kept.

Promises: however often a log is read, from the beginning or not, and wherever a pass breaks off, in the middle of a
line too, each byte of it is kept once; and no more than the limit. A kubelet that is cut off from its containers says a
sentence of its own in place of a log, or behind what it had: that is none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from controller.errors import Transient
from controller.executors.pod.lines import Entry, Lines
from controller.files.spool import Position, Spool

GAP = b"[holdfast: output is missing here: it was rotated away, or went with its Pod, before it was read]\n"

# Of kubelet 1.36 (pkg/kubelet/kuberuntime, k8s.io/cri-client/pkg/logs). Other text without a time is the rest of a long
# line whose beginning was rotated away.
_INSTEAD = re.compile(
    rb"unable to retrieve container logs for |rpc error: |container status is nil"
    rb"|failed to (?:try resolving symlinks in path|open log file|read log file|tail |create fsnotify watcher|watch )"
)


class Pass:
    """See the module.

    Args:
        spool: open.
        limit: bytes that are kept, of all passes; None: all.

    Attributes:
        full: there was more than the limit.
    """

    def __init__(self, spool: Spool, limit: int | None) -> None:
        self.spool = spool
        self.full = False
        self._limit = limit
        self._known = Known(spool.position)
        self._lines = Lines()

    def take(self, data: bytes) -> None:
        """Keep what is new in the next bytes of the log.

        Raises:
            OSError: none of a piece is kept, or all of it.
            Transient: the kubelet says something else.
        """
        self._write(self._lines.feed(data))

    def end(self) -> None:
        """The container is over: an unfinished line is the last one. Raises as `take`."""
        if not self.full:
            self._write(self._lines.rest())

    def _write(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.at == 0 and _INSTEAD.match(entry.text):
                raise Transient("NoLog", f"the kubelet says: {entry.text[:500].decode(errors='replace').strip()}")
            text = self._known.new(entry)
            if not text:
                continue
            if self._known.gap:
                self._known.gap = False
                mark_gap(self.spool)
            position = self.spool.position
            if self._limit is not None and position.size + len(text) > self._limit:
                text, self.full = text[: max(0, self._limit - position.size)], True
            self.spool.append(text, _after(entry, position))
            if self.full:
                return


class Known:
    """What is known of a log that is asked for again from the second of its last line.

    Args:
        position: up to where.

    Attributes:
        gap: what came next was not there any more, so something may be missing before what is new.
    """

    def __init__(self, position: Position) -> None:
        self.gap = False
        self._known = position
        self._same = 0
        self._first = True

    def new(self, entry: Entry) -> bytes:
        """What is new of the next entry."""
        known, text = self._known, entry.text
        if known.last == 0:
            return text
        first, self._first = self._first, False
        if entry.at < known.last:
            return b""
        self.gap = first and entry.at > known.last
        if entry.at == known.last:
            if self._same < known.same:
                self._same += entry.ends
                return b""
            text = text[max(0, known.part - entry.start) :]
            if not (text or entry.ends):
                return b""
        self._known = Position()  # everything from here on is new, whatever the node's clock says
        return text


def _after(entry: Entry, position: Position) -> Position:
    if entry.at == 0:
        return position
    same = position.same if entry.at == position.last else 0
    if entry.ends:
        return replace(position, last=entry.at, same=same + 1, part=0)
    return replace(position, last=entry.at, same=same, part=entry.start + len(entry.text))


def mark_gap(spool: Spool) -> None:
    """Say, in a line of its own, that something is missing from here on. Raises OSError."""
    position = spool.position
    spool.append(b"\n" + GAP if position.part else GAP, replace(position, part=0))
