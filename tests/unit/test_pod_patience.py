"""How long a silent stream is waited for (requirements 3.2, 4.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from controller.executors.pod import patience
from controller.executors.pod.patience import Patience, Silence


async def test_silence_is_told_from_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """4.2: an output is whole at its end only; a stream that was silent may still speak."""
    monkeypatch.setattr(patience, "SILENT_SECONDS", 2.0)  # what is there already is not late on a slow machine
    one, speaks = Patience(), asyncio.Event()

    async def late() -> AsyncGenerator[bytes, None]:
        yield b"a"
        await speaks.wait()
        yield b"b"

    found = late()
    async with one.attend(found):
        assert await one.next(found) == b"a"
        with pytest.raises(Silence):
            await one.next(found)
        assert not one.has_next
        speaks.set()
        assert [await one.next(found), await one.next(found)] == [b"b", None]


async def test_once_the_command_is_over_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """4.2: also of a wait that is under way; the next is longer, for a kubelet that has much to do."""
    monkeypatch.setattr(patience, "OVER_SECONDS", 0.05)
    one, clock = Patience(), asyncio.get_running_loop().time
    for seconds in (0.05, 0.1, 0.2):
        began, found = clock(), silent()
        async with one.attend(found):
            waiting = asyncio.create_task(one.next(found))
            await asyncio.sleep(0)
            one.hurry()
            with pytest.raises(Silence):
                await asyncio.wait_for(waiting, 10)
        assert clock() - began >= seconds * 0.99
        with pytest.raises(StopAsyncIteration):
            await anext(found)


async def silent() -> AsyncGenerator[bytes, None]:
    await asyncio.Event().wait()
    yield b""
