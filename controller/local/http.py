"""One request to a server of the home: loopback or its unix socket, TLS with the home's own CA, with a time limit.

Only the standard library: `holdfast status` must answer at once, and a general HTTP client costs 0.3 s to import.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from controller.local.home import Home


@dataclass(frozen=True, slots=True)
class Response:
    """What the server answered."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Args:
        path: with its query.
        timeout_seconds: of each wait for the socket.
    """

    path: str
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 2.0


def tls_context(home: Home) -> ssl.SSLContext:
    """Trusts the home's CA and presents its admin certificate."""
    context = ssl.create_default_context(cafile=str(home.crt("ca")))
    context.load_cert_chain(home.crt("admin"), home.key("admin"))
    return context


async def over_tls(home: Home, port: int, request: Request, address: str = "127.0.0.1") -> Response:
    """Ask the server at `address`:`port`; raises OSError or http.client.HTTPException."""

    def ask() -> Response:
        connection = http.client.HTTPSConnection(
            address, port, timeout=request.timeout_seconds, context=tls_context(home)
        )
        return _ask(connection, request)

    return await asyncio.to_thread(ask)


async def plain(address: str, request: Request) -> Response:
    """Ask the server at `address` (host:port); raises OSError or http.client.HTTPException."""
    connection = http.client.HTTPConnection(address, timeout=request.timeout_seconds)
    return await asyncio.to_thread(_ask, connection, request)


async def over_socket(path: Path, request: Request) -> Response:
    """Ask the server at the unix socket `path`, however long; raises OSError or http.client.HTTPException."""
    return await asyncio.to_thread(_ask, _UnixConnection(path, request.timeout_seconds), request)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        # Socket paths are limited to 108 bytes (unix(7)); the one through /proc is short.
        directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{directory}/{self._path.name}")
        finally:
            os.close(directory)


def _ask(connection: http.client.HTTPConnection, request: Request) -> Response:
    try:
        connection.request(request.method, request.path, request.body, dict(request.headers))
        answer = connection.getresponse()
        return Response(answer.status, answer.read().decode(errors="replace"))
    finally:
        connection.close()
