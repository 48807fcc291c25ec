"""A name server of the tests (UDP, RFC 1035) whose answers may change with every question, and who asks it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

from controller.delivery.connect import Unresolved

A, AAAA, IN = 1, 28, 1
ANSWER_SECONDS = 30.0

Zone = Callable[[str, int], Sequence[str]]  # name, how many times it was asked for before -> addresses


class NameServer(asyncio.DatagramProtocol):
    """Answers A and AAAA questions from a zone.

    Args:
        asked: how many times each name was asked for, by type.
    """

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.asked: dict[tuple[str, int], int] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | None, int]) -> None:
        labels, place = [], 12
        while size := data[place]:
            labels.append(data[place + 1 : place + 1 + size].decode())
            place += 1 + size
        name, (kind, _) = ".".join(labels).lower(), struct.unpack(">HH", data[place + 1 : place + 5])
        before = self.asked.get((name, kind), 0)
        self.asked[name, kind] = before + 1
        version = 4 if kind == A else 6
        found = [ipaddress.ip_address(text.partition("%")[0]) for text in self._zone(name, before)]
        records = [each.packed for each in found if each.version == version]
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0) + data[12 : place + 5]
        body = b"".join(struct.pack(">HHHIH", 0xC00C, kind, IN, 0, len(each)) + each for each in records)
        self._transport.sendto(head + body, addr)


class Asking:
    """A resolver: one question for A and one for AAAA each time, nothing is kept."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ids = itertools.count(1)

    async def __call__(self, host: str) -> list[str]:
        found = [*await self._ask(host, A), *await self._ask(host, AAAA)]
        if not found:
            raise Unresolved(f"{host}: no address")
        return found

    async def _ask(self, host: str, kind: int) -> list[str]:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        class Once(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                if not answer.done():
                    answer.set_result(data)

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Once, remote_addr=("127.0.0.1", self._port))
        try:
            labels = host.removesuffix(".").split(".")
            question = b"".join(bytes([len(each)]) + each.encode() for each in labels) + b"\0"
            head = struct.pack(">HHHHHH", next(self._ids) & 0xFFFF, 0x0100, 1, 0, 0, 0)
            transport.sendto(head + question + struct.pack(">HH", kind, IN))
            data = await asyncio.wait_for(answer, ANSWER_SECONDS)
        finally:
            transport.close()
        place, found = 12 + len(question) + 4, []
        for _ in range(struct.unpack(">H", data[6:8])[0]):
            size = struct.unpack(">H", data[place + 10 : place + 12])[0]
            found.append(str(ipaddress.ip_address(data[place + 12 : place + 12 + size])))
            place += 12 + size
        return found


@contextlib.asynccontextmanager
async def name_server(zone: Zone) -> AsyncIterator[tuple[NameServer, Asking]]:
    """A name server on a free port, and a resolver that asks it."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: NameServer(zone), local_addr=("127.0.0.1", 0))
    try:
        yield server, Asking(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()
