"""Connections that obey the guard: names are looked up once, judged, and the judged address is the one connected to.

Promises: no second look-up stands between judging and connecting; TLS verifies the name, not the address; nothing is
read from the environment; a look-up that hangs holds up nobody but those who want the same name.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Protocol

import httpcore

from controller.delivery.addresses import Address, parse, plain
from controller.delivery.guard import Guard

MAX_LOOKUPS = 128  # threads that hang in look-ups
MAX_ADDRESSES = 4  # of one name that are tried, one after the other within the time limit

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class Unresolved(Exception):
    """A name has no address, or nobody could say."""


class Resolver(Protocol):
    """Finds the addresses of a name, most wanted first."""

    async def __call__(self, host: str) -> list[str]:
        """Addresses as texts.

        Raises:
            Unresolved: there are none, or nobody could say.
        """
        ...


class SystemResolver:
    """The resolver of the machine (getaddrinfo), in threads that nobody waits for at the end."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str) -> list[str]:
        running = self._running.get(host)
        if running is None:
            if len(self._running) >= MAX_LOOKUPS:
                raise Unresolved(f"{MAX_LOOKUPS} look-ups of other names hang")
            running = asyncio.get_running_loop().create_future()
            self._running[host] = running
            running.add_done_callback(lambda _: self._running.pop(host))
            threading.Thread(target=_look_up, args=(host, running), daemon=True, name="look-up").start()
        return await asyncio.shield(running)


def _look_up(host: str, answer: asyncio.Future[list[str]]) -> None:
    found: list[str] = []
    error: Exception | None = None
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as problem:
        error = Unresolved(f"{host}: {getattr(problem, 'strerror', None) or problem}")

    def tell() -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(list(dict.fromkeys(found)))
        else:
            answer.set_exception(error)
            answer.exception()  # told to who still waits; nobody may

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        answer.get_loop().call_soon_threadsafe(tell)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """What the connection pool connects through."""

    def __init__(self, guard: Guard, resolve: Resolver) -> None:
        self._guard = guard
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  as httpcore calls it
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to an allowed address of `host` within `timeout` seconds, the look-up included.

        Raises:
            Refused: it has no address that is allowed.
            Unresolved: it has none at all.
            httpcore.ConnectError, httpcore.ConnectTimeout: it cannot be reached.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (timeout if timeout is not None else 60.0)
        addresses = (await self._allowed(host, deadline - loop.time()))[:MAX_ADDRESSES]
        for left in range(len(addresses), 0, -1):
            address = addresses[-left]
            share = max(0.001, (deadline - loop.time()) / left)
            try:
                return await self._inner.connect_tcp(str(address), port, share, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if left == 1:
                    raise
        raise Unresolved(f"{host} has no address")

    async def _allowed(self, host: str, seconds: float) -> list[Address]:
        literal = parse(host)
        if literal is not None:
            found = [literal]
        else:
            try:
                async with asyncio.timeout(seconds):
                    found = [ip_address(text) for text in await self._resolve(host)]
            except TimeoutError:
                raise httpcore.ConnectTimeout(f"nobody says within {seconds:.0f} s where {host} is") from None
        allowed = self._guard.addresses(host, found)
        for address in allowed:
            if _own(address):
                self._guard.check_own(host, address)
        return allowed


def _own(address: Address) -> bool:
    """Whether the machine would talk to itself: the kernel is asked for the route, nothing is sent."""
    inside = plain(address)
    family = socket.AF_INET if inside.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(inside), 9))
            return ip_address(probe.getsockname()[0]) == inside
        except OSError:
            return False  # no route: the connection will say so
