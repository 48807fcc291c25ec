"""What is sent, what an answer means, and many tries at once, on real sockets (6.2, 6.3)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from standardwebhooks import Webhook
from standardwebhooks.exceptions import WebhookVerificationError

from controller.decisions.answer import Meaning
from controller.delivery.sender import retry_after
from controller.delivery.signing import BadSecret, Signer
from tests.eventually import eventually
from tests.integration.delivery.receivers import (
    OK,
    OTHER,
    PAYLOAD,
    SECRET,
    Receiver,
    answer_of,
    listening,
    message,
    read_request,
    sender,
)


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
