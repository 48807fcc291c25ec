"""Receivers of every temper on real sockets: what is sent, what comes back, and that every try ends (6.2-6.4)."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook
from standardwebhooks.exceptions import WebhookVerificationError

from controller.api.callback import MAX_SNIPPET
from controller.decisions.answer import Meaning
from controller.delivery.guard import Guard
from controller.delivery.sender import MAX_REDIRECTS, retry_after
from controller.delivery.signing import BadSecret, Signer
from tests.eventually import eventually
from tests.integration.delivery.names import name_server
from tests.integration.delivery.receivers import (
    OK,
    OTHER,
    PAYLOAD,
    SECRET,
    Authority,
    Receiver,
    listening,
    message,
    read_request,
    sender,
)


def answer_of(code: int, *headers: str, body: bytes = b"") -> bytes:
    """One whole HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {code} Word", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_what_is_sent() -> None:
    """6.2: Standard Webhooks headers, JSON, our name; the payload byte for byte; one connection for many."""
    async with listening() as receiver, sender() as sending:
        for _ in range(3):
            answer = await sending.send(message(receiver.url, headers={"Authorization": "Bearer t0ken"}))
            assert answer.meaning is Meaning.DELIVERED and answer.code == 204
        assert receiver.connections == 1
        got = receiver.requests[0]
        assert got.line == "POST /hook HTTP/1.1" and got.body == PAYLOAD.encode()
        assert got.headers["content-type"] == "application/json" and got.headers["user-agent"] == "Holdfast/test"
        assert got.headers["authorization"] == "Bearer t0ken" and got.headers["webhook-id"] == "msg_1"
        assert got.headers["host"] == f"127.0.0.1:{receiver.port}" and "accept-encoding" in got.headers
        assert Webhook(SECRET).verify(got.body, got.headers)["type"] == "batchjob.succeeded"
        with pytest.raises(WebhookVerificationError):
            Webhook(OTHER).verify(got.body, got.headers)


async def test_every_secret_signs() -> None:
    """6.2: while one is rotated out, receivers with either take it."""
    signer = Signer(f"{OTHER}\n{SECRET}\n".encode())
    headers = signer.headers("msg_1", PAYLOAD, datetime.now(UTC))
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(PAYLOAD, headers)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"  ",
        b"secret",
        b"whsec_",
        b"whsec_!!!!",
        b"whsec_c2hvcnQ=",
        b"\xff\xfe",
        SECRET.encode()[6:],
        (SECRET + " " * 1 + "x").encode(),
    ],
)
def test_what_is_no_secret_is_never_told(value: bytes) -> None:
    """6.4: the error says what is wrong with it and not what it is."""
    with pytest.raises(BadSecret) as refused:
        Signer(value)
    for part in value.split():
        assert len(part) < 7 or part.decode("latin-1") not in str(refused.value)
    assert refused.value.__cause__ is None


def test_secrets_show_in_no_repr() -> None:
    """6.4: neither of the signer nor of the message."""
    told = repr(message("http://example.org/", headers={"Authorization": "Bearer t0ken"}))
    assert SECRET not in told and "t0ken" not in told and SECRET[6:] not in repr(Signer(SECRET.encode()))


@pytest.mark.parametrize(
    ("code", "meaning", "reason"),
    [
        (200, Meaning.DELIVERED, "Delivered"),
        (202, Meaning.DELIVERED, "Delivered"),
        (410, Meaning.GONE, "Gone"),
        (429, Meaning.BUSY, "TooManyRequests"),
        (408, Meaning.BUSY, "ReceiverBusy"),
        (400, Meaning.REFUSED, "ReceiverRefuses"),
        (404, Meaning.REFUSED, "ReceiverRefuses"),
        (500, Meaning.FAILED, "ReceiverFails"),
        (503, Meaning.FAILED, "ReceiverFails"),
        (303, Meaning.FAILED, "Redirected"),
        (302, Meaning.FAILED, "Redirected"),
    ],
)
async def test_what_is_answered(code: int, meaning: Meaning, reason: str) -> None:
    """6.3: the status decides; a redirect to nowhere is a failure."""
    async with listening(answer=answer_of(code, body=b"told")) as receiver, sender() as sending:
        answer = await sending.send(message(receiver.url))
    assert (answer.code, answer.meaning, answer.reason, answer.snippet) == (code, meaning, reason, "told")
    assert str(code) in answer.message and str(receiver.port) in answer.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "9" * 10}, 9999999999),
        ({"retry-after": "9" * 11}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"retry-after": "Fri, 20 Nov 2026 12:02:00 GMT"}, 120),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "Fri, 20 Nov 2026 12:02:00 GMT", "date": "Fri, 20 Nov 2026 12:01:00 GMT"}, 60),
        ({"retry-after": "Fri, 20 Nov 2026 12:02:00 GMT", "date": "rubbish"}, 120),
        ({"retry-after": "Fri, 99 Nov 2026 12:02:00 GMT"}, None),
        ({"retry-after": "Fri, 20 Nov 99999999999999 12:02:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """6.3: seconds and dates (RFC 9110); a date by the receiver's own clock where it tells it."""
    assert retry_after(httpx.Headers(headers), datetime(2026, 11, 20, 12, 0, tzinfo=UTC)) == seconds


async def test_retry_after_of_a_real_answer() -> None:
    """6.3: both forms arrive."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    for header, least, most in (("Retry-After: 30", 30, 30), (f"Retry-After: {later}", 60, 90)):
        async with listening(answer=answer_of(429, header)) as receiver, sender() as sending:
            answer = await sending.send(message(receiver.url))
        assert answer.retry_after is not None and least <= answer.retry_after <= most


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


# --- receivers that misbehave


async def _nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _a_byte_at_a_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.2)


async def _endless_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    number = 0
    while True:
        number += 1
        writer.write(f"X-{number}: {'y' * 1000}\r\n".encode())
        await writer.drain()


async def _endless_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 ")
    while True:
        writer.write(b"O" * 65536)
        await writer.drain()


async def _endless_informational(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.transport.abort()


async def _reset_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"SSH-2.0-OpenSSH_9.2 " + SECRET.encode() + b"\r\n\r\n")


async def _half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")


@pytest.mark.parametrize(
    ("talk", "reasons", "most"),
    [
        (_nothing, {"Timeout"}, 3.0),
        (_deaf, {"Timeout"}, 3.0),
        (_a_byte_at_a_time, {"Timeout"}, 3.0),
        (_endless_informational, {"Timeout"}, 3.0),
        (_endless_headers, {"BadAnswer"}, 3.0),
        (_endless_line, {"BadAnswer"}, 3.0),
        (_reset, {"ConnectionBroken", "BadAnswer"}, 3.0),
        (_reset_at_once, {"ConnectionBroken", "BadAnswer"}, 3.0),
        (_rubbish, {"BadAnswer"}, 3.0),
        (_half, {"BadAnswer", "ConnectionBroken"}, 3.0),
    ],
)
async def test_every_try_ends(talk: object, reasons: set[str], most: float) -> None:
    """Faults: never answers, one byte a minute, endless headers, resets, rubbish; in time, in bounds, with a reason."""
    tracemalloc.start()
    try:
        async with listening(talk) as receiver, sender() as sending:  # type: ignore[arg-type]
            began = time.monotonic()
            answer = await sending.send(message(receiver.url, total_seconds=1.0))
            took = time.monotonic() - began
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert answer.meaning is Meaning.FAILED and answer.reason in reasons, answer
    assert took < most and answer.code is None
    assert SECRET not in answer.message and len(answer.message) <= 512


@pytest.mark.parametrize("slow", [False, True])
async def test_an_endless_body_changes_nothing(slow: bool) -> None:
    """Faults: the status was said; what follows is cut off in time and size, and at most 4 KiB stay."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nz\r\n" if slow else b"10000\r\n" + b"z" * 65536 + b"\r\n")
            await writer.drain()
            if slow:
                await asyncio.sleep(0.2)

    async with listening(talk) as receiver, sender() as sending:
        began = time.monotonic()
        answer = await sending.send(message(receiver.url, total_seconds=30.0))
        assert time.monotonic() - began < (10 if slow else 4), "the fast one ends by its size, not by time"
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
                began = time.monotonic()
                answer = await sending.send(message(f"http://127.0.0.1:{port}/", connect_seconds=0.5))
        finally:
            for filler in fillers:
                filler.close()
    assert answer.reason == "ConnectTimeout" and time.monotonic() - began < 5


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


# --- TLS


async def test_tls_verifies_the_name_and_not_the_address(tmp_path: Path) -> None:
    """6.4: connected to by the judged address, trusted by the name in the URL."""
    authority = Authority.make(tmp_path, "hooks.example.org")
    async with (
        listening(tls=authority.server) as receiver,
        name_server(lambda name, before: ["127.0.0.1"]) as (_, resolve),
    ):
        async with sender(resolve=resolve, tls=authority.trusted) as sending:
            good = await sending.send(message(f"https://hooks.example.org:{receiver.port}/"))
            assert good.meaning is Meaning.DELIVERED, good
            for host in ("other.example.org", "127.0.0.1"):
                bad = await sending.send(message(f"https://{host}:{receiver.port}/"))
                assert (bad.meaning, bad.reason) == (Meaning.FAILED, "CertificateNotTrusted"), bad
        async with sender(resolve=resolve) as sending:
            unknown = await sending.send(message(f"https://hooks.example.org:{receiver.port}/"))
            assert unknown.reason == "CertificateNotTrusted" and "self" in unknown.message
    assert len(receiver.requests) == 1


async def test_a_certificate_that_has_ended(tmp_path: Path) -> None:
    """Faults: said as what it is."""
    authority = Authority.make(tmp_path, "127.0.0.1", days=-1)
    async with listening(tls=authority.server) as receiver, sender(tls=authority.trusted) as sending:
        answer = await sending.send(message(receiver.url.replace("http:", "https:")))
    assert answer.reason == "CertificateNotTrusted" and "expired" in answer.message


async def test_tls_with_who_speaks_none() -> None:
    """Faults: a plain receiver at an https URL, and one that hangs up or says nothing in the handshake."""
    for talk in (_rubbish_first, _reset_at_once, _deaf):
        async with listening(talk) as receiver, sender() as sending:
            url = receiver.url.replace("http:", "https:")
            answer = await sending.send(message(url, connect_seconds=1.0, total_seconds=3.0))
        assert answer.meaning is Meaning.FAILED and answer.code is None
        assert answer.reason in ("TLSFailed", "ConnectFailed", "ConnectTimeout", "ConnectionBroken"), answer


async def _rubbish_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.org ESMTP\r\n")
    await writer.drain()
    await reader.read(1)


# --- proxies


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """6.4: only the setting names one."""
    async with listening() as proxy, listening() as receiver:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with sender() as sending:
            assert (await sending.send(message(receiver.url))).meaning is Meaning.DELIVERED
        assert proxy.connections == 0 and receiver.connections == 1


async def test_the_proxy_of_the_setting_is_used() -> None:
    """6.4: for all, with its password; what the URL names plainly is still judged."""
    async with listening() as proxy:
        async with sender(Guard(), proxy=f"http://user:pass@127.0.0.1:{proxy.port}") as sending:
            answer = await sending.send(message("http://hooks.example.org/x"))
            assert answer.meaning is Meaning.DELIVERED
            refused = await sending.send(message("http://169.254.169.254/"))
            assert refused.reason == "AddressRefused"
        (got,) = proxy.requests
    assert got.line == "POST http://hooks.example.org/x HTTP/1.1"
    assert got.headers["proxy-authorization"].startswith("Basic ") and got.body == PAYLOAD.encode()


async def test_netrc_and_cookies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """6.4: nothing of the machine or of an earlier answer goes along."""
    with tempfile.NamedTemporaryFile("w", suffix="netrc") as file:
        file.write("machine 127.0.0.1 login me password hidden\n")
        file.flush()
        monkeypatch.setenv("NETRC", file.name)
        async with listening(answer=answer_of(200, "Set-Cookie: a=b; Path=/")) as receiver, sender() as sending:
            for _ in range(2):
                await sending.send(message(receiver.url))
    for got in receiver.requests:
        assert "authorization" not in got.headers and "cookie" not in got.headers


async def test_many_at_once_do_not_mix() -> None:
    """6.2: a hundred at once over several connections, each with its own answer."""
    async with listening() as receiver, sender() as sending:
        answers = await asyncio.gather(*(sending.send(message(receiver.url)) for _ in range(100)))
    assert all(answer.meaning is Meaning.DELIVERED for answer in answers) and len(receiver.requests) == 100


async def test_a_connection_closed_while_idle() -> None:
    """6.3: the receiver hangs up after each answer; the next try makes a new connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.requests.append(await read_request(reader))
        writer.write(OK)
        await writer.drain()

    receiver: Receiver
    async with listening(talk) as receiver, sender() as sending:
        for _ in range(5):
            answer = await sending.send(message(receiver.url))
            assert answer.meaning is Meaning.DELIVERED, answer
            await eventually(lambda: receiver.closed == receiver.connections)
    assert receiver.connections == 5
