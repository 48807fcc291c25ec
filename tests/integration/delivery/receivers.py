"""Receivers of every temper on real sockets of this machine, and the sender that is tried against them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from controller.delivery.connect import Resolver
from controller.delivery.guard import Guard
from controller.delivery.sender import Message, Sender
from controller.delivery.signing import Signer
from controller.delivery.transport import GuardedTransport

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
PAYLOAD = '{"type":"batchjob.succeeded","timestamp":"2026-11-20T12:00:00Z","data":{"event":"Succeeded"}}'
OK = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Request:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """One listening socket.

    Args:
        connections: how many were made to it.
        closed: how many of them it has ended.
    """

    port: int
    host: str = "127.0.0.1"
    connections: int = 0
    closed: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/hook"


@contextlib.asynccontextmanager
async def listening(
    talk: Talk | None = None, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, answer: bytes = OK
) -> AsyncIterator[Receiver]:
    """A receiver that says `answer` to every request, or does as `talk` wants."""
    receiver = Receiver(0, host)
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        open_now.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            if talk is not None:
                await talk(reader, writer)
            else:
                while True:
                    receiver.requests.append(await read_request(reader))
                    writer.write(answer)
                    await writer.drain()
        open_now.discard(writer)
        writer.close()
        receiver.closed += 1

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for writer in list(open_now):
            writer.transport.abort()
        await asyncio.wait_for(server.wait_closed(), 60)


async def read_request(reader: asyncio.StreamReader) -> Request:
    """One HTTP/1.1 request with a Content-Length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(head[0], headers, body)


def message(url: str, **more: object) -> Message:
    """What is sent in most tests; a test that waits for a limit gives its own."""
    given: dict[str, object] = {"connect_seconds": 30.0, "total_seconds": 60.0} | more
    return Message(url, "msg_1", PAYLOAD, Signer(SECRET.encode()), **given)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def sender(
    guard: Guard | None = None,
    *,
    resolve: Resolver | None = None,
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
) -> AsyncIterator[Sender]:
    """A sender that may reach loopback at any port unless told otherwise."""
    rules = guard or Guard.of("127.0.0.0/8,::1/128", "", "1-65535")
    made = Sender(rules, GuardedTransport(rules, resolve=resolve, tls=tls, proxy=proxy), "test")
    try:
        yield made
    finally:
        await made.aclose()


@dataclass(frozen=True)
class Authority:
    """A certificate authority of one test, and a server certificate for one name."""

    trusted: ssl.SSLContext
    server: ssl.SSLContext

    @classmethod
    def make(cls, folder: Path, name: str, *, days: int = 1, alpn: tuple[str, ...] = ("http/1.1",)) -> Authority:
        """For a DNS name or an address.

        Args:
            days: until the certificate ends; below 0 it has ended.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=10))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        crt, pem = folder / f"{name.replace(':', '_')}.crt", folder / f"{name.replace(':', '_')}.key"
        crt.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        pem.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(crt, pem)
        server.set_alpn_protocols(list(alpn))
        return cls(ssl.create_default_context(cafile=str(crt)), server)


def answer_of(code: int, *headers: str, body: bytes = b"") -> bytes:
    """One whole HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {code} Word", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
