"""The receiver of the crash tests' callbacks: a real HTTP server in the process of the tests, which no kill touches."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = "hook"  # name of the Secret, of its users in the jobs
GONE, HELD = "gone", "held"
HELD_SECONDS = 1200.0  # more than a try may last


class Receiver:
    """What arrived, and what is answered: by the path of the URL.

    /gone is 410: a dead letter at once. /held keeps every try waiting until `open`. Anything else refuses the first
    try of every other delivery, so that retries are in a run too.

    Attributes:
        taken: (job, webhook-id) of each request that was answered with 2xx, in their order.
        tried: how often each id was sent.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.tried: dict[str, int] = {}
        self.waiting = 0  # requests that are kept waiting, or were
        self._opened = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def use(self, events: list[str], path: str = "") -> dict[str, Any]:
        """An entry of a job's spec.callbacks."""
        url = f"http://127.0.0.1:{self._server.server_address[1]}/{path}"
        key = {"name": HOOK, "key": "key"}
        return {
            "name": HOOK,
            "url": url,
            "timeout": {"total": "60s"},
            "secretRef": key,
            "schedule": ["200ms"] * 30,
            "events": events,
        }

    def open(self) -> None:
        """Answer what waits, and whatever comes."""
        self._opened.set()

    def close(self) -> None:
        self.open()
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """The answer to one request."""
        event = Webhook(SECRET).verify(body, headers)
        id_ = headers["webhook-id"]
        self.tried[id_] = self.tried.get(id_, 0) + 1
        if path == GONE:
            return 410
        if path == HELD:
            self.waiting += 1
            if not self._opened.wait(HELD_SECONDS):
                return 503
        elif self.tried[id_] == 1 and len(self.tried) % 2 == 0:
            return 503
        self.taken.append((event["data"]["job"]["name"], id_))
        return 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                headers = {name.lower(): value for name, value in self.headers.items()}
                with suppress(ConnectionError):  # whoever asked was killed
                    body = self.rfile.read(length)
                    if len(body) < length:  # in the middle of it
                        return
                    self.send_response(receiver.take(self.path.strip("/"), headers, body))
                    self.send_header("content-length", "0")
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing: what arrived is judged."""

        return Handler


# So that it may send here.
SETTINGS = {"HOLDFAST_CALLBACK_ALLOW_CIDRS": "127.0.0.0/8", "HOLDFAST_CALLBACK_PORTS": "1-65535"}
