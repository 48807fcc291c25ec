"""Receivers of callbacks in the process of a benchmark: that of `holdfast webhook-sink`, and one that never answers."""

from __future__ import annotations

import base64
import os
import socket
from collections import Counter
from datetime import datetime

from controller.cli.sink import Received, Sink

SETTINGS = {"HOLDFAST_CALLBACK_ALLOW_CIDRS": "127.0.0.0/8", "HOLDFAST_CALLBACK_PORTS": "1-65535"}


class Sinks:
    """Every request is verified; loopback has many addresses, so each of them is a host of its own.

    Attributes:
        secret: that signs.
        received: every request, in the order of arrival.
    """

    def __init__(self) -> None:
        self.secret = f"whsec_{base64.b64encode(os.urandom(32)).decode()}"
        self.received: list[Received] = []
        self._sinks: list[Sink] = []
        self._silent: list[socket.socket] = []

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """A receiver that works; returns its URL."""
        sink = Sink((self.secret,), self.received.append)
        url = await sink.start(host, port)
        self._sinks.append(sink)
        return url

    def silent(self, host: str) -> str:
        """A host that takes connections, until its backlog is full, and never answers; returns its URL."""
        made = socket.socket()
        made.bind((host, 0))
        made.listen(1)
        self._silent.append(made)
        return f"http://{host}:{made.getsockname()[1]}/"

    async def stop(self) -> None:
        """End all of them."""
        for sink in self._sinks:
            await sink.stop()
        for made in self._silent:
            made.close()

    def arrived(self) -> Counter[str]:
        """How often each id was taken."""
        return Counter(each.id for each in self.received if not each.problem)

    def refused(self) -> int:
        """Requests that did not verify."""
        return sum(bool(each.problem) for each in self.received)


def seconds(received: Received) -> float:
    """When it arrived, since the epoch."""
    return datetime.fromisoformat(received.at).timestamp()


def free_port(host: str = "127.0.0.1") -> int:
    """One that nobody listens on now."""
    with socket.socket() as made:
        made.bind((host, 0))
        return int(made.getsockname()[1])
