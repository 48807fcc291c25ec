"""TCP ports of the servers of one home: chosen once, remembered, changed only when somebody else has taken one."""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path

from controller.errors import Transient
from controller.files import atomic

# Below the range from which the kernel takes ports of outgoing connections: between the death and the restart of a
# server nobody else gets its port by chance.
FIRST, LAST = 20000, 32000


class Ports:
    """The ports remembered in one file; every change is durable before it is used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def known(self, name: str) -> int | None:
        """The remembered port of `name`."""
        return self._read().get(name)

    def get(self, name: str) -> int:
        """The remembered port of `name`, free or not; where there is none, a new one."""
        return self.known(name) or self.renew(name)

    def renew(self, name: str) -> int:
        """Choose a free port for `name` and remember it.

        Raises:
            Transient: 200 tries found none that is free.
        """
        ports = self._read()
        for _ in range(200):
            port = random.randint(FIRST, LAST)
            if port not in ports.values() and is_free(port):
                atomic.write_atomic(self._path, json.dumps({**ports, name: port}).encode())
                return port
        raise Transient("NoFreePort", f"no free TCP port on 127.0.0.1 between {FIRST} and {LAST}")

    def _read(self) -> dict[str, int]:
        try:
            return parse(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}  # a damaged file costs new ports, nothing else; `damage` sets it aside


def parse(data: bytes) -> dict[str, int]:
    """The ports that a file holds, by component; raises ValueError (RecursionError for what is nested too deep)."""
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")
    if wrong := [name for name, port in content.items() if not (type(port) is int and 0 < port < 65536)]:
        raise ValueError(f"{', '.join(wrong)} has no port")
    return content


def is_free(port: int) -> bool:
    """Whether a server could bind the port on loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
