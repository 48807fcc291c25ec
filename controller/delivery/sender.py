"""One try of one callback: sign, POST, follow redirects, read the beginning of the answer (requirements 6.2-6.4).

Promises: `send` raises nothing that a receiver, a name server or a network can cause, it answers; it ends within the
message's time limit; it keeps at most 4 KiB of what was answered; no secret is in an Answer or in a `repr`.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from controller.api.callback import MAX_SNIPPET
from controller.decisions.answer import Answer, Meaning, meaning_of
from controller.delivery.connect import Unresolved
from controller.delivery.guard import Guard, Refused, Target
from controller.delivery.signing import Signer
from controller.delivery.snippet import snippet
from controller.delivery.transport import GuardedTransport

MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 307, 308})  # the POST is made again; a 303 asks for something else
READ_LIMIT = 1024 * 1024  # bytes of a body that are read, to keep the connection; beyond them it is closed
READ_SECONDS = 5.0  # for a body: the status is known by then, so a slow one changes nothing
KEPT = 4 * MAX_SNIPPET  # bytes that are looked through for secrets
MAX_MESSAGE = 512  # bytes of a message with words from elsewhere


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent where.

    Args:
        headers: further ones, from a Secret.
        connect_seconds: until the connection stands, and again for TLS.
        total_seconds: for the whole try.
    """

    url: str
    id: str
    payload: str
    signer: Signer = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_seconds: float = 10.0
    total_seconds: float = 30.0

    def secrets(self) -> list[bytes]:
        """What must not be kept of an answer."""
        values = [value for value in self.headers.values() if value]
        return [*self.signer.revealing(), *(part.encode() for value in values for part in {value, value.split()[-1]})]


class Sender:
    """All callbacks of one controller go through one of these.

    Args:
        transport: made with the same `guard`.
        version: of Holdfast, for the User-Agent.
        now: wall clock, timezone-aware UTC.
    """

    def __init__(
        self,
        guard: Guard,
        transport: GuardedTransport,
        version: str = "unknown",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._guard = guard
        self._transport = transport
        self._agent = f"Holdfast/{version}"
        self._now = now

    async def send(self, message: Message) -> Answer:
        """Make one try.

        Raises:
            asyncio.CancelledError: the caller was cancelled.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(message.total_seconds):
                answer = await self._answer(message)
        except TimeoutError:
            text = f"no answer within {message.total_seconds:g} s"
            answer = Answer(Meaning.FAILED, "Timeout", text)
        if answer.meaning is not Meaning.DELIVERED:  # words of a receiver may be in it, and it knows the secrets
            answer = replace(answer, message=snippet(answer.message.encode(), message.secrets(), MAX_MESSAGE))
        return replace(answer, duration_ms=round((time.monotonic() - began) * 1000))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def _answer(self, message: Message) -> Answer:
        target: Target | None = None
        try:
            target = self._guard.target(message.url)
            first = target
            for _ in range(MAX_REDIRECTS + 1):
                answer, location = await self._post(message, target, target.origin == first.origin)
                if location is None:
                    return answer
                target = self._redirected(target, location)
            text = f"more than {MAX_REDIRECTS} redirects, the last one to {target.origin}"
            return Answer(Meaning.FAILED, "TooManyRedirects", text, answer.code)
        except Refused as refused:
            return Answer(Meaning.UNSENT, refused.reason, f"not sent: {refused.message}")
        except Unresolved as unknown:
            return Answer(Meaning.FAILED, "NameNotFound", str(unknown))
        except httpx.TransportError as error:
            assert target is not None
            return _no_answer(error, target.origin)

    def _redirected(self, target: Target, location: str) -> Target:
        try:
            url = target.url.join(location)
        except (httpx.InvalidURL, ValueError) as error:
            raise Refused("RedirectRefused", f"{target.origin} redirects to what is no URL") from error
        if target.url.scheme == "https" and url.scheme == "http":
            raise Refused("RedirectRefused", f"{target.origin} redirects from https to http")
        try:
            return self._guard.target(str(url))
        except Refused as refused:
            raise Refused(refused.reason, f"{target.origin} redirects to where: {refused.message}") from refused

    async def _post(self, message: Message, target: Target, same_origin: bool) -> tuple[Answer, str | None]:
        """One request; the second is where it redirects to."""
        response = await self._transport.handle_async_request(self._request(message, target, same_origin))
        try:
            code, location = response.status_code, response.headers.get("location")
            if code in REDIRECTS and location:
                await _read(response)  # an unread body would cost the connection
                return Answer(Meaning.FAILED, "Redirected", "", code), location
            body = await _read(response)
        finally:
            await response.aclose()
        shown = snippet(body, message.secrets(), MAX_SNIPPET)
        text = f"{code}{_phrase(code)} from {target.origin}"
        meaning = meaning_of(code)
        wait = retry_after(response.headers, self._now()) if meaning is not Meaning.DELIVERED else None
        return Answer(meaning, _reason(code), text, code, retry_after=wait, snippet=shown), None

    def _request(self, message: Message, target: Target, same_origin: bool) -> httpx.Request:
        """Further headers may be credentials: they stay with the host that they were meant for."""
        further = message.headers if same_origin else {}
        headers = {
            **further,
            **message.signer.headers(message.id, message.payload, self._now()),
            "content-type": "application/json",
            "user-agent": self._agent,
            "accept-encoding": "identity",
            "accept": "*/*",
        }
        total = message.total_seconds
        limits = {"connect": message.connect_seconds, "read": total, "write": total, "pool": total}
        return httpx.Request(
            "POST", target.url, headers=headers, content=message.payload.encode(), extensions={"timeout": limits}
        )


async def _read(response: httpx.Response) -> bytes:
    """The beginning of the body; what is slow, endless or breaks off does not change what the status said."""
    kept, size = b"", 0
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for part in response.stream:
                size += len(part)
                kept += part[: KEPT - len(kept)]
                if size > READ_LIMIT:
                    break
    except (TimeoutError, httpx.TransportError):
        return kept
    return kept


def _phrase(code: int) -> str:
    try:
        return f" {HTTPStatus(code).phrase}"
    except ValueError:
        return ""


def _reason(code: int) -> str:
    """CamelCase, from a small set: Events with one reason are one Event."""
    match meaning_of(code):
        case Meaning.DELIVERED:
            return "Delivered"
        case Meaning.GONE:
            return "Gone"
        case Meaning.BUSY:
            return "TooManyRequests" if code == 429 else "ReceiverBusy"
        case Meaning.REFUSED:
            return "ReceiverRefuses"
        case _:
            return "ReceiverFails" if code >= 500 else "Redirected" if code >= 300 else "BadAnswer"


def _no_answer(error: httpx.TransportError, origin: str) -> Answer:
    """No whole answer: the reason, and the words of the layer that failed."""
    causes = list(_causes(error))
    cause = next((each for each in causes if isinstance(each, ssl.SSLError)), None)
    words = next((os.strerror(each.errno) for each in causes if isinstance(each, OSError) and each.errno), str(error))
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason, text = "CertificateNotTrusted", f"the certificate of {origin} is not good: {cause.verify_message}"
    elif cause is not None:
        reason, text = "TLSFailed", f"no TLS with {origin}: {cause.reason or 'it breaks off'}"
    elif isinstance(error, httpx.ConnectTimeout):
        reason, text = "ConnectTimeout", f"no connection to {origin} in time"
    elif isinstance(error, httpx.TimeoutException):
        reason, text = "Timeout", f"{origin} does not answer in time"
    elif isinstance(error, httpx.ProxyError):
        reason, text = "ProxyFailed", f"the proxy does not reach {origin}: {error}"
    elif isinstance(error, httpx.ConnectError):
        reason, text = "ConnectFailed", f"no connection to {origin}: {words}"
    elif isinstance(error, httpx.ProtocolError):
        reason, text = "BadAnswer", f"{origin} does not answer as HTTP wants it: {error}"
    else:
        reason, text = "ConnectionBroken", f"the connection to {origin} broke off: {words}"
    return Answer(Meaning.FAILED, reason, text.rstrip(": "))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors below it, from the nearest."""
    below = error.__cause__ or error.__context__
    while below is not None:
        yield below
        below = below.__cause__ or below.__context__


def retry_after(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds that Retry-After asks for (RFC 9110 10.2.3); None where it is absent or unreadable.

    A date is compared with the answer's own Date where it has one: the two clocks may differ.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,10}", text):
        return float(text)
    asked = _date(text)
    if asked is None:
        return None
    return max(0.0, (asked - (_date(headers.get("date", "")) or now)).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text[:64])
    except (ValueError, OverflowError, IndexError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
