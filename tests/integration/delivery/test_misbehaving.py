"""Receivers of every temper on real sockets: every try ends, and no secret is kept (6.3, 6.4)."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import tracemalloc

import httpx
import pytest

from controller.api.callback import MAX_SNIPPET
from controller.decisions.answer import Meaning
from controller.delivery import sender as module
from tests.integration.delivery.names import name_server
from tests.integration.delivery.receivers import (
    SECRET,
    answer_of,
    listening,
    message,
    read_request,
    sender,
)
from tests.integration.delivery.tempers import (
    a_byte_at_a_time,
    deaf,
    endless_headers,
    endless_informational,
    endless_line,
    half,
    nothing,
    reset,
    reset_at_once,
    rubbish,
)


@pytest.mark.parametrize(
    ("talk", "reasons", "limit"),
    [
        (nothing, {"Timeout"}, 1.0),
        (deaf, {"Timeout"}, 1.0),
        (a_byte_at_a_time, {"Timeout"}, 1.0),
        (endless_informational, {"Timeout"}, 1.0),
        (endless_headers, {"BadAnswer"}, 60.0),  # ended by their size, not by the time
        (endless_line, {"BadAnswer"}, 60.0),
        (reset, {"ConnectionBroken", "BadAnswer"}, 60.0),
        (reset_at_once, {"ConnectionBroken", "BadAnswer"}, 60.0),
        (rubbish, {"BadAnswer"}, 60.0),
        (half, {"BadAnswer", "ConnectionBroken"}, 60.0),
    ],
)
async def test_every_try_ends(talk: object, reasons: set[str], limit: float) -> None:
    """Faults: never answers, one byte a minute, endless headers, resets, rubbish; in time, in bounds, with a reason."""
    tracemalloc.start()
    try:
        async with listening(talk) as receiver, sender() as sending:  # type: ignore[arg-type]
            began = time.monotonic()
            answer = await sending.send(message(receiver.url, total_seconds=limit))
            took = time.monotonic() - began
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert answer.meaning is Meaning.FAILED and answer.reason in reasons, answer
    assert took < limit + 30 and answer.code is None
    assert SECRET not in answer.message and len(answer.message) <= 512


@pytest.mark.parametrize("slow", [False, True])
async def test_an_endless_body_changes_nothing(slow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults: the status was said; what follows is cut off in time and size, and at most 4 KiB stay."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nz\r\n" if slow else b"10000\r\n" + b"z" * 65536 + b"\r\n")
            await writer.drain()
            if slow:
                await asyncio.sleep(0.2)

    # The slow one ends by the time for a body, the fast one by its size; the limit for all would make it a failure.
    monkeypatch.setattr(module, "READ_SECONDS", 2.0 if slow else 600.0)
    async with listening(talk) as receiver, sender() as sending:
        answer = await sending.send(message(receiver.url))
        assert answer.meaning is Meaning.DELIVERED and set(answer.snippet) == {"z"}
        assert len(answer.snippet) <= MAX_SNIPPET


async def test_a_compressed_bomb_is_not_unpacked() -> None:
    """Faults: identity is asked for, and bodies are kept as they come."""
    body = b"\x1f\x8b\x08\x00" + b"\x00" * 100
    async with listening(answer=answer_of(200, "Content-Encoding: gzip", body=body)) as receiver, sender() as sending:
        answer = await sending.send(message(receiver.url))
    assert receiver.requests[0].headers["accept-encoding"] == "identity"
    assert answer.meaning is Meaning.DELIVERED and len(answer.snippet) < 600


async def test_no_secret_of_an_echo_is_kept() -> None:
    """6.4: a receiver that sends back what it got, raw, escaped or encoded, also across the cut."""
    token = 'Bearer t0ken/with+signs=&"quotes"'

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = await read_request(reader)
        for_json = json.dumps({"headers": got.headers, "secret": SECRET, "key": SECRET[6:]})
        hexed = bytes(range(32)).hex()
        body = f"{for_json} {httpx.QueryParams({'a': token})} {hexed} {'x' * 3300}{SECRET}{SECRET}"
        writer.write(answer_of(500, body=body.encode()))

    async with listening(talk) as receiver, sender() as sending:
        answer = await sending.send(message(receiver.url, headers={"Authorization": token}))
    for hidden in (SECRET, SECRET[6:], SECRET[6:20], token, "t0ken", bytes(range(32)).hex()):
        assert hidden not in answer.snippet, hidden
    assert "[secret]" in answer.snippet and len(answer.snippet.encode()) <= MAX_SNIPPET


async def test_what_is_answered_is_plain_text() -> None:
    """6.4: no control characters for the terminal of whoever looks at it, no broken UTF-8."""
    async with (
        listening(answer=answer_of(400, body=b"\x1b[2J\x00bad\xff\xfe\r\nline")) as receiver,
        sender() as sending,
    ):
        answer = await sending.send(message(receiver.url))
    assert all(c.isprintable() or c in "\n\t" for c in answer.snippet) and "bad" in answer.snippet


async def test_nobody_listens() -> None:
    """Faults: refused at once, with the kernel's word for it."""
    async with listening() as receiver:
        pass
    async with sender() as sending:
        answer = await sending.send(message(receiver.url))
    assert (answer.meaning, answer.reason) == (Meaning.FAILED, "ConnectFailed") and "refused" in answer.message


async def test_a_connection_that_hangs_ends_in_time() -> None:
    """6.3: the connect limit is its own. A full backlog answers no SYN."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            async with sender() as sending:
                answer = await sending.send(message(f"http://127.0.0.1:{port}/", connect_seconds=0.5))
        finally:
            for filler in fillers:
                filler.close()
    assert answer.reason == "ConnectTimeout", "not the limit for the whole try"


async def test_only_ipv6() -> None:
    """Faults: a name with nothing but an IPv6 address, and an address in brackets."""
    async with (
        listening(host="::1") as receiver,
        name_server(lambda name, before: ["::1"]) as (_, resolve),
        sender(resolve=resolve) as sending,
    ):
        assert (await sending.send(message(receiver.url))).meaning is Meaning.DELIVERED
        named = await sending.send(message(f"http://six.example.org:{receiver.port}/"))
        assert named.meaning is Meaning.DELIVERED, named


async def test_the_second_address_is_tried() -> None:
    """6.3: one that is down does not hide one that is up."""
    async with (
        listening(host="127.0.0.9") as receiver,
        name_server(lambda name, before: ["127.0.0.8", "127.0.0.9"]) as (_, resolve),
        sender(resolve=resolve) as sending,
    ):
        answer = await sending.send(message(f"http://two.example.org:{receiver.port}/"))
    assert answer.meaning is Meaning.DELIVERED
