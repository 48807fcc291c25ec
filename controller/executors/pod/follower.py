"""Takes over the output of one Pod while it is printed, to its end (requirements 3.2, 4.2).

After a restart it goes on at the last byte that was taken over; where the kubelet has thrown away what came after it, a
line says so. Whatever fails is tried again: the API server, the kubelet, and the disk that the output is kept on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import structlog

from controller.errors import HoldfastError
from controller.executors.base import AttemptId
from controller.executors.pod import names
from controller.executors.pod.cluster import Cluster
from controller.executors.pod.lines import NANOSECONDS, Lines
from controller.executors.pod.passes import Known, Pass, mark_gap
from controller.executors.pod.patience import Patience, Silence
from controller.executors.pod.views import PodView, pod_view
from controller.files.spool import Position, Spool

REMEMBER_SECONDS = 1.0  # between two records of the position
LOOK_SECONDS = 30.0  # for a look whether a silent stream is dead
AGAIN_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)  # between two tries to read a log

_log = structlog.get_logger("controller.output")


class Follower:
    """See the module.

    Args:
        limit: bytes that are kept; None: all.
        directory: where they are kept.
        too_much: called when there are more.

    Attributes:
        trouble: what keeps the disk from taking more, with the path; "" for nothing.
        refused: why the log could not be read the last time; "" where it could.
    """

    def __init__(
        self,
        cluster: Cluster,
        attempt: AttemptId,
        pod: PodView,
        limit: int | None,
        directory: Path,
        too_much: Callable[[AttemptId], None],
    ) -> None:
        self.trouble = self.refused = ""
        self._cluster = cluster
        self._attempt = attempt
        self._pod = pod
        self._limit = limit
        self._directory = directory
        self._too_much = too_much
        self._spool: Spool | None = None
        self._patience = Patience()
        self._ended = False
        self._all = False  # was read; it may still have to be made durable
        self._kept = False

    def hurry(self, pod: PodView | None) -> None:
        """The command is over, as an exact look has proved: a connection that is silent is not waited for any more."""
        self._ended = self._ended or _has_ended(pod)
        self._patience.hurry()

    async def run(self) -> None:
        """Return once all of it is kept."""
        failures = 0
        try:
            while not self._kept:
                failures = 0 if await self._succeeds() else failures + 1
                if not self._kept and (failures or not self._is_over()):
                    await asyncio.sleep(AGAIN_SECONDS[min(failures, len(AGAIN_SECONDS) - 1)])
        finally:
            if self._spool is not None:
                self._spool.close()

    async def _succeeds(self) -> bool:
        try:
            await self._turn()
        except HoldfastError as error:
            _log.debug("a log broke off", attempt=str(self._attempt), reason=error.reason, error=error.message)
            self.refused = error.message
            return False
        except OSError as error:
            self._say(f"{error.filename or self._directory}: {error.strerror or error}")
            return False
        self._say("")
        self.refused = ""
        return True

    def _say(self, trouble: str) -> None:
        """What keeps the disk from taking more, when that begins and when it is over."""
        if trouble and not self.trouble:
            _log.warning("output cannot be kept for now; it is tried again", attempt=str(self._attempt), error=trouble)
        elif self.trouble and not trouble:
            _log.info("output is kept again", attempt=str(self._attempt))
        self.trouble = trouble

    async def _turn(self) -> None:
        spool = self._spool = self._spool or Spool(self._directory)
        if not spool.position.complete:
            spool.open()
            self._all = self._all or await self._pass(spool)
            if not self._all:
                return
            await asyncio.to_thread(spool.complete)
        self._kept = True

    async def _pass(self, spool: Spool) -> bool:
        """Read the log once, as far as it goes; whether that was all there will be."""
        # A kubelet that is cut off from its containers ends a stream as if they had ended: whole is only what was read
        # of one that had ended before.
        whole = self._is_over()
        if whole:
            self._patience.hurry()
        reading = Pass(spool, self._limit)
        try:
            await self._read(reading)
        except Silence:
            return False
        except HoldfastError:
            if self._now() is not None:
                raise
            mark_gap(spool)
            return True
        if not (reading.full or whole or self._now() is None):
            return False
        reading.end()
        return True

    async def _read(self, reading: Pass) -> None:
        remembered = time.monotonic()
        stream = self._log(reading.spool.position, follow=True)
        async with self._patience.attend(stream):
            while (data := await self._next(stream, reading)) is not None:
                reading.take(data)
                if reading.full:
                    self._too_much(self._attempt)
                    return
                if time.monotonic() - remembered > REMEMBER_SECONDS:
                    await asyncio.to_thread(reading.spool.remember)
                    self._say("")
                    remembered = time.monotonic()

    async def _next(self, stream: AsyncGenerator[bytes, None], reading: Pass) -> bytes | None:
        """Raises Silence: the stream is dead, as far as can be told."""
        while True:
            try:
                return await self._patience.next(stream)
            except Silence:
                # One that lives is kept: asked for anew, the log might not have its last line any more, and nobody
                # could say then whether something is missing.
                if self._patience.over or (await self._has_more(reading) and not self._patience.has_next):
                    raise

    async def _has_more(self, reading: Pass) -> bool:
        """Whether the kubelet has more than what came here; where it cannot be asked, the next look says so."""
        known, lines = Known(reading.spool.position), Lines()
        try:
            async with asyncio.timeout(LOOK_SECONDS), aclosing(self._log(reading.spool.position, follow=False)) as look:
                async for data in look:
                    if any(entry.at and known.new(entry) for entry in lines.feed(data)):
                        return True
        except (HoldfastError, TimeoutError):
            return self._now() is None
        return False

    def _log(self, position: Position, follow: bool) -> AsyncGenerator[bytes, None]:
        since = position.last // NANOSECONDS
        return self._cluster.log(self._pod.namespace, self._pod.name, names.CONTAINER, since, follow=follow)

    def _is_over(self) -> bool:
        return self._ended or _has_ended(self._now())

    def _now(self) -> PodView | None:
        _, pods = self._cluster.known(str(self._attempt))
        return next((pod_view(raw) for raw in pods if raw["metadata"]["uid"] == self._pod.uid), None)


def _has_ended(pod: PodView | None) -> bool:
    return pod is not None and (pod.over or pod.terminated is not None)
