"""Redirects: followed with the whole message, judged as any URL, and never without end (6.3, 6.4)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from controller.decisions.answer import Meaning
from controller.delivery.guard import Guard
from controller.delivery.sender import MAX_REDIRECTS
from tests.integration.delivery.names import name_server
from tests.integration.delivery.receivers import (
    OK,
    PAYLOAD,
    SECRET,
    Authority,
    answer_of,
    listening,
    message,
    read_request,
    sender,
)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
async def test_redirects_are_followed_with_the_whole_message(code: int) -> None:
    """6.3: the POST is made again; further headers stay with the host that they are for."""
    async with listening() as last:
        async with listening(answer=answer_of(code, f"Location: {last.url}?x=1")) as first, sender() as sending:
            answer = await sending.send(message(first.url, headers={"Authorization": "Bearer t0ken"}))
        assert answer.meaning is Meaning.DELIVERED and f":{last.port}" in answer.message
        (got,) = last.requests
        assert got.line == "POST /hook?x=1 HTTP/1.1" and got.body == PAYLOAD.encode()
        assert "authorization" not in got.headers and first.requests[0].headers["authorization"] == "Bearer t0ken"
        Webhook(SECRET).verify(got.body, got.headers)


async def test_a_relative_redirect_keeps_the_headers() -> None:
    """6.3: it is the same host."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            got.append(await read_request(reader))
            writer.write(answer_of(308, "Location: ../moved") if len(got) == 1 else OK)

    got: list[object] = []
    async with listening(talk) as receiver, sender() as sending:
        answer = await sending.send(message(receiver.url, headers={"X-Key": "k"}))
    assert answer.meaning is Meaning.DELIVERED
    second = got[1]
    assert getattr(second, "line", "") == "POST /moved HTTP/1.1" and getattr(second, "headers", {})["x-key"] == "k"


async def test_a_loop_of_redirects_ends() -> None:
    """6.3: at most three, whoever answers."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            receiver.requests.append(await read_request(reader))
            writer.write(answer_of(307, f"Location: {receiver.url}"))

    async with listening(talk) as receiver, sender() as sending:
        answer = await sending.send(message(receiver.url))
    assert (answer.meaning, answer.reason) == (Meaning.FAILED, "TooManyRedirects")
    assert len(receiver.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/iam/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://10.0.0.1/",
        "//192.168.0.1/",
        "http://127.0.0.2:{other}/",
        "http://localhost:{other}/",
        "http://inner.example.org:{other}/",
        "http://user:password@127.0.0.1:{port}/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://[",
        "\\\\127.0.0.2\\x",
        "http://127.0.0.1\\@127.0.0.2:{other}/",
    ],
)
async def test_a_redirect_is_judged_as_any_url(location: str) -> None:
    """6.4: to a metadata address, to a private one, by name, by form: nothing connects there."""
    rules = Guard.of("127.0.0.1/32", "", "1-65535")
    async with listening(host="127.0.0.2") as other, name_server(lambda name, before: ["127.0.0.2"]) as (_, resolve):
        async with sender(rules, resolve=resolve) as sending:

            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while True:
                    await read_request(reader)
                    to = location.format(other=other.port, port=receiver.port)
                    writer.write(answer_of(302, f"Location: {to}"))

            async with listening(talk) as receiver:
                answer = await sending.send(message(receiver.url))
        assert other.connections == 0
    if location.startswith("\\"):  # a path, as RFC 3986 reads it; refused for its backslashes
        assert answer.meaning is not Meaning.DELIVERED
    else:
        assert answer.meaning is Meaning.UNSENT and answer.reason in ("AddressRefused", "UrlRefused", "RedirectRefused")


async def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path) -> None:
    """6.4: what was sealed stays sealed."""
    authority = Authority.make(tmp_path, "127.0.0.1")
    async with listening() as plain:
        answer_tls = answer_of(307, f"Location: {plain.url}")
        async with (
            listening(tls=authority.server, answer=answer_tls) as first,
            sender(tls=authority.trusted) as sending,
        ):
            answer = await sending.send(message(first.url.replace("http:", "https:")))
        assert answer.reason == "RedirectRefused" and plain.connections == 0
