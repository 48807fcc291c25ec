"""Run in a network namespace of its own: every address becomes this machine's, so that nothing is out of reach.

Prints as JSON which forms arrived through the guard, and how many arrive without it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess

from controller.delivery.guard import Guard
from tests.integration.delivery.forms import FORMS
from tests.integration.delivery.receivers import message, sender

PORT = 8080
SETUP = (
    "ip link set lo up",
    "ip route add local 0.0.0.0/0 dev lo",
    "ip -6 route add local ::/0 dev lo",
)


async def main() -> None:
    """Try every form with and without the guard."""
    arrived: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(writer.get_extra_info("sockname")[0])
        writer.close()

    servers = [await asyncio.start_server(serve, host, PORT) for host in ("0.0.0.0", "::")]
    guarded = []
    async with sender(Guard()) as sending:
        for form in FORMS:
            answer = await sending.send(message(f"http://{form}:{PORT}/"))
            if answer.reason not in ("AddressRefused", "UrlRefused", "NameNotFound"):
                guarded.append((form, answer.reason))
        own = (await sending.send(message(f"http://93.184.215.14:{PORT}/"))).reason
    guarded += [("arrived", address) for address in arrived]
    reachable = 0
    for form in FORMS:
        reachable += await asyncio.to_thread(_reaches, form.strip("[]").replace("%25", "%"))
    print(json.dumps({"guarded": guarded, "reachable": reachable, "own": own}))
    for server in servers:
        server.close()


def _reaches(host: str) -> bool:
    try:
        socket.create_connection((host, PORT), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    for line in SETUP:
        subprocess.run(line.split(), check=True, timeout=60)
    asyncio.run(main())
