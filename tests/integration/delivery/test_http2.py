"""Callbacks over HTTP/2, where a receiver offers it (design 8)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from hyperframe.frame import DataFrame

from controller.decisions.answer import Meaning
from tests.integration.delivery.receivers import PAYLOAD, Authority, Request, listening, message, sender


class Http2:
    """A small HTTP/2 receiver: answers every request with 204, or with what `body` is for ever."""

    def __init__(self, body: bytes = b"") -> None:
        self.requests: list[Request] = []
        self._body = body

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state = h2.connection.H2Connection(config=h2.config.H2Configuration(client_side=False))
        state.initiate_connection()
        writer.write(state.data_to_send())
        heads: dict[int, dict[str, str]] = {}
        bodies: dict[int, bytes] = {}
        while data := await reader.read(65536):
            for event in state.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    heads[event.stream_id] = {_text(name): _text(value) for name, value in event.headers}
                if isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                    state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if isinstance(event, h2.events.StreamEnded):
                    head = heads[event.stream_id]
                    self.requests.append(Request(head[":path"], head, bodies.get(event.stream_id, b"")))
                    self._answer(state, event.stream_id)
            writer.write(state.data_to_send())
            await writer.drain()

    def _answer(self, state: h2.connection.H2Connection, stream: int) -> None:
        if not self._body:
            state.send_headers(stream, [(":status", "204")], end_stream=True)
            return
        state.send_headers(stream, [(":status", "200")])
        state.send_data(stream, self._body[: state.max_outbound_frame_size], end_stream=True)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


async def test_one_connection_carries_many(tmp_path: Path) -> None:
    """Design 8: negotiated in TLS, multiplexed, the payload byte for byte."""
    authority, receiver = Authority.make(tmp_path, "127.0.0.1", alpn=("h2",)), Http2()
    async with listening(receiver, tls=authority.server) as where, sender(tls=authority.trusted) as sending:
        url = where.url.replace("http:", "https:")
        first = await sending.send(message(url))
        assert first.meaning is Meaning.DELIVERED, first
        rest = await asyncio.gather(*(sending.send(message(url)) for _ in range(20)))
    assert all(answer.code == 204 for answer in rest) and where.connections == 1
    assert len(receiver.requests) == 21 and all(got.body == PAYLOAD.encode() for got in receiver.requests)
    assert receiver.requests[0].headers["webhook-id"] == "msg_1"


async def test_a_body_over_http2(tmp_path: Path) -> None:
    """6.4: its beginning is kept."""
    authority, receiver = Authority.make(tmp_path, "127.0.0.1", alpn=("h2",)), Http2(b"told " * 2000)
    async with listening(receiver, tls=authority.server) as where, sender(tls=authority.trusted) as sending:
        answer = await sending.send(message(where.url.replace("http:", "https:")))
    assert (
        answer.meaning is Meaning.DELIVERED and answer.snippet.startswith("told told") and len(answer.snippet) == 4096
    )


async def test_rubbish_over_http2(tmp_path: Path) -> None:
    """Faults: frames that are none."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"\xff" * 1000)
        await writer.drain()
        await reader.read()

    authority = Authority.make(tmp_path, "127.0.0.1", alpn=("h2",))
    async with listening(talk, tls=authority.server) as where, sender(tls=authority.trusted) as sending:
        answer = await sending.send(message(where.url.replace("http:", "https:"), total_seconds=3.0))
    assert answer.meaning is Meaning.FAILED and answer.reason in ("BadAnswer", "ConnectionBroken", "Timeout"), answer


@pytest.mark.parametrize("body", [b"abc", b"nine bytes"])
async def test_a_body_of_another_length_over_http2(tmp_path: Path, body: bytes) -> None:
    """Faults: content-length is a lie; the status stands, and the next try begins with a new connection."""
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        state = h2.connection.H2Connection(config=h2.config.H2Configuration(client_side=False))
        state.initiate_connection()
        writer.write(state.data_to_send())
        while data := await reader.read(65536):
            for event in state.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    requests += 1
                    state.send_headers(event.stream_id, [(":status", "200"), ("content-length", "5")])
                    frame = DataFrame(event.stream_id, body, flags=["END_STREAM"])
                    writer.write(state.data_to_send())
                    await writer.drain()
                    await asyncio.sleep(0.1)  # the body is to come in a segment of its own
                    writer.write(frame.serialize())
            writer.write(state.data_to_send())
            await writer.drain()

    authority = Authority.make(tmp_path, "127.0.0.1", alpn=("h2",))
    async with listening(talk, tls=authority.server) as where, sender(tls=authority.trusted) as sending:
        for tries in (1, 2):
            answer = await sending.send(message(where.url.replace("http:", "https:")))
            assert (answer.meaning, answer.code, requests) == (Meaning.DELIVERED, 200, tries)
