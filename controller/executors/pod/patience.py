"""How long a stream may be silent before somebody looks whether it is dead (requirements 3.2, 4.2).

A machine, a NAT or a load balancer that dies without a word leaves a connection on which nothing will ever come: from
here it looks like a command that prints nothing. So silence is no failure, but it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

SILENT_SECONDS = 300.0  # while the command runs: one more request in this time from each that prints nothing
OVER_SECONDS = 5.0  # once it is over, when a kubelet has all there is to tell; each time twice as long
OVER_MOST_SECONDS = 60.0


class Silence(Exception):
    """Nothing came for too long."""


class Patience:
    """See the module; for one log, however often it is asked for.

    Attributes:
        over: the command is.
    """

    def __init__(self) -> None:
        self.over = False
        self._seconds = SILENT_SECONDS
        self._coming: asyncio.Future[bytes | None] | None = None
        self._waiting: asyncio.Timeout | None = None

    def hurry(self) -> None:
        """The command is over: what does not come soon will not."""
        if self.over:
            return
        self.over, self._seconds = True, OVER_SECONDS
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time() + OVER_SECONDS)

    @asynccontextmanager
    async def attend(self, stream: AsyncGenerator[bytes, None]) -> AsyncIterator[None]:
        """`next` may be asked for its data; it is closed in the end, whatever it was about to say."""
        try:
            yield
        finally:
            if self._coming is not None:
                self._coming.cancel()
                await asyncio.gather(self._coming, return_exceptions=True)
                self._coming = None
            await stream.aclose()

    async def next(self, stream: AsyncGenerator[bytes, None]) -> bytes | None:
        """What comes next; None: it has ended.

        Raises:
            Silence: nothing came; what comes later can still be asked for.
            Exception: what the stream raises.
        """
        coming = self._coming = self._coming or asyncio.ensure_future(anext(stream, None))
        try:
            async with asyncio.timeout(self._seconds) as self._waiting:
                await asyncio.wait({coming})
        except TimeoutError as error:
            if self.over:
                self._seconds = min(2 * self._seconds, OVER_MOST_SECONDS)
            raise Silence from error
        finally:
            self._waiting = None
        self._coming = None
        return coming.result()

    @property
    def has_next(self) -> bool:
        """Whether something came after all."""
        return self._coming is not None and self._coming.done()
